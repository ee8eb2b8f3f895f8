"""Rollouts -> micro-batches of a bounded number of tokens.

Completions of one question share their prompt. A tree is the prompt followed by several completions; an attention mask
lets each completion see only the prompt and itself. A prompt is thus computed once instead of G times. The last
token of a completion predicts no other token and is not part of the input. Trees are sorted by length and padded on
the right; or they are packed: laid end to end in one row, where attention computes each of them alone
(packed_attention.py), so that nothing is padded.

Legend: B trees of a micro-batch, L input tokens of the longest (packed: B is 1, L the tokens of all trees), N
completion tokens (flat, without padding), R completions, M of the tokens state a confidence, K number tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain

import torch
from torch import Tensor

from corea.rl.rollout.stated_number import Choice

TREE_TOKENS = 1024
"""Maximum length of a tree with several rows: its mask has length^2 entries, and attention computes all of them."""


@dataclass(slots=True, kw_only=True)
class Row:
    """The data of one completion that the update needs."""

    prompt_ids: list[int]
    token_ids: list[int]
    """[T] tokens of the completion, the end-of-sequence token included."""
    rollout_logprobs: list[float]
    """[T] log-probabilities under the engine that sampled them."""
    advantages: list[float]
    """[T] one per token, so that parts of a completion can be credited separately."""
    weight: float
    """Weight of each token in the loss (loss.aggregation_weights)."""
    kl_tokens: int | None = None
    """The first tokens are in the KL term, as many as this; None: all."""
    choices: Sequence[Choice] = ()
    """Tokens whose expected reward is in the loss instead of an advantage (trainer.credit=expected)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Place of one tree in a packed row."""

    start: int
    stop: int
    """The tree has the tokens start..stop-1."""
    shared: bool
    """Several completions share its prompt, so it needs a mask; otherwise its attention is causal."""


@dataclass(slots=True, kw_only=True)
class MicroBatch:
    """The tensors of one forward and backward pass."""

    input_ids: Tensor
    """[B, L]"""
    position_ids: Tensor | None
    """[B, L]; None: 0..L-1 in every row."""
    mask: Tensor | None
    """[B, 1, L, L] bool, True where query (dim 2) sees key (dim 3); None: causal."""
    source: Tensor
    """[N] position in the flattened [B * L] input whose output predicts each token."""
    targets: Tensor
    """[N] the completion tokens."""
    rollout_logprobs: Tensor
    """[N]"""
    advantages: Tensor
    """[N]"""
    weights: Tensor
    """[N]"""
    lengths: Tensor
    """[R] completion tokens of each row."""
    kl_counted: Tensor | None
    """[N] 1 for a token in the KL term, else 0; None: all are."""
    choice_places: Tensor
    """[M] which of the N tokens belong to a confidence whose expected reward is in the loss."""
    choice_gains: Tensor
    """[M, K] reward of each number token in their place, above the worst one."""
    blocks: list[Block] | None = None
    """Packed: the place of each tree. None: trees are padded."""
    segments: Tensor | None = None
    """[L] packed, if a tree is shared: 0 for a token of the prompt, 1.. for those of its completions."""
    old_logprobs: Tensor | None = None
    """[N] set before the first of several updates on the batch."""
    ref_logprobs: Tensor | None = None
    """[N] set if the loss has a KL term."""

    def to(self, device: torch.device) -> MicroBatch:
        """A copy on `device`."""
        moved = {k: getattr(self, k) for k in self.__slots__}
        return replace(self, **{k: v.to(device) if isinstance(v, Tensor) else v for k, v in moved.items()})


Tree = list[Row]
"""Rows with the same prompt."""


def tree_length(tree: Tree) -> int:
    """Input tokens of a tree: the prompt once, each completion without its last token."""
    return len(tree[0].prompt_ids) + sum(len(r.token_ids) - 1 for r in tree)


def grow_trees(rows: Sequence[Row], limit: int, share_prompt: bool) -> list[Tree]:
    """Join adjacent rows with the same prompt into trees of at most `limit` tokens (a single row may be longer)."""
    trees: list[Tree] = []
    for row in rows:
        last = trees[-1] if trees else None
        if (
            last is not None
            and share_prompt
            and last[0].prompt_ids == row.prompt_ids
            and tree_length(last) + len(row.token_ids) - 1 <= limit
        ):
            last.append(row)
        else:
            trees.append([row])
    return trees


def micro_batches(
    rows: Sequence[Row], token_budget: int, *, pad: int, share_prompt: bool = True, packing: bool = False
) -> list[MicroBatch]:
    """Split rows into micro-batches of at most `token_budget` tokens, padding included (a single tree may exceed it).

    Args:
        rows: completions of one question are adjacent.
        pad: any token id; padding does not influence the result.
        packing: lay the trees of a micro-batch end to end instead of padding them.
    """
    return batches_of_trees(trees_of_rows(rows, token_budget, share_prompt), token_budget, pad=pad, packing=packing)


def trees_of_rows(rows: Sequence[Row], token_budget: int, share_prompt: bool) -> list[Tree]:
    """The trees of all rows, the longest first; completions of one question are adjacent."""
    trees = grow_trees(rows, min(token_budget, TREE_TOKENS), share_prompt)
    return sorted(trees, key=tree_length, reverse=True)


def batches_of_trees(trees: list[Tree], token_budget: int, *, pad: int, packing: bool = False) -> list[MicroBatch]:
    """Micro-batches of trees that are sorted by falling length; the arguments are those of `micro_batches`."""
    parts = _packed(trees, token_budget) if packing else _cut(trees, token_budget)
    return [build_micro_batch(part, pad, packing) for part in parts]


def _packed(trees: list[Tree], token_budget: int) -> list[list[Tree]]:
    """Trees, sorted by falling length, in parts of at most `token_budget` tokens: each goes to the first part that has
    room for it (first-fit decreasing)."""
    parts: list[list[Tree]] = []
    room: list[int] = []
    for tree in trees:
        length = tree_length(tree)
        place = next((k for k, free in enumerate(room) if free >= length), None)
        if place is None:
            parts.append([tree])
            room.append(token_budget - length)
        else:
            parts[place].append(tree)
            room[place] -= length
    return parts


def _cut(trees: list[Tree], token_budget: int) -> Iterator[list[Tree]]:
    start = 0
    while start < len(trees):
        count = max(1, token_budget // tree_length(trees[start]))
        yield trees[start : start + count]
        start += count


def build_micro_batch(trees: list[Tree], pad: int, packing: bool = False) -> MicroBatch:
    """Tensors of one micro-batch; the N tokens are ordered by tree, then by row."""
    sizes = [tree_length(t) for t in trees]
    length = max(sizes)
    starts = [sum(sizes[:b]) if packing else b * length for b in range(len(trees))]
    ids: list[list[int]] = []
    positions: list[list[int]] = []
    segments: list[list[int]] = []  # -1 padding, 0 prompt, 1.. completions
    source: list[int] = []
    for start, size, tree in zip(starts, sizes, trees, strict=True):
        prompt = tree[0].prompt_ids
        tokens, places, parts = list(prompt), list(range(len(prompt))), [0] * len(prompt)
        for number, row in enumerate(tree, 1):
            first, inputs = start + len(tokens), len(row.token_ids) - 1
            tokens += row.token_ids[:-1]
            places += range(len(prompt), len(prompt) + inputs)
            parts += [number] * inputs
            source += [start + len(prompt) - 1, *range(first, first + inputs)]
        rest = 0 if packing else length - size
        ids.append(tokens + [pad] * rest)
        positions.append(places + [0] * rest)
        segments.append(parts + [-1] * rest)
    rows = [row for tree in trees for row in tree]
    firsts = accumulate((len(row.token_ids) for row in rows), initial=0)
    stated = [(first, choice) for first, row in zip(firsts, rows, strict=False) for choice in row.choices]
    shared = any(len(tree) > 1 for tree in trees)
    blocks = [Block(start=s, stop=s + n, shared=len(t) > 1) for s, n, t in zip(starts, sizes, trees, strict=True)]
    if packing:
        ids, positions, segments = ([list(chain.from_iterable(part))] for part in (ids, positions, segments))
    return MicroBatch(
        input_ids=torch.tensor(ids),
        position_ids=torch.tensor(positions) if shared or packing else None,
        mask=tree_mask(torch.tensor(segments)) if shared and not packing else None,
        blocks=blocks if packing else None,
        segments=torch.tensor(segments[0]) if shared and packing else None,
        source=torch.tensor(source),
        targets=torch.tensor([t for r in rows for t in r.token_ids]),
        rollout_logprobs=torch.tensor([p for r in rows for p in r.rollout_logprobs]),
        advantages=torch.tensor([a for r in rows for a in r.advantages], dtype=torch.float32),
        weights=torch.tensor([r.weight for r in rows for _ in r.token_ids], dtype=torch.float32),
        lengths=torch.tensor([len(r.token_ids) for r in rows]),
        kl_counted=_kl_counted(rows),
        choice_places=torch.tensor([start + c.place for start, c in stated], dtype=torch.long),
        choice_gains=torch.tensor([c.gains for _, c in stated]),
    )


def _kl_counted(rows: Sequence[Row]) -> Tensor | None:
    if all(row.kl_tokens is None for row in rows):
        return None
    return torch.tensor(
        [float(row.kl_tokens is None or k < row.kl_tokens) for row in rows for k in range(len(row.token_ids))]
    )


def tree_mask(segment: Tensor) -> Tensor:
    """[B, L] segment numbers -> [B, 1, L, L] mask: a query sees earlier keys of the prompt and of its own segment.

    Padding (-1) sees the prompt and earlier padding, so that no row of the softmax is empty; no completion sees
    padding.
    """
    length = segment.shape[1]
    earlier = torch.ones((length, length), dtype=torch.bool).tril()
    query, key = segment[:, :, None], segment[:, None, :]
    return (earlier & ((key == 0) | (key == query)))[:, None]


def empty_micro_batch(pad: int, packing: bool = False) -> MicroBatch:
    """One token of weight 0, which a rank computes while other ranks still have micro-batches."""
    row = Row(prompt_ids=[pad], token_ids=[pad], rollout_logprobs=[0.0], advantages=[0.0], weight=0.0)
    return build_micro_batch([[row]], pad, packing)
