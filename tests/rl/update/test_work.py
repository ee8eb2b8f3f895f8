"""Tokens, padding and operations of an update: by hand, and from the attention masks."""

from dataclasses import replace

import torch

from corea.model_shape import ModelShape
from corea.rl.update.batching import Row, batches_of_trees, micro_batches, trees_of_rows
from corea.rl.update.work import Work, work_of

SHAPE = ModelShape(layers=1, hidden=2, heads=1, kv_heads=1, head_size=2, feed_forward=3, vocabulary=5, tied=True)


def row(prompt, length):
    return Row(
        prompt_ids=prompt,
        token_ids=list(range(length)),
        rollout_logprobs=[0.0] * length,
        advantages=[1.0] * length,
        weight=1.0,
    )


ROWS = [row([7, 8, 9], 2), row([7, 8, 9], 3), row([4], 2)]


def work(rows, **options):
    trees = trees_of_rows(rows, 100, options.pop("share_prompt", True))
    return work_of(trees, batches_of_trees(trees, 100, pad=0, **options))


def test_the_work_of_two_trees_by_hand():
    found = work(ROWS)
    # trees of 3 + 1 + 2 and of 1 + 1 tokens, both padded to 6
    assert (found.tokens, found.padded, found.scored) == (8, 12, 7)
    # prompt 6; first completion 3 + 1; second 2 x 3 + 3; then 1 and 1 + 1
    assert found.pairs == 6 + 4 + 9 + 1 + 2
    # 34 weights a layer: 2 x 34 x 8 = 544; 4 x 2 x 22 = 176; 2 x 10 x 7 = 140
    assert found.flops(SHAPE, backwards=1, scorings=0, adapters=False) == 3 * (544 + 176 + 140)
    assert found.flops(SHAPE, backwards=2, scorings=1, adapters=True) == 5 * 860


def test_pairs_are_those_that_the_masks_let_through():
    (batch,) = micro_batches(ROWS[:2], 100, pad=0)
    assert work(ROWS[:2]).pairs == int(batch.mask.sum())


def test_without_shared_prompts_each_completion_counts_its_own():
    found = work(ROWS[:2], share_prompt=False)
    assert (found.tokens, found.padded) == (4 + 5, 10)
    causal = torch.ones(5, 5).tril()
    assert found.pairs == int(causal[:4, :4].sum() + causal.sum())


def test_packed_trees_have_the_same_work_without_padding():
    assert work(ROWS, packing=True) == replace(work(ROWS), padded=8)


def test_work_of_several_parts_adds_up():
    one, other = Work(tokens=1, padded=2, pairs=3, scored=4), Work(tokens=10, padded=20, pairs=30, scored=40)
    assert one + other == Work(tokens=11, padded=22, pairs=33, scored=44)
