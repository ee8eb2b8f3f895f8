"""Supervised training on prompt/completion pairs, for the cold start before RL and the tiny pair from scratch.

The loss is the mean cross-entropy over the completion tokens of the whole batch (one global denominator), so it does
not depend on the split into micro-batches. Under torchrun or deepspeed each rank computes a part of the batch; the
gradients are summed, so all ranks keep the same weights.

Legend: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from corea.config import SupervisedConfig
from corea.rl.run import distributed
from corea.rl.update.schedule import learning_rate

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Example = tuple[list[int], list[int]]
"""(prompt ids, completion ids with the end-of-sequence token)."""


def micro_batches(examples: list[Example], token_budget: int, pad: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Examples sorted by length, in micro-batches of B x T <= `token_budget` tokens (a longer example is alone).

    Yields:
        ids [B, T] right-padded, completion_mask [B, T] (True where the token belongs to a completion).
    """
    rows = sorted(examples, key=lambda e: len(e[0]) + len(e[1]), reverse=True)
    start = 0
    while start < len(rows):
        width = len(rows[start][0]) + len(rows[start][1])
        count = max(1, token_budget // width)
        part = rows[start : start + count]
        ids = torch.full((len(part), width), pad)
        mask = torch.zeros((len(part), width), dtype=torch.bool)
        for row, (prompt, completion) in enumerate(part):
            ids[row, : len(prompt) + len(completion)] = torch.tensor(prompt + completion)
            mask[row, len(prompt) : len(prompt) + len(completion)] = True
        yield ids, mask
        start += count


def completion_loss_sum(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Sum of the cross-entropy of completion tokens; logits are computed only at completion positions."""
    hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state  # [B, T, H]
    target = mask[:, 1:]  # [B, T-1]
    logits = model.lm_head(hidden[:, :-1][target])  # [N, V]
    return F.cross_entropy(logits.float(), ids[:, 1:][target], reduction="sum")


def build_optimizer(model: PreTrainedModel, cfg: SupervisedConfig) -> torch.optim.Optimizer | MuonAndAdamW:
    """AdamW without weight decay on vectors (norms, biases); with cfg.muon_lr, Muon for the matrices of the layers."""
    by_muon: set[int] = set()
    if cfg.muon_lr is not None:
        embeddings = {id(m.weight) for m in (model.get_input_embeddings(), model.get_output_embeddings())}
        by_muon = {id(p) for p in model.parameters() if p.ndim == 2 and id(p) not in embeddings}
    rest = [p for p in model.parameters() if id(p) not in by_muon]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": cfg.optimizer.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=cfg.optimizer.lr, betas=(cfg.optimizer.betas[0], cfg.optimizer.betas[1]))
    if cfg.muon_lr is None:
        return adamw
    muon = torch.optim.Muon(
        [p for p in model.parameters() if id(p) in by_muon],
        lr=cfg.muon_lr,
        weight_decay=cfg.optimizer.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return MuonAndAdamW(muon, adamw, ratio=cfg.muon_lr / cfg.optimizer.lr)


class MuonAndAdamW:
    """Muon (momentum with orthogonalized updates) for the matrices of the layers, AdamW for embeddings and vectors.

    Source: https://kellerjordan.github.io/posts/muon/; the update's scale is AdamW's (arXiv 2502.16982).
    """

    def __init__(self, muon: torch.optim.Optimizer, adamw: torch.optim.Optimizer, *, ratio: float):
        self.muon, self.adamw = muon, adamw
        self.param_groups = [*muon.param_groups, *adamw.param_groups]
        for group in muon.param_groups:
            group["lr_ratio"] = ratio

    def zero_grad(self) -> None:
        """Drop all gradients."""
        self.muon.zero_grad()
        self.adamw.zero_grad()

    def step(self) -> None:
        """Update all parameters."""
        self.muon.step()
        self.adamw.step()

    def state_dict(self) -> dict[str, Any]:
        """State of both."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]


def last_step(cfg: SupervisedConfig) -> int:
    """Number of steps to run."""
    return min(cfg.steps, cfg.stop_after or cfg.steps)


def train_supervised(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer | MuonAndAdamW,
    examples_of: Callable[[int], list[Example]],
    cfg: SupervisedConfig,
    *,
    pad: int,
    start: int = 0,
    log: Callable[[dict[str, float]], None],
    after_step: Callable[[int], bool] = lambda step: True,
) -> None:
    """Run steps `start` to `last_step(cfg)` - 1, updating `model` and `optimizer` in place.

    Args:
        examples_of: step number -> examples; depends on nothing else, so that a run can be repeated and resumed.
        log: receives step, loss (nats per token), lr, grad_norm, tokens, tokens_per_s.
        after_step: receives the step; False ends the training.
    """
    model.train()
    for step in range(start, last_step(cfg)):
        started = time.perf_counter()
        lr = learning_rate(step, cfg.steps, cfg.optimizer)
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("lr_ratio", 1.0)
        examples = examples_of(step)
        loss, norm = _update(model, optimizer, examples, cfg, pad)
        tokens = sum(len(p) + len(c) for p, c in examples)
        rate = tokens / (time.perf_counter() - started)
        log({"step": step, "loss": loss, "lr": lr, "grad_norm": norm, "tokens": tokens, "tokens_per_s": rate})
        if not after_step(step):
            return


def _update(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer | MuonAndAdamW,
    examples: list[Example],
    cfg: SupervisedConfig,
    pad: int,
) -> tuple[float, float]:
    """One optimizer step: (mean loss of the completion tokens, gradient norm before clipping)."""
    device = next(model.parameters()).device
    denominator = sum(len(completion) for _, completion in examples)
    total = 0.0
    optimizer.zero_grad()
    mine = examples[distributed.rank() :: distributed.world_size()]
    for ids, mask in micro_batches(mine, cfg.token_budget, pad):
        loss = completion_loss_sum(model, ids.to(device), mask.to(device)) / denominator
        loss.backward()
        total += loss.item()
    distributed.sum_gradients(model.parameters())
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), cfg.optimizer.max_grad_norm)
    optimizer.step()
    return sum(distributed.gather(total)), float(norm)
