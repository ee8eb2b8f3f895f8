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
    """The dataclasses of `cfg`, interpolations resolved. Each is constructed, and so checked, exactly once.

    Raises:
        UserError: one line for the first mistake.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        if missing:
            raise UserError(f"{missing[0]}: a value is required; give {missing[0]}=...")
        return _built(cfg, "")
    except OmegaConfBaseException as error:
        raise UserError(omegaconf_line(error)) from error


def require_files(cfg: Any) -> None:
    """Check that fields of the root dataclass made by `existing()` name existing files or folders; UserError if not."""
    for field in fields(cfg):
        value = getattr(cfg, field.name)
        if field.metadata.get("exists") and value is not None and not Path(value).exists():
            raise UserError(f"{field.name}={value}: no such file or folder")


def _built(node: Any, path: str) -> Any:
    """`node` as plain values, the innermost dataclasses first, so that an error can be given its full key."""
    if isinstance(node, ListConfig):
        return [_built(item, f"{path}.{index}") for index, item in enumerate(node)]
    if not isinstance(node, DictConfig):
        return node
    values: dict[Any, Any] = {key: _built(node[key], f"{path}.{key!s}" if path else str(key)) for key in node}
    schema = OmegaConf.get_type(node)
    if not is_dataclass(schema):
        return values
    _no_other_keys(values, [field.name for field in fields(schema)], path)
    try:
        return schema(**values)
    except ValueError as error:
        raise UserError(_with_full_key(str(error), path)) from error


def _no_other_keys(given: dict[Any, Any], allowed: list[str], path: str) -> None:
    """Refuse unknown keys: Hydra accepts `+reward.clib=1`, since a plus allows any key."""
    for key in given:
        if key not in allowed:
            raise UserError(unknown_key(path, str(key), allowed))


def _with_full_key(message: str, path: str) -> str:
    """`lr=0: allowed ...` of the node trainer.optimizer becomes `trainer.optimizer.lr=0: allowed ...`."""
    match = re.match(r"[\w.*]+(?==)", message)
    if not match or not path or match[0].startswith(f"{path}."):
        return message
    return f"{path}.{match[0].rsplit('.', 1)[-1]}{message[match.end() :]}"
