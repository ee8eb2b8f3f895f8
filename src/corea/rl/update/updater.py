"""All updates on one batch (minibatches x epochs), and their metrics.

A minibatch whose completions are all left out of the loss (empty, or truncated with trainer.loss.mask_truncated) is
skipped and counted as `empty_updates`: an optimizer step without a gradient would still move the weights by momentum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from corea.config import TrainConfig
from corea.errors import UserError
from corea.rl.rollout.stated_number import NumberTokens
from corea.rl.run import distributed
from corea.rl.run.device_use import known_shape
from corea.rl.run.phase_timer import PhaseTimer
from corea.rl.update.batching import MicroBatch, batches_of_trees, trees_of_rows
from corea.rl.update.forward import supports_trees
from corea.rl.update.loss import aggregation_weights
from corea.rl.update.policy import Policy, Sums
from corea.rl.update.rows import build_rows, in_loss
from corea.rl.update.work import Work, work_of
from corea.types import Group, Rollout

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Updater:
    """Updates the policy on the groups of a step."""

    def __init__(
        self,
        cfg: TrainConfig,
        policy: Policy,
        tokenizer: PreTrainedTokenizerBase,
        timer: PhaseTimer,
        numbers: NumberTokens | None = None,
    ) -> None:
        self.cfg = cfg
        self.policy = policy
        self.tokenizer = tokenizer
        self.timer = timer
        self.shape = known_shape(policy.model)
        self.work = Work()
        self.flops = 0.0
        """Floating-point operations of the last update, of all ranks; 0 for an unknown architecture."""
        self.numbers = numbers
        self.share_prompt = cfg.trainer.share_prompt and supports_trees(policy.model)
        most = -(-cfg.trainer.questions // distributed.world_size())
        if cfg.trainer.minibatches > most:
            raise UserError(
                f"trainer.minibatches={cfg.trainer.minibatches}: allowed is at most {most}, the questions per step of "
                f"each of {distributed.world_size()} processes"
            )

    def update(self, groups: list[Group], lr: float) -> dict[str, float]:
        """Run all epochs and minibatches on one batch; metrics are averages over their optimizer steps."""
        trainer = self.cfg.trainer
        self.work = Work()
        parts = [groups[k :: trainer.minibatches] for k in range(trainer.minibatches)]
        built = [self._micro_batches(part) for part in parts]
        batches = [batch for batch in built if batch is not None]
        several = trainer.minibatches * trainer.epochs > 1
        with self.timer.measure("logprobs"):
            if several or self.policy.has_reference:
                batches = [self.policy.fill_logprobs(b, old=several) for b in batches]
        results = []
        with self.timer.measure("update"):
            for _ in range(trainer.epochs):
                results += [self.policy.update(b, lr) for b in batches]
        ranks = distributed.gather((results, self.work))
        work = sum((part for _, part in ranks), Work())
        self.flops = self._flops(work, several)
        metrics = update_metrics([r for every, _ in ranks for r in every], ranks=len(ranks))
        metrics["speed/padding_share"] = 1 - work.tokens / max(1, work.padded)
        return metrics | {"empty_updates": float(trainer.epochs * (len(built) - len(batches)))}

    def _flops(self, work: Work, several: bool) -> float:
        if self.shape is None:
            return 0.0
        scorings = int(several) + int(self.policy.has_reference)
        adapters = self.policy.adapters is not None
        return work.flops(self.shape, backwards=self.cfg.trainer.epochs, scorings=scorings, adapters=adapters)

    def _micro_batches(self, groups: list[Group]) -> list[MicroBatch] | None:
        """This rank's micro-batches of one optimizer step; the denominator of the loss is that of all ranks.

        None, on every rank, if no rank has a completion that is in the loss.
        """
        loss = self.cfg.trainer.loss
        counted = [r for g in groups for r in g.rollouts if in_loss(r, loss.mask_truncated)]
        lengths = distributed.gather([len(r.completion.token_ids) for r in counted])
        if not any(lengths):
            return None
        weights = aggregation_weights(
            [n for part in lengths for n in part], loss.aggregation, self.cfg.model.max_tokens
        )
        first = sum(len(part) for part in lengths[: distributed.rank()])
        weight_by_id = {id(r): w for r, w in zip(counted, weights[first:], strict=False)}

        def weight_of(rollout: Rollout) -> float:
            return weight_by_id[id(rollout)]

        rows = build_rows(groups, weight_of, self.cfg, self.tokenizer.decode, self.numbers)
        budget = self.cfg.trainer.token_budget
        trees = trees_of_rows(rows, budget, self.share_prompt)
        batches = batches_of_trees(trees, budget, pad=self.policy.pad, packing=self.cfg.trainer.packing)
        self.work += work_of(trees, batches)
        return batches


def update_metrics(results: Sequence[Sums], ranks: int = 1) -> dict[str, float]:
    """Sums over tokens, of all updates of a step and all ranks -> averages per token; loss is NaN without an update.

    The loss of an update is the sum over its ranks, each of which has the share of its own tokens.
    """
    counted = sum(r.get("tokens", 0.0) for r in results)
    tokens = max(1.0, counted)
    total: dict[str, Any] = {}
    for result in results:
        for name, value in result.items():
            total[name] = max(total.get(name, 0.0), value) if name == "gap_max" else total.get(name, 0.0) + value
    unknown = total.get("unknown", 0.0)
    return {
        "loss": total["loss"] * ranks / len(results) if results else math.nan,
        "grad_norm": total["grad_norm"] / len(results) if results else math.nan,
        "skipped_updates": total.get("skipped", 0.0),
        "entropy": total.get("entropy", 0.0) / tokens,
        "clip_share": total.get("clipped", 0.0) / tokens,
        "importance_capped_share": total.get("capped", 0.0) / tokens,
        "importance/mean": total.get("ratio", 0.0) / tokens if counted else math.nan,
        "importance/kl": total.get("drift", 0.0) / tokens,
        "kl": total.get("kl", 0.0) / tokens,
        "missing_logprobs": unknown,
        "logprob_gap/mean": math.nan if unknown and not counted else total.get("gap", 0.0) / tokens,
        "logprob_gap/max": total.get("gap_max", 0.0),
    }
