"""The policy: the trained model on a DeepSpeed engine, and one update of it.

DeepSpeed averages gradients over ranks and divides by its own accumulation steps. Neither may touch a loss whose
weights already are those of the whole batch: accumulation is driven here (its own count stays 1) and the loss is
multiplied by the number of ranks.

Legend: N completion tokens of a micro-batch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from corea.config import TrainerConfig
from corea.rl import distributed
from corea.rl.batching import MicroBatch, empty_micro_batch
from corea.rl.forward import TokenLogprobs
from corea.rl.loss import policy_loss

Sums = dict[str, float]
TAG = "state"
"""Folder of DeepSpeed's files inside a checkpoint."""


class Policy:
    """A model that can be updated, saved and restored. `model` is shared with the engine that samples from it."""

    def __init__(self, model: nn.Module, cfg: TrainerConfig, *, pad: int):
        self.model = model
        self.cfg = cfg
        self.pad = pad
        distributed.set_environment()
        deepspeed = distributed.import_deepspeed()
        self.reference = self._frozen_copy() if cfg.loss.kl > 0 else None
        decay = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
        plain = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
        groups = [{"params": decay, "weight_decay": cfg.optimizer.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.clips_itself = cfg.zero_stage == 0 and model.dtype == torch.float32
        with distributed.quiet():
            self.engine, self.optimizer, _, _ = deepspeed.initialize(
                model=TokenLogprobs(model, cfg.temperature),
                model_parameters=groups,
                config=deepspeed_config(cfg, model.dtype, clip=not self.clips_itself),
            )
        self.device = next(model.parameters()).device

    def _frozen_copy(self) -> TokenLogprobs:
        frozen = copy.deepcopy(self.model).eval().requires_grad_(False)
        return TokenLogprobs(frozen, self.cfg.temperature)

    @torch.no_grad()
    def fill_logprobs(self, batches: Sequence[MicroBatch], *, old: bool) -> list[MicroBatch]:
        """The micro-batches with old_logprobs (where `old`) and ref_logprobs (where there is a reference)."""
        filled = []
        for batch in batches:
            batch = batch.to(self.device)
            if old:
                batch.old_logprobs = self.engine(batch)[0]
            if self.reference is not None:
                batch.ref_logprobs = self.reference(batch)[0]
            filled.append(batch)
        return filled

    def update(self, batches: Sequence[MicroBatch], lr: float) -> Sums:
        """One optimizer step on all micro-batches of all ranks.

        Returns:
            loss, grad_norm before clipping, skipped (1 where loss or gradient was not finite and nothing was
            changed), and over this rank's tokens the sums of policy_loss and of the entropy.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        count = max(distributed.gather(len(batches)))
        padding = [empty_micro_batch(self.pad)] * (count - len(batches))
        total: Sums = {"loss": 0.0}
        self.engine.train()
        for number, batch in enumerate([*batches, *padding], 1):
            self.engine.set_gradient_accumulation_boundary(number == count)
            _add(total, self._accumulate(batch.to(self.device)))
        finite = all(math.isfinite(loss) for loss in distributed.gather(total["loss"]))
        norm = self._step(finite)
        return {**total, "grad_norm": norm, "skipped": float(not (finite and math.isfinite(norm)))}

    def _accumulate(self, batch: MicroBatch) -> Sums:
        logprobs, entropy = self.engine(batch)
        loss, sums = policy_loss(
            logprobs,
            old_logprobs=batch.old_logprobs,
            rollout_logprobs=batch.rollout_logprobs,
            advantages=batch.advantages,
            weights=batch.weights,
            cfg=self.cfg.loss,
            ref_logprobs=batch.ref_logprobs,
        )
        self.engine.backward(loss * distributed.world_size())
        sums["entropy"] = ((batch.weights != 0) * entropy).sum()
        return {"loss": loss.item(), **{name: value.item() for name, value in sums.items()}}

    def _step(self, finite: bool) -> float:
        """Clip and step; the norm of the whole gradient before clipping."""
        if self.clips_itself:
            norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.cfg.optimizer.max_grad_norm))
            if not (finite and math.isfinite(norm)):
                self.engine.zero_grad()
                return norm
            self.engine.step()
            return norm
        if not finite:
            raise FloatingPointError("the loss is not finite; with trainer.zero_stage=0 such a step would be skipped")
        self.engine.step()
        return float(self.engine.get_global_grad_norm() or 0.0)

    def save(self, folder: Path) -> None:
        """Weights and optimizer state of all ranks, in DeepSpeed's format. Every rank calls this."""
        self.engine.save_checkpoint(str(folder), tag=TAG, save_latest=False)

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote. The files are pickles: only after their checksums were verified.

        Raises:
            ValueError: they belong to another number of processes or ZeRO stage.
        """
        path, _ = self.engine.load_checkpoint(str(folder), tag=TAG)
        if path is None:
            raise ValueError(f"{folder}: DeepSpeed found no state that it can load")

    def save_model(self, folder: Path, tokenizer) -> None:
        """Weights as safetensors, configuration and tokenizer. Every rank calls this, the first one writes."""
        state = self.engine._zero3_consolidated_16bit_state_dict() if self.cfg.zero_stage == 3 else None
        if distributed.rank() != 0:
            return
        if state is not None:
            state = {name.removeprefix("model."): value for name, value in state.items()}
        self.model.save_pretrained(folder, state_dict=state, safe_serialization=True)
        tokenizer.save_pretrained(folder)


def deepspeed_config(cfg: TrainerConfig, dtype: torch.dtype, *, clip: bool) -> dict[str, Any]:
    """DeepSpeed's configuration. `torch_adam`: else it compiles an optimizer of its own."""
    zero: dict[str, Any] = {"stage": cfg.zero_stage}
    if cfg.offload and cfg.zero_stage >= 2:
        zero["offload_optimizer"] = {"device": "cpu"}
        if cfg.zero_stage == 3:
            zero["offload_param"] = {"device": "cpu"}
    if cfg.zero_stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    optimizer = cfg.optimizer
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": optimizer.max_grad_norm if clip else 0.0,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "torch_adam": not cfg.offload,
                "lr": optimizer.lr,
                "betas": list(optimizer.betas),
                "eps": 1e-8,
                "weight_decay": optimizer.weight_decay,
            },
        },
        "zero_optimization": zero,
        "bf16": {"enabled": dtype == torch.bfloat16},
        "fp16": {"enabled": dtype == torch.float16},
        "steps_per_print": None,
    }


def _add(total: Sums, more: Sums) -> None:
    for name, value in more.items():
        total[name] = max(total.get(name, 0.0), value) if name == "gap_max" else total.get(name, 0.0) + value
