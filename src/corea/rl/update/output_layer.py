"""Hidden states -> log-probabilities of given tokens, without holding the logits of a whole batch (64 x 1024 x 152k
float32 are 40 GB).

The output layer is applied to one chunk of rows after another. The backward pass computes each chunk again and adds to
one gradient of the layer, so neither an [N, V] tensor nor a second [V, H] gradient is held.

Legend: N tokens, n of them in a chunk, H hidden size, V vocabulary. Functions that end in _ overwrite their input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from corea.errors import UserError

T = TypeVar("T")
CHUNK_LOGITS = 1 << 24
"""Logits per chunk (64 MiB of float32). Each chunk reads the whole output matrix, so smaller chunks are slower."""
BLOCK = {"cpu": 1 << 20, "cuda": 1 << 23}
"""Logits per block that several passes run over before the next block: as many as fit a processor's cache; on a GPU,
enough to keep it busy, because one launch exceeds its cache anyway."""


def inside(layer: nn.Module, function: Callable[[Tensor], T], hidden: Tensor) -> T:
    """function(hidden), which calls the functions of this module on `layer`.

    ZeRO-3 gathers weights from all ranks when a module is called. Ranks have different numbers of tokens, and would
    call a split output layer for different numbers of chunks, so the whole function runs in one call of it. The number
    of its results with a gradient has to be the same on all ranks: DeepSpeed gathers the weights again for each.
    """
    if type(layer) is not nn.Linear or not is_split(layer):
        return function(hidden)
    layer.forward = function
    try:
        return layer(hidden)
    finally:
        del layer.forward


def token_scores(
    layer: nn.Module, hidden: Tensor, targets: Tensor, temperature: float, chunk: int
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of `targets`, and the entropy of their distributions.

    Args:
        layer: hidden states to logits.
        hidden: [N, H]
        targets: [N] token ids.
        temperature: logits are divided by it.
        chunk: rows per chunk.

    Returns:
        ([N], [N]) float32; the entropy without gradient.
    """
    if len(hidden) <= chunk:
        return _score(layer, hidden, targets, temperature)
    if is_matrix(layer):
        return _Chunked.apply(hidden, layer.weight, targets, temperature, chunk)
    parts = [
        checkpoint(_score, layer, rows, wanted, temperature, use_reentrant=False)
        for rows, wanted in zip(hidden.split(chunk), targets.split(chunk), strict=True)
    ]
    logprobs, entropy = zip(*parts, strict=True)
    return torch.cat(logprobs), torch.cat(entropy)


def token_shares(layer: nn.Module, hidden: Tensor, tokens: Sequence[int], temperature: float, chunk: int) -> Tensor:
    """[M, K] float32 probabilities of the `tokens` [K] after each of the `hidden` [M, H]. The other
    arguments are those of token_scores."""

    def shares(rows: Tensor) -> Tensor:
        return (_logits(layer, rows).float() / temperature).softmax(-1)[:, tokens]

    return torch.cat([checkpoint(shares, rows, use_reentrant=False) for rows in hidden.split(chunk)])


def require_linear(layer: nn.Module) -> None:
    """Check that `inside` can run everything in one call of an output layer that is split among several ranks.

    Raises:
        UserError: it is a module of another class.
    """
    if type(layer) is not nn.Linear:
        kind = f"{type(layer).__module__}.{type(layer).__name__}"
        raise UserError(
            f"trainer.zero_stage=3: the output layer is a {kind}, and several ranks can split only a plain "
            "torch.nn.Linear; allowed is 0, 1 or 2"
        )


def is_matrix(layer: nn.Module) -> bool:
    """True for a linear layer without bias and adapter."""
    return type(layer) is nn.Linear and layer.bias is None


def is_split(layer: nn.Module) -> bool:
    """True if ZeRO-3 splits the weights of a layer among the ranks."""
    return any(hasattr(weight, "ds_id") for weight in layer.parameters())


def _logits(layer: nn.Module, rows: Tensor) -> Tensor:
    """The output of a layer; a linear one is not called, see `inside`."""
    return functional.linear(rows, layer.weight, layer.bias) if type(layer) is nn.Linear else layer(rows)


