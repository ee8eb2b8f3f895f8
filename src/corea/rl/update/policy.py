"""The policy: the trained model on a DeepSpeed engine, and one update of it.

DeepSpeed averages gradients over ranks and divides by its count of accumulation steps. The weights of this loss already
refer to the whole batch, so both are undone: accumulation is controlled here (DeepSpeed's count stays 1), and the
loss is multiplied by the number of ranks.

Legend: N completion tokens of a micro-batch.
"""

from __future__ import annotations

import copy
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from corea.config import TrainerConfig
from corea.errors import UserError
from corea.rl.run import distributed
from corea.rl.update.batching import MicroBatch, empty_micro_batch
from corea.rl.update.forward import TokenLogprobs, require_packing, require_plain_head
from corea.rl.update.lora import adapters_off, add_adapters, merged_state_dict
from corea.rl.update.loss import policy_loss
from corea.rl.update.output_layer import require_linear
from corea.rl.update.packed_attention import attention_of
from corea.rl.update.universal import load_universal, trained_names, write_universal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)
Sums = dict[str, float]
TAG = "state"
"""Folder of DeepSpeed's files in a checkpoint."""


class Policy:
    """A model that can be updated, saved and restored. The engine that samples may share `model`."""

    def __init__(self, model: nn.Module, cfg: TrainerConfig, *, pad: int, number_ids: Sequence[int] = ()):
        self.model = model
        self.cfg = cfg
        self.pad = pad
        distributed.set_environment()
        distributed.join_alone()
        deepspeed = distributed.import_deepspeed()
        if cfg.zero_stage == 0 and model.dtype != torch.float32:
            raise UserError(
                f"trainer.zero_stage=0: allowed with weights in {str(model.dtype).removeprefix('torch.')} is 1, 2 or 3 "
                "(1 costs nothing in one process), or take model.dtype=float32"
            )
        require_plain_head(model)
        if cfg.packing:
            require_packing(model)
        self.adapters = add_adapters(model, cfg.lora) if cfg.lora.rank else None
        self.has_reference = cfg.loss.kl > 0
        self.reference = self._frozen_copy() if self.has_reference and self.adapters is None else None
        if cfg.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.clips_itself = cfg.zero_stage == 0
        with distributed.quiet():
            self.engine, self.optimizer, _, _ = deepspeed.initialize(
                model=TokenLogprobs(model, cfg.temperature, number_ids=number_ids),
                model_parameters=parameter_groups(model, cfg.optimizer.weight_decay),
                config=deepspeed_config(cfg, model.dtype, clip=not self.clips_itself),
            )
        if cfg.zero_stage == 3 and distributed.world_size() > 1:
            require_linear(model.get_output_embeddings())
        self.device = next(model.parameters()).device

    def _frozen_copy(self) -> nn.Module:
        """The reference model; its weights are split among the ranks under ZeRO-3."""
        frozen = TokenLogprobs(copy.deepcopy(self.model).eval().requires_grad_(False), self.cfg.temperature)
        if self.cfg.zero_stage < 3:
            return frozen
        config = deepspeed_config(self.cfg, self.model.dtype, clip=False)
        del config["optimizer"]
        with distributed.quiet():
            split = distributed.import_deepspeed().initialize(model=frozen, config=config)[0]
        split.eval()
        return split

    @torch.no_grad()
    def fill_logprobs(self, batches: Sequence[MicroBatch], *, old: bool) -> list[MicroBatch]:
        """Copies of the micro-batches with old_logprobs (if `old`) and ref_logprobs (if there is a reference)."""
        filled = []
        for batch in self._pad_to_same_count(batches):
            batch = batch.to(self.device)
            if old:
                batch.old_logprobs = self.engine(batch)[0]
            if self.reference is not None:
                batch.ref_logprobs = self.reference(batch)[0]
            elif self.has_reference:
                with adapters_off(self.adapters):
                    batch.ref_logprobs = self.engine(batch)[0]
            filled.append(batch)
        return filled

    def _pad_to_same_count(self, batches: Sequence[MicroBatch]) -> list[MicroBatch]:
        """Pad with empty micro-batches so that all ranks run the same number of forward passes: ZeRO-3 gathers weights
        from all ranks. There is at least one, because DeepSpeed cannot step without a backward pass, and a batch may
        contain only degenerate groups.
        """
        count = max(1, *distributed.gather(len(batches)))
        return [*batches, *[empty_micro_batch(self.pad, self.cfg.packing)] * (count - len(batches))]

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Inside, every rank holds all weights, so that it can run the plain model alone, as sampling does (ZeRO-3)."""
        if self.cfg.zero_stage < 3:
            yield
            return
        import deepspeed

        offload = self.optimizer.parameter_offload
        with deepspeed.zero.GatheredParameters(list(self.model.parameters())):
            for parameter in self.model.parameters():
                parameter.ds_active_sub_modules.clear()
            for hook in (*offload.forward_hooks, *offload.backward_hooks):  # they would partition the weights again
                hook.remove()
            offload.forward_hooks.clear()
            offload.backward_hooks.clear()
            try:
                yield
            finally:
                offload._register_deepspeed_module(offload.module)

    def update(self, batches: Sequence[MicroBatch], lr: float) -> Sums:
        """One optimizer step on all micro-batches of all ranks.

        Returns:
            loss; grad_norm before clipping; skipped, 1 if loss or gradient was not finite and nothing was changed; and
            over this rank's tokens, the sums of policy_loss and of the entropy.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        padded = self._pad_to_same_count(batches)
        total: Sums = {"loss": 0.0}
        self.engine.train()
        for number, batch in enumerate(padded, 1):
            self.engine.set_gradient_accumulation_boundary(number == len(padded))
            _add(total, self._accumulate(batch.to(self.device)))
        finite = all(math.isfinite(loss) for loss in distributed.gather(total["loss"]))
        norm = self._step(finite)
        return {**total, "grad_norm": norm, "skipped": float(not (finite and math.isfinite(norm)))}

    def _accumulate(self, batch: MicroBatch) -> Sums:
        logprobs, entropy, shares = self.engine(batch)
        loss, sums = policy_loss(
            logprobs,
            old_logprobs=batch.old_logprobs,
            rollout_logprobs=batch.rollout_logprobs,
            advantages=batch.advantages,
            weights=batch.weights,
            cfg=self.cfg.loss,
            ref_logprobs=batch.ref_logprobs,
            kl_counted=batch.kl_counted,
            lengths=batch.lengths,
            stale=self.cfg.off_policy_steps > 0,
        )
        gains = shares * batch.choice_gains.reshape(shares.shape)
        # Also without any: the number of outputs in the loss has to be the same on all ranks (ZeRO-3).
        loss = loss - (batch.weights[batch.choice_places] * gains.sum(-1)).sum()
        # A NaN makes the whole gradient NaN, which DeepSpeed then discards on every rank.
        scale = distributed.world_size() if math.isfinite(loss.item()) else float("nan")
        with attention_of(self.model, batch):  # activations may be recomputed
            self.engine.backward(loss * scale)
        sums["entropy"] = ((batch.weights != 0) * entropy).sum()
        return {"loss": loss.item(), **{name: value.item() for name, value in sums.items()}}

    def _step(self, finite: bool) -> float:
        """Clip and step; returns the gradient norm before clipping, NaN if the step was skipped."""
        if self.clips_itself:
            norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.cfg.optimizer.max_grad_norm))
            if not (finite and math.isfinite(norm)):
                self.engine.zero_grad()
                return norm
            self.engine.step()
            return norm
        self.engine.step()
        norm = float(self.engine.get_global_grad_norm() or 0.0)
        return float("nan") if self.optimizer.overflow else norm

    def save(self, folder: Path) -> None:
        """Write weights and optimizer state of all ranks in DeepSpeed's format. Every rank calls this."""
        self.engine.save_checkpoint(str(folder), tag=TAG, save_latest=False)

    def load(self, folder: Path) -> None:
        """Load the files that `save` wrote, with the same number of processes and ZeRO stage. They are pickles: verify
        their checksums first.
        """
        path, _ = self.engine.load_checkpoint(str(folder), tag=TAG)
        if path is None:
            raise ValueError(f"{folder}: DeepSpeed finds no state that it can load")

    def write_universal(self, checkpoint: Path, folder: Path, stage: int) -> None:
        """Convert what `save` wrote into `checkpoint`, with ZeRO stage `stage` and any number of processes, into the
        empty `folder`. One rank calls this."""
        names = trained_names(self.engine.module)
        groups = parameter_groups(self.model, self.cfg.optimizer.weight_decay)
        write_universal(checkpoint / TAG, folder, stage, [[names[p] for p in group["params"]] for group in groups])

    def load_universal(self, folder: Path) -> None:
        """Load what `write_universal` wrote. Every rank calls this."""
        load_universal(self, folder)

    def save_model(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write weights (safetensors), configuration and tokenizer. Every rank calls this; rank 0 writes."""
        state = self.model_state()
        if distributed.rank() == 0:
            self.write_model(folder, tokenizer, state)

    def model_state(self) -> dict[str, torch.Tensor] | None:
        """All weights, gathered on rank 0 under ZeRO-3; None at other stages, where each rank holds them. Every rank
        calls this."""
        return self.engine._zero3_consolidated_16bit_state_dict() if self.cfg.zero_stage == 3 else None

    def write_model(
        self, folder: Path, tokenizer: PreTrainedTokenizerBase, state: dict[str, torch.Tensor] | None
    ) -> None:
        """Write weights, configuration and tokenizer on this rank; `state` from `model_state`."""
        if state is not None:
            state = {name.removeprefix("model."): value for name, value in state.items()}
        if self.adapters is not None:
            state = merged_state_dict(self.model)
            self.adapters.save_pretrained(folder / "adapter")
        self.model.save_pretrained(folder, state_dict=state, safe_serialization=True)
        tokenizer.save_pretrained(folder)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trained parameters in two groups: weight decay does not apply to biases and norms (vectors)."""
    trained = [p for p in model.parameters() if p.requires_grad]
    dims = [getattr(p, "ds_shape", p.shape) for p in trained]
    decay = [p for p, shape in zip(trained, dims, strict=True) if len(shape) >= 2]
    plain = [p for p, shape in zip(trained, dims, strict=True) if len(shape) < 2]
    groups = [{"params": decay, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [g for g in groups if g["params"]]


def cpu_adam_compiles() -> bool:
    """Whether DeepSpeed's optimizer for the CPU can be built here, which needs a compiler; the first time takes a
    minute."""
    from deepspeed.ops.op_builder import CPUAdamBuilder

    try:
        with distributed.quiet(), redirect_stdout(sys.stderr):
            CPUAdamBuilder().load(verbose=False)
    except Exception as error:  # compilers and build tools raise anything
        reason = " ".join(str(error).split())[:200]
        log.warning("trainer.offload: torch's AdamW runs, because DeepSpeedCPUAdam does not compile (%s)", reason)
        return False
    return True


def deepspeed_config(cfg: TrainerConfig, dtype: torch.dtype, *, clip: bool) -> dict[str, Any]:
    """DeepSpeed's configuration. `torch_adam` keeps it from compiling its own optimizer, except for an optimizer that
    is offloaded to the CPU, where DeepSpeedCPUAdam is several times as fast as torch's."""
    zero: dict[str, Any] = {"stage": cfg.zero_stage}
    if cfg.offload:
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
                "torch_adam": not (cfg.offload and cpu_adam_compiles()),
                "lr": optimizer.lr,
                "betas": list(optimizer.betas),
                "eps": 1e-8,
                "weight_decay": optimizer.weight_decay,
            },
        },
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,  # torch's optimizer also runs on the CPU and needs no compilation
        "bf16": {"enabled": dtype == torch.bfloat16},
        "fp16": {"enabled": dtype == torch.float16},
        "steps_per_print": None,
    }


def _add(total: Sums, more: Sums) -> None:
    for name, value in more.items():
        total[name] = max(total.get(name, 0.0), value) if name == "gap_max" else total.get(name, 0.0) + value
