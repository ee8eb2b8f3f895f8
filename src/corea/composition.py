"""Composes configurations from conf/ the way the command line does, before Hydra itself runs the job."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from corea.config.messages import plain_line
from corea.config.schema_store import register_schemas
from corea.config.typed import build
from corea.errors import UserError

VERSION_BASE = "1.3"


def conf_dir() -> Path:
    """The folder conf/: inside the installed package, or in the checkout of an editable install."""
    here = Path(__file__).resolve().parent
    packaged = here / "conf"
    return packaged if packaged.is_dir() else here.parents[1] / "conf"


def compose(verb: str, *overrides: str) -> Any:
    """The checked root dataclass of `verb`, e.g. compose("train", "model=smollm2", "seed=1").

    Raises UserError, or Hydra's own errors for what cannot be composed.
    """
    with composer(verb) as hydra:
        return typed(hydra, verb, with_trainer(verb, list(overrides)))


def with_trainer(config_name: str, overrides: list[str]) -> list[str]:
    """The overrides of corea.train, with the trainer that fits the model where they name a model and no trainer.

    conf/train.yaml has trainer=tiny, whose learning rate would ruin a pretrained model. Hydra cannot choose one
    group by another.

    Raises:
        UserError: a sweep over the tiny model and others, which no single trainer fits.
    """
    given = dict(item.split("=", 1) for item in overrides if "=" in item)
    if config_name != "train" or "model" not in given or {"trainer", "experiment"} & given.keys():
        return overrides
    models = {name.strip() for name in given["model"].split(",")}
    if "tiny" not in models:
        return [*overrides, "trainer=gpu"]
    if len(models) > 1:
        raise UserError(f"model={given['model']}: tiny and others want different trainers; give trainer= as well")
    return overrides


def typed(hydra: Hydra, config_name: str, overrides: list[str]) -> Any:
    """Compose and build one job's configuration."""
    try:
        cfg = hydra.compose_config(config_name, overrides, run_mode=RunMode.RUN, with_log_configuration=False)
    except ValueError as error:  # Hydra's own complaint about an override
        raise UserError(plain_line(error, overrides)) from error
    with open_dict(cfg):
        del cfg["hydra"]
    return build(cfg)


@contextmanager
def composer(verb: str, config_dir: str | None = None) -> Iterator[Hydra]:
    """Hydra with the search path that hydra.main uses."""
    register_schemas()
    path = create_config_search_path(str(conf_dir()))
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise UserError(f"--config-dir {config_dir}: no such folder")
        path.prepend(provider="command-line", path=f"file://{folder}", anchor=SearchPathQuery(provider="schema"))
    version.setbase(VERSION_BASE)
    try:
        yield Hydra.create_main_hydra2(task_name=verb, config_search_path=path)
    finally:
        GlobalHydra.instance().clear()


def jobs(loader: ConfigLoader, config_name: str, overrides: list[str], multirun: bool) -> Iterator[list[str]]:
    """Overrides of each job: one, or those of a sweep with Hydra's own sweeper, in its order."""
    if not multirun:
        yield overrides
        return
    cfg = loader.load_configuration(config_name, overrides, RunMode.MULTIRUN)
    params = OmegaConf.select(cfg, "hydra.sweeper.params") or {}
    written = [*(f"{key}={value}" for key, value in params.items()), *overrides]
    choices: dict[str, list[str]] = {}
    for item in OverridesParser.create(config_loader=loader).parse_overrides(written):
        key = item.get_key_element()
        if item.is_sweep_override() and not item.is_discrete_sweep():
            raise UserError(f"{item.input_line}: give the values of a sweep as a list: {key}=1,2,3 or {key}=range(1,4)")
        values = item.sweep_string_iterator() if item.is_sweep_override() else [item.get_value_element_as_str()]
        choices[key] = [f"{key}={value}" for value in values]
    for combination in itertools.product(*choices.values()):
        yield list(combination)
