"""Turns errors into one line for the user: what, where, what is allowed."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterable
from typing import Any

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from corea.config.quoting import quoted_override
from corea.errors import UserError

TRAINING_EXTRAS = ("torch", "transformers", "deepspeed", "datasets", "safetensors", "tokenizers", "peft")
PLUGINS = {
    "hydra/launcher=joblib": "'corea[sweep]'",
    "hydra/launcher=submitit_local": "'corea[sweep]'",
    "hydra/launcher=submitit_slurm": "'corea[sweep]'",
    "hydra/launcher=ray": "hydra-ray-launcher",
    "hydra/launcher=ray_aws": "hydra-ray-launcher",
    "hydra/launcher=rq": "hydra-rq-launcher",
    "hydra/sweeper=optuna": "hydra-optuna-sweeper",
    "hydra/sweeper=ax": "hydra-ax-sweeper",
    "hydra/sweeper=nevergrad": "hydra-nevergrad-sweeper",
}
"""Choices that packages add to Hydra -> what pip installs."""
PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
"""Values in OmegaConf's messages -> as a configuration writes them."""
KINDS = {"Integer": "an integer", "Float": "a number", "Boolean": "true or false"}


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """'; did you mean X?' for the closest option, or nothing."""
    close = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def one_line(text: str) -> str:
    """`text` on one line, with single spaces."""
    return " ".join(text.split())


def user_line(name: str, error: Exception, overrides: Iterable[str]) -> str | None:
    """One line for a user error of the command `name`; None for a bug."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, HydraException):
        return hydra_line(error, overrides)
    if isinstance(error, OmegaConfBaseException):
        return omegaconf_line(error)
    if isinstance(error, yaml.YAMLError):
        return f"not valid YAML: {error}"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in TRAINING_EXTRAS:
        return f"{name} needs the training extras: pip install 'corea[train]' ({error.name} is not installed)"
    if isinstance(error, OSError):
        return _os_line(error)
    return None


def _os_line(error: OSError) -> str | None:
    """A missing or forbidden file, or a full disk; None for any other operating-system error."""
    full = (errno.ENOSPC, errno.EDQUOT)
    file = error.filename
    if error.errno in full:
        where = f" while writing {file}" if file else ""
        return f"no space left on the disk{where}; existing files are unchanged"
    if file is not None and error.errno in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EROFS):
        return f"{file}: {os.strerror(error.errno).lower()}"
    return None


def hydra_line(error: HydraException, overrides: Iterable[str] = ()) -> str:
    """One line for an error raised while a configuration is composed from `overrides`."""
    if isinstance(error, OverrideParseException):
        return _syntax_line(error)
    if isinstance(error, MissingConfigException):
        return _choice_line(error, overrides)
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException):
        return omegaconf_line(cause, _override_in(str(error), overrides))
    return _composition_line(one_line(str(error)), overrides)


def plain_line(error: ValueError, overrides: Iterable[str]) -> str:
    """One line for a ValueError that Hydra raises about an override."""
    empty = [o for o in overrides if o.endswith(("=null", "="))]
    if "override must be a string or a list" in str(error) and empty:
        return f"{empty[0]}: a choice is required"
    return one_line(str(error))


def _composition_line(text: str, overrides: Iterable[str]) -> str:
    """Hydra's message, shortened if it is a common one."""
    sweep = re.search(r"(?:Sweep parameters|Ambiguous value for argument) '(.*?)'", text)
    if sweep:
        key, _, value = sweep[1].partition("=")
        text = quoted_override(key, value)
        return f"{sweep[1]}: several values need -m (a sweep); a list is written '{key}=[a,b]', one text {text}"
    group = re.match(r"Could not override '(.*?)'\. (?:No match|Did you mean)", text)
    if group:
        written = next((o for o in overrides if o.startswith(f"{group[1]}=")), group[1])
        return f"{written}: this command has no such group; --help lists the groups"
    foreign = re.match(r"In '(\S+)': ConfigKeyError raised while composing config: .*? full_key: (\S+)", text)
    if foreign:
        file, _, name = foreign[1].rpartition("/")
        return f"{file}={name}: sets {foreign[2]}, which this command does not have; the file is for another command"
    return _before_search_path(text)


