"""Low-rank adapters (peft) in the trained model, and weights with the adapters merged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from corea.config import LoraConfig
from corea.config.checks import shown
from corea.errors import UserError
from corea.rl.run import distributed

ADAPTER = "default"


def add_adapters(model: nn.Module, cfg: LoraConfig) -> nn.Module:
    """Insert adapters into `model` in place and freeze all other weights.

    Returns:
        The peft wrapper, which can save the adapters alone.

    Raises:
        UserError: peft is not installed, or no layer has one of the names.
    """
    try:
        import peft
    except ModuleNotFoundError as error:
        raise UserError("trainer.lora needs peft: pip install 'corea[train]'") from error
    targets = cfg.targets[0] if cfg.targets == ["all-linear"] else cfg.targets
    options = peft.LoraConfig(
        r=cfg.rank, lora_alpha=cfg.alpha, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM"
    )
    try:
        return peft.get_peft_model(model, options)
    except ValueError as error:
        raise UserError(f"trainer.lora.targets={shown(cfg.targets)}: {str(error).splitlines()[0]}") from error


def write_adapter(wrapper: nn.Module, folder: Path) -> None:
    """Write the adapters alone in peft's format, gathered under ZeRO-3. Every rank calls this; rank 0 writes."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    with gathered([p for p in wrapper.parameters() if p.requires_grad]):
        if distributed.rank() == 0:
            state = get_peft_model_state_dict(wrapper, adapter_name=ADAPTER)
            folder.mkdir(parents=True, exist_ok=True)
            wrapper.peft_config[ADAPTER].save_pretrained(str(folder))
            file = folder / "adapter_model.safetensors"
            save_file({name: v.detach().to("cpu", copy=True).contiguous() for name, v in state.items()}, file)


def gathered(parameters: list[nn.Parameter]) -> AbstractContextManager[object]:
    """Context in which every rank holds these parameters; nothing to do unless ZeRO-3 has partitioned them."""
    if not any(hasattr(p, "ds_id") for p in parameters):
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(parameters)


@contextmanager
def adapters_off(wrapper: nn.Module) -> Iterator[None]:
    """Inside, the model computes as it did before training: the reference of a KL term."""
    with wrapper.disable_adapter():
        yield


@torch.no_grad()
def merged_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Weights of the plain architecture, base + update. The model is not changed, to the last bit."""
    from peft.tuners.lora import LoraLayer

    merged = {}
    for name, value in model.state_dict().items():
        if ".lora_" not in name:
            merged[name.replace(".base_layer.", ".")] = value
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            weight = module.get_base_layer().weight
            merged[f"{name}.weight"] = weight + module.get_delta_weight(ADAPTER).to(weight.dtype)
    return merged
