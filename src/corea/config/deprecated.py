"""Old names of configuration keys and classes: accepted for one release, with a warning (CHANGELOG.md)."""

from __future__ import annotations

import functools
import logging
import os
import pickle
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import OmegaConf

log = logging.getLogger(__name__)

KEYS = {
    "trainer.panel_every": "trainer.validation_every",
    "trainer.panel_questions": "trainer.validation_questions",
}
"""Old key -> new key."""
TARGETS = {
    "corea.engines.hf.HFEngine": "corea.engines.local.hf.HFEngine",
    "corea.engines.vllm.VLLMEngine": "corea.engines.vllm.in_process.VLLMEngine",
    "corea.engines.vllm_server.VLLMServer": "corea.engines.vllm.served.VLLMServer",
    "corea.engines.build.chosen": "corea.engines.build.resolve_engine",
    "corea.engines.server.OpenAIEngine": "corea.engines.remote.openai_chat.OpenAIEngine",
}
"""Old `_target_` -> new one. Mapped without a warning, since corea itself wrote it into the configuration of a run."""


def current_target(target: str) -> str:
    """The present path of the class whose path was `target`."""
    return TARGETS.get(target, target)


def first_target(target: str) -> str:
    """The path under which a class was first published; the key of stored answers, so that they stay valid."""
    return next((old for old, new in TARGETS.items() if new == target), target)


def current_overrides(overrides: Iterable[str]) -> list[str]:
    """The overrides of a command line with old keys replaced by new ones."""
    return [_current_override(override) for override in overrides]


def current_config(config: Any, path: str = "", quiet: bool = False) -> Any:
    """A configuration, as plain mappings and lists, with old keys and targets replaced by new ones.

    `path` is the key of `config`. With `quiet` (the stored configuration of a run) no warning is given.
    """
    if isinstance(config, list):
        return [current_config(item, path, quiet) for item in config]
    if not isinstance(config, Mapping):
        return config
    found = {}
    for key, value in config.items():
        full = str(key) if path in ("", "hydra.sweeper.params") else f"{path}.{key}"
        if full in KEYS:
            if not quiet:
                _warn(full)
            key = KEYS[full] if path == "hydra.sweeper.params" else KEYS[full].rpartition(".")[2]
        if key == "_target_" and isinstance(value, str):
            value = current_target(value)
        found[key] = current_config(value, f"{path}.{key}" if path else str(key), quiet)
    return found


def _current_override(override: str) -> str:
    match = re.match(r"(~|\+{0,2})([\w.]+)(?==|$)", override)
    if match is None or match[2] not in KEYS:
        return override
    _warn(match[2])
    return f"{match[1]}{KEYS[match[2]]}{override[match.end() :]}"


@functools.cache
def _warn(old: str) -> None:
    """Warn once per key and process; before logging is configured, Python prints warnings on stderr."""
    if os.environ.get("RANK", "0") == "0":
        log.warning("%s is deprecated: use %s; the next release does not accept the old name", old, KEYS[old])


PARSED_FROM = "parsed_from"
"""Attribute of a ConfigResult: provider, path, time of change and size of its file."""
_parsed: dict[tuple[str, str, int, int], bytes] = {}
"""YAML files that this process has read, pickled, by provider, path, time of change and size."""


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's source of YAML files, with old names replaced.

    It has the name of Hydra's own class: in the processes of a launcher, Hydra registers its sources once more and
    leaves a class of the same name in place.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """See ConfigSource. A file is parsed once per process, until it changes: a sweep composes it for every job."""
        file = os.path.join(self.path, self._normalize_file_name(config_path))
        try:
            found = os.stat(file)
        except OSError:
            return self._renamed(config_path)
        key = (self.provider, file, found.st_mtime_ns, found.st_size)
        if key not in _parsed:
            read = self._renamed(config_path)
            setattr(read, PARSED_FROM, key)
            _parsed[key] = pickle.dumps(read)
        result: ConfigResult = pickle.loads(_parsed[key])  # a copy, as Hydra changes it; deepcopy takes 7 times as long
        return result

    def _renamed(self, config_path: str) -> ConfigResult:
        result = super().load_config(config_path)
        package = result.header.get("package")
        folder = os.path.dirname(config_path).replace("/", ".") if package in (None, "_group_") else package
        content = OmegaConf.to_container(result.config, resolve=False)
        renamed = current_config(content, "" if folder == "_global_" else folder)
        if renamed != content:
            result.config = OmegaConf.create(renamed)
        return result


def register_renaming_source() -> None:
    """Make Hydra read YAML files through this module's FileConfigSource."""
    Plugins.instance()  # registers Hydra's own sources first
    SourcesRegistry.instance().types["file"] = FileConfigSource