def _score(layer: nn.Module, hidden: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    return _Scores.apply(_logits(layer, hidden).float(), targets, temperature)


class _Scores(torch.autograd.Function):
    """Temperature, log_softmax, gather and entropy with a single [n, V] tensor; torch's functions hold four at once.

    The logits are overwritten in the forward pass and again in the backward pass, which can therefore run only once.
    The kernels are torch's own, with the same results; they process a row at a time and read a value before writing it.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        scores = _log_softmax_(logits, temperature)
        ctx.temperature = temperature
        ctx.save_for_backward(scores, targets)
        entropy = _entropy(scores)
        ctx.mark_non_differentiable(entropy)
        return _chosen(scores, targets), entropy

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        scores, targets = ctx.saved_tensors
        return _logits_gradient_(scores, targets, grad, ctx.temperature), None, None


class _Chunked(torch.autograd.Function):
    """`_Scores` over the chunks of a linear layer."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float, chunk: int
    ) -> tuple[Tensor, Tensor]:
        ctx.temperature, ctx.chunk = temperature, chunk
        ctx.save_for_backward(hidden, weight, targets)
        logprobs, entropy = (hidden.new_empty(len(hidden), dtype=torch.float32) for _ in range(2))
        for rows, scores in _chunks(hidden, weight, temperature, chunk):
            logprobs[rows], entropy[rows] = _chosen(scores, targets[rows]), _entropy(scores)
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets = ctx.saved_tensors
        to_hidden, to_weight, *_rest = ctx.needs_input_grad
        hidden_grad = torch.empty_like(hidden) if to_hidden else None
        weight_grad = torch.zeros_like(weight) if to_weight else None
        for rows, scores in _chunks(hidden, weight, ctx.temperature, ctx.chunk):
            logits_gradient = _logits_gradient_(scores, targets[rows], grad[rows], ctx.temperature).to(hidden.dtype)
            if hidden_grad is not None:
                torch.mm(logits_gradient, weight, out=hidden_grad[rows])
            if weight_grad is not None:
                weight_grad.addmm_(logits_gradient.t(), hidden[rows])
        return hidden_grad, weight_grad, None, None, None


def _chunks(hidden: Tensor, weight: Tensor, temperature: float, chunk: int) -> Iterator[tuple[slice, Tensor]]:
    """(rows, their log-probabilities [n, V] float32) of each chunk; all chunks share one buffer."""
    buffer = weight.new_empty(chunk, len(weight))
    for start in range(0, len(hidden), chunk):
        rows = slice(start, start + chunk)
        logits = torch.mm(hidden[rows], weight.t(), out=buffer[: len(hidden[rows])])
        yield rows, _log_softmax_(logits.float(), temperature)


def _log_softmax_(logits: Tensor, temperature: float) -> Tensor:
    """[n, V] logits -> log-probabilities at `temperature`."""
    scaled = logits if temperature == 1 else logits.div_(temperature)
    return torch.ops.aten._log_softmax.out(scaled, -1, False, out=scaled)


def _logits_gradient_(scores: Tensor, targets: Tensor, grad: Tensor, temperature: float) -> Tensor:
    """[n, V] log-probabilities -> gradient of sum(grad * log-probability of targets) with respect to the logits."""
    parts = _blocks(scores)
    buffer = torch.zeros_like(parts[0])
    for part, *chosen in zip(parts, *(t[:, None].split(len(buffer)) for t in (targets, grad)), strict=True):
        dense = buffer[: len(part)].scatter_(-1, *chosen)
        torch.ops.aten._log_softmax_backward_data.out(dense, part, -1, part.dtype, out=part)
        dense.scatter_(-1, chosen[0], 0.0)
    return scores if temperature == 1 else scores.div_(temperature)


def _chosen(scores: Tensor, targets: Tensor) -> Tensor:
    return scores.gather(-1, targets[:, None])[:, 0]


def _entropy(scores: Tensor) -> Tensor:
    """[n, V] log-probabilities -> entropy [n]."""
    parts = _blocks(scores)
    buffer = torch.empty_like(parts[0])  # shared: a new tensor per block would grow the heap
    products = (torch.exp(part, out=buffer[: len(part)]).mul_(part) for part in parts)
    return -torch.cat([product.sum(-1) for product in products])


def _blocks(scores: Tensor) -> tuple[Tensor, ...]:
    """[n, V] -> views of BLOCK logits each."""
    return scores.split(max(1, BLOCK.get(scores.device.type, BLOCK["cuda"]) // scores.shape[1]))
