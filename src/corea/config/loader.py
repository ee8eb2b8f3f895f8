"""Hydra's config loader, which merges the same files once per process: a sweep composes them for every job."""

from __future__ import annotations

import pickle
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra.core.default_element import ResultDefault
from omegaconf import DictConfig, OmegaConf

from corea.config.deprecated import PARSED_FROM

_merged: dict[tuple[Any, ...], bytes] = {}
"""Merged configurations of this process, pickled, by what was merged in which order."""


class RememberingLoader(ConfigLoaderImpl):
    """Overrides of single keys are applied to a copy of what was merged before from the same files."""

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        key = tuple(_identity(default, repo) for default in defaults)
        if key not in _merged:
            cfg = super()._compose_config_from_defaults_list(defaults, repo)
            OmegaConf.clear_cache(cfg)  # ${now:...} is another one for the next
            _merged[key] = pickle.dumps(cfg)
        merged: DictConfig = pickle.loads(_merged[key])
        return merged


def _identity(default: ResultDefault, repo: IConfigRepository) -> tuple[Any, ...]:
    """What is merged, and where: the state of a file, or the name of a registered schema."""
    assert default.config_path is not None
    loaded = repo.load_config(default.config_path)
    assert loaded is not None
    source = getattr(loaded, PARSED_FROM, (loaded.provider, loaded.path))
    return source, default.config_path, default.package, default.primary
