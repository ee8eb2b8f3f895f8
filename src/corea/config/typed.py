"""From a composed configuration to its dataclasses, with range checks and errors that name the full key."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from corea.config.messages import omegaconf_line, unknown_key
from corea.errors import UserError


def build(cfg: DictConfig) -> Any:
    """Interpolations resolved, every `__post_init__` run; raises UserError with one line for the first mistake."""
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        if missing:
            raise UserError(f"{missing[0]}: a value is required; give {missing[0]}=...")
        _check(cfg, "")
        return OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise UserError(omegaconf_line(error)) from error


def require_files(cfg: Any) -> None:
    """Fields of the root dataclass made by `existing()` name files or folders that are there; UserError if not."""
    for field in fields(cfg):
        value = getattr(cfg, field.name)
        if field.metadata.get("exists") and value is not None and not Path(value).exists():
            raise UserError(f"{field.name}={value}: no such file or folder")


def _check(node: DictConfig | ListConfig, path: str) -> None:
    """Build the innermost dataclasses first, so that a complaint can be given its full key."""
    keys = range(len(node)) if isinstance(node, ListConfig) else list(node)
    for key in keys:
        child = node[key]
        if isinstance(child, DictConfig | ListConfig):
            _check(child, f"{path}.{key}" if path else str(key))
    schema = OmegaConf.get_type(node)
    if isinstance(node, DictConfig) and is_dataclass(schema):
        _no_other_keys(node, [field.name for field in fields(schema)], path)
        try:
            OmegaConf.to_object(node)
        except OmegaConfBaseException:
            raise
        except ValueError as error:
            raise UserError(_with_full_key(str(error), path)) from error


def _no_other_keys(node: DictConfig, allowed: list[str], path: str) -> None:
    """`+reward.clib=1` gets past Hydra: a plus opens every node."""
    for key in node:
        if key not in allowed:
            raise UserError(unknown_key(path, str(key), allowed))


def _with_full_key(message: str, path: str) -> str:
    """`lr=0: allowed ...` of the node trainer.optimizer becomes `trainer.optimizer.lr=0: allowed ...`."""
    match = re.match(r"[\w.*]+(?==)", message)
    if not match or not path:
        return message
    return f"{path}.{match[0].rsplit('.', 1)[-1]}{message[match.end() :]}"
