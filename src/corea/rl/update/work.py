"""What an update computes: tokens, padding and floating-point operations, counted from its rows.

Legend: n input tokens of a tree (the prompt once, each completion without its last token).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corea.model_shape import ModelShape
from corea.rl.update.batching import MicroBatch, Tree, tree_length


@dataclass(slots=True, kw_only=True)
class Work:
    """Counts over the micro-batches of a step, of one rank."""

    tokens: int = 0
    """Input tokens."""
    padded: int = 0
    """Input tokens with padding."""
    pairs: int = 0
    """(query, key) pairs that attention lets through."""
    scored: int = 0
    """Completion tokens, whose logits are computed."""

    def __add__(self, other: Work) -> Work:
        return Work(
            tokens=self.tokens + other.tokens,
            padded=self.padded + other.padded,
            pairs=self.pairs + other.pairs,
            scored=self.scored + other.scored,
        )

    def flops(self, shape: ModelShape, *, backwards: int, scorings: int, adapters: bool) -> float:
        """Floating-point operations of `backwards` forward and backward passes and `scorings` forward passes.

        A backward pass costs two forward passes, one with frozen weights under adapters. Activations that are computed
        again to save memory do not count, as in the model FLOPs of PaLM (arXiv 2204.02311, appendix B).
        """
        forward = shape.forward_flops(tokens=self.tokens, pairs=self.pairs, scored=self.scored)
        return forward * (backwards * (2 if adapters else 3) + scorings)


def work_of(trees: Sequence[Tree], batches: Sequence[MicroBatch]) -> Work:
    """The work of `batches`, which hold `trees`."""
    return Work(
        tokens=sum(map(tree_length, trees)),
        padded=sum(batch.input_ids.numel() for batch in batches),
        pairs=sum(_pairs(len(tree[0].prompt_ids), [len(row.token_ids) - 1 for row in tree]) for tree in trees),
        scored=sum(len(row.token_ids) for tree in trees for row in tree),
    )


def _pairs(prompt: int, inputs: Sequence[int]) -> int:
    """Pairs of a tree: a token sees itself, the tokens before it in its own completion, and the prompt."""
    return prompt * (prompt + 1) // 2 + sum(prompt * n + n * (n + 1) // 2 for n in inputs)