def _before_search_path(text: str) -> str:
    return re.split(r" (?:Config search|Search) path:", text)[0]


def omegaconf_line(error: OmegaConfBaseException, override: str | None = None) -> str:
    """One line for a wrong key, type or reference; `override` is what the user wrote, if known."""
    key = error.full_key or str(error.key or "")
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return _key_line(error, key, override)
    if isinstance(error, MissingMandatoryValue):
        return f"{key}: a value is required; give {key}=..."
    message = one_line((error.msg or str(error)).split("\n")[0])
    wanted = re.search(r"Missing mandatory value: (\S+)", message)
    if wanted:
        return f"{wanted[1]}: a value is required; give {wanted[1]}=..."
    if isinstance(error, InterpolationResolutionError):
        return f"{key}: {message}"
    if isinstance(error, ValidationError):
        return _type_line(key, message, override)
    return f"{override or key}: {message}"


def _syntax_line(error: OverrideParseException) -> str:
    if "=" not in error.override:
        return f"{error.override!r} is not an override; write key=value or group=choice"
    key, _, value = error.override.partition("=")
    lines = str(error).split("\n")
    reason = one_line(lines[1] if lines[0].startswith("Error parsing") and len(lines) > 1 else lines[0])
    line = f"{error.override!r} is not a valid override ({reason})"
    if value.lstrip().startswith(("[", "{")):
        return f"{line}; a text with special characters is quoted inside a list too: '{key}=[\"a=b\"]'"
    return f"{line}; a text with special characters is quoted: {quoted_override(key, value)}"


def _choice_line(error: MissingConfigException, overrides: Iterable[str]) -> str:
    name = error.missing_cfg_file or ""
    group, _, choice = name.rpartition("/")
    if not group or error.options is None:
        return _before_search_path(one_line(str(error)))
    if f"{group}={choice}" in PLUGINS:
        return f"{group}={choice}: its plugin is not installed; pip install {PLUGINS[f'{group}={choice}']}"
    written = next((o for o in overrides if re.match(rf"\+?{re.escape(group)}(@\S+)?={re.escape(choice)}$", o)), None)
    options = list(error.options)
    where = written or f"{group}={choice}"
    return f"{where}: no such choice; allowed is {', '.join(options)}{did_you_mean(choice, options)}"


def _key_line(error: OmegaConfBaseException, key: str, override: str | None) -> str:
    path, _, leaf = key.rpartition(".")
    parent: Any = error.parent_node
    if not isinstance(parent, DictConfig):
        return f"{override or key}: no such key"
    return unknown_key(path, leaf, [str(k) for k in parent], override)


def unknown_key(path: str, leaf: str, keys: Iterable[str], written: str | None = None) -> str:
    """The message for a key `leaf` that is not among the `keys` of `path` ("" is the root)."""
    allowed = sorted(k for k in keys if not k.startswith("_") and k != "hydra")
    where = written or (f"{path}.{leaf}" if path else leaf)
    holder = f"the keys of {path}" if path else "the keys"
    return f"{where}: no such key; {holder} are {', '.join(allowed)}{did_you_mean(leaf, allowed)}"


def _type_line(key: str, message: str, override: str | None) -> str:
    value = re.search(r"Value '(.*?)' of type '.*?' could not be converted to (\w+)", message)
    if value:
        return f"{key}={PYTHON_WORDS.get(value[1], value[1])}: allowed is {KINDS.get(value[2], value[2])}"
    truth = re.search(r"Value '(.*?)' is not a valid bool", message)
    if truth:
        return f"{key}={PYTHON_WORDS.get(truth[1], truth[1])}: allowed is true or false"
    if "is not Optional" in message or "non optional" in message:
        return f"{key}: null is not allowed"
    if "is not a ListConfig" in message:
        return f"{override or key}: allowed is a list, written [a,b]"
    if "is not a subclass of EngineConfig" in message:
        return f"{override or key}: allowed is a choice of the group engine, written engine@{key}=NAME"
    return f"{override or key}: {message[0].lower()}{message[1:]}"


def _override_in(text: str, overrides: Iterable[str]) -> str | None:
    """The override that Hydra's message is about."""
    for override in overrides:
        key = override.split("=", 1)[0].lstrip("+~")
        if f"'{key}'" in text or f"override {override}" in text:
            return override.lstrip("+")
    return None
