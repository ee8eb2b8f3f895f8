"""Optimizer state for another number of processes or another ZeRO stage: DeepSpeed's universal checkpoints.

A universal checkpoint holds one folder per trained parameter, with the whole parameter in float32 and AdamW's moments.
DeepSpeed splits a checkpoint of stage 1, 2 or 3 into such folders (deepspeed.checkpoint.ds_to_universal), and each rank
reads its part of them (`load_universal`). DeepSpeed converts between numbers of processes, and between stages 1 and 2.
This module adds the rest: stage 0, which has no parts, and changes between stage 3 and the others, whose files differ.
After loading it sets the step of AdamW: at stage 3 DeepSpeed gives all parts one tensor, and each part counts it up.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from corea.rl.run import distributed

if TYPE_CHECKING:
    from corea.rl.update.policy import Policy

PARTS = ("fp32", "exp_avg", "exp_avg_sq")
"""Files of a parameter: weights and AdamW's moments."""
MODEL_FILES = ("mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_model_states.pt")
"""Where DeepSpeed looks for its counters: at the stages 0 to 2, and at stage 3."""
COUNTERS = ("global_steps", "global_samples", "skipped_steps", "dp_world_size", "mp_world_size")
SCALING = ("loss_scaler", "dynamic_loss_scale", "overflow")
"""State of the loss scaling of float16."""


def write_universal(source: Path, target: Path, stage: int, groups: Sequence[Sequence[str]]) -> None:
    """Convert DeepSpeed's files in `source`, which ZeRO stage `stage` wrote, to a universal checkpoint in `target`.

    Args:
        groups: names of the trained parameters by parameter group, as in the optimizer that will load the result.
    """
    first = MODEL_FILES[1 if stage == 3 else 0]
    model = _read(source / first)
    if stage == 0:
        shared: Mapping[str, Any] = {}
        step = _split_plain(model, target, [name for group in groups for name in group])
    else:
        shared, step = _split_by_deepspeed(source, target, stage)
    for name in (name for group in groups for name in group):
        _complete(target / "zero" / name, step)
    counters = {key: model[key] for key in COUNTERS if key in model}
    for file in MODEL_FILES:
        torch.save({"module": {}, **counters}, target / file)
    # Options of the groups are those of the present configuration, so they are not stored.
    torch.save(
        {
            **{key: shared[key] for key in SCALING if key in shared},
            "ds_version": distributed.import_deepspeed().__version__,
            "param_groups": [{} for _ in groups],
            "optimizer_state_dict": {"state": {0: {"step": step}}, "param_groups": [{}]},
        },
        target / "zero" / "optimizer_state.pt",
    )


def _split_plain(model: Mapping[str, Any], target: Path, names: Sequence[str]) -> float:
    """Stage 0: one file with everything. Returns the step of AdamW."""
    states = model["optimizer"]["state"]
    for number, name in enumerate(names):
        folder = target / "zero" / name
        folder.mkdir(parents=True)
        weight = model["module"][name]
        moments = states.get(number, {})
        torch.save(weight.float(), folder / "fp32.pt")
        for part in PARTS[1:]:
            torch.save(moments.get(part, torch.zeros_like(weight)), folder / f"{part}.pt")
    return float(states[0]["step"]) if states else 0.0


def _split_by_deepspeed(source: Path, target: Path, stage: int) -> tuple[Mapping[str, Any], float]:
    """Stages 1 to 3. Returns DeepSpeed's state that is no part of a parameter, and the step of AdamW."""
    distributed.import_deepspeed()
    from deepspeed.checkpoint import ds_to_universal

    inputs = target / "inputs"
    inputs.mkdir()
    for file in source.glob("*_optim_states.pt"):
        (inputs / file.name).symlink_to(file.resolve())
    for file in source.glob("*_model_states.pt"):  # without the weights, which the optimizer holds in float32
        torch.save({**_read(file), "module": None}, inputs / file.name)
    options = Namespace(
        input_folder=str(inputs),
        output_folder=str(target),
        num_extract_workers=1,  # in this process: forked ones would share its connections to the other ranks
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,
    )
    with distributed.quiet(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        ds_to_universal.main(options)
    for file in inputs.iterdir():
        file.unlink()
    inputs.rmdir()
    for file in target.glob("*_model_states.pt"):
        file.unlink()
    (target.parent / "latest_universal").unlink(missing_ok=True)  # DeepSpeed's note; nothing reads it here
    shared = _read(target / "zero" / "optimizer_state.pt")
    if stage == 3:
        return shared, float(shared["optimizer_state_dict"]["state"][0]["step"])
    return shared, float(_read(next((target / "zero").glob("**/step.pt"))))


def _complete(folder: Path, step: float) -> None:
    """Files of one parameter as every stage reads them: dicts with `param`, and the step."""
    for part in PARTS:
        content = _read(folder / f"{part}.pt")
        if torch.is_tensor(content):
            torch.save({"param": content.clone()}, folder / f"{part}.pt")
    torch.save(torch.tensor(step), folder / "step.pt")


def _read(file: Path) -> Any:
    """A file of DeepSpeed, compared with the checksum of the manifest before; tensors stay on the disk until used."""
    return torch.load(file, map_location="cpu", weights_only=False, mmap=True)


def load_universal(policy: Policy, folder: Path) -> None:
    """Load a universal checkpoint that `write_universal` wrote. Every rank calls this."""
    if policy.cfg.zero_stage == 0:
        _load_plain(policy, folder / "zero")
        return
    with _universal(policy.engine):
        path, _ = policy.engine.load_checkpoint(str(folder.parent), tag=folder.name)
    if path is None:
        raise ValueError(f"{folder}: DeepSpeed finds no state that it can load")
    step = _read(folder / "zero" / "optimizer_state.pt")["optimizer_state_dict"]["state"][0]["step"]
    inner = policy.optimizer.optimizer
    counts_tensors = isinstance(inner, torch.optim.AdamW)
    for state in inner.state.values():
        state["step"] = torch.tensor(step) if counts_tensors else int(step)


@torch.no_grad()
def _load_plain(policy: Policy, folder: Path) -> None:
    for parameter, name in trained_names(policy.engine.module).items():
        weight, *moments = (_read(folder / name / f"{part}.pt")["param"].view(parameter.shape) for part in PARTS)
        parameter.copy_(weight)
        state: dict[str, Tensor] = {"step": _read(folder / name / "step.pt")}
        for part, value in zip(PARTS[1:], moments, strict=True):
            state[part] = value.to(parameter.device, copy=True)
        policy.optimizer.state[parameter] = state


@contextmanager
def _universal(engine: Any) -> Iterator[None]:
    """Inside, DeepSpeed loads universal checkpoints: its setting `load_universal`, which is fixed at the start, while
    the checkpoint is known only later."""
    config = engine._config
    before = config.load_universal_checkpoint
    config.load_universal_checkpoint = True
    try:
        yield
    finally:
        config.load_universal_checkpoint = before


def trained_names(module: nn.Module) -> dict[nn.Parameter, str]:
    """Trained parameters -> their names; a shared one has the first of its names, as in DeepSpeed."""
    return {parameter: name for name, parameter in module.named_parameters() if parameter.requires_grad}
