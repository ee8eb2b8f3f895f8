"""Composes configurations from conf/ as the command line does, and builds each of them once."""

from __future__ import annotations

import copy
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
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, ValueType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from corea.config.checks import describing
from corea.config.deprecated import current_overrides
from corea.config.loader import RememberingLoader
from corea.config.messages import plain_line
from corea.config.schema_store import register_schemas
from corea.config.typed import build
from corea.errors import UserError

VERSION_BASE = "1.3"
OVERRIDES = "_composed_with"
"""Attribute of a configuration that `compose` made: its overrides."""
BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


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
        given = with_trainer(verb, with_task_path(current_overrides(overrides)))
        cfg = typed(hydra, verb, given)
    setattr(cfg, OVERRIDES, tuple(given))
    return cfg


def overrides_of(cfg: Any) -> tuple[str, ...]:
    """The overrides that a configuration was composed with: by the command line that runs, or by `compose`."""
    given: tuple[str, ...] | None = getattr(cfg, OVERRIDES, None)
    if given is None and HydraConfig.initialized():
        given = tuple(HydraConfig.get().overrides.task)
    return given or ()


def with_task_path(overrides: list[str]) -> list[str]:
    """The overrides with data=lm_eval:TASK as data=lm_eval data.path=lm_eval:TASK."""
    found: list[str] = []
    for item in overrides:
        key, _, value = item.partition("=")
        named = key == "data" and value.startswith("lm_eval:")
        found += ["data=lm_eval", f"data.path={value}"] if named else [item]
    return found


def with_trainer(config_name: str, overrides: list[str]) -> list[str]:
    """The overrides of corea.train or corea.plan, with the trainer that fits a model that they name without one.

    conf/train.yaml has trainer=tiny, whose learning rate would ruin a pretrained model. Hydra cannot choose one
    group by another.

    Raises:
        UserError: a sweep over the tiny model and others, which no single trainer fits.
    """
    given = dict(item.split("=", 1) for item in overrides if "=" in item)
    if config_name not in ("train", "plan") or "model" not in given or {"trainer", "experiment"} & given.keys():
        return overrides
    models = swept_values(f"model={given['model']}")
    if models and "tiny" not in models:
        return [*overrides, "trainer=gpu"]
    if len(set(models)) > 1:
        raise UserError(f"model={given['model']}: tiny and others need different trainers; give trainer= as well")
    return overrides


def swept_values(override: str) -> list[str]:
    """The choices of a group that an override names: one, a list, choice(...), or glob(...) of the files in conf/.

    None of one that cannot be read.
    """
    try:
        item = OverridesParser.create().parse_override(override)
    except HydraException:  # described when the whole is composed
        return []
    value = item.value()
    if isinstance(value, Glob):
        return value.filter(sorted(path.stem for path in (conf_dir() / item.key_or_group).glob("*.yaml")))
    if item.is_discrete_sweep():
        return list(item.sweep_string_iterator())
    return [item.get_value_element_as_str()]


def without_globs(loader: ConfigLoader, overrides: list[str]) -> list[str]:
    """The overrides with each glob(...) as a list of choices: sweepers but Hydra's own do not know the files."""
    found = []
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(overrides)
    for text, item in zip(overrides, parsed, strict=True):
        if item.value_type == ValueType.GLOB_CHOICE_SWEEP:
            text = f"{item.get_key_element()}=choice({','.join(item.sweep_string_iterator())})"
        found.append(text)
    return found


def typed(hydra: Hydra, config_name: str, overrides: list[str]) -> Any:
    """The root dataclass of a single job."""
    return build_job(composed(hydra, config_name, overrides, RunMode.RUN))


def composed(hydra: Hydra, config_name: str, overrides: list[str], mode: RunMode) -> DictConfig:
    """The configuration of a run, or the one that the jobs of a sweep start from, with its node `hydra`."""
    try:
        with describing():
            cfg = hydra.compose_config(config_name, overrides, run_mode=mode, with_log_configuration=False)
    except ValueError as error:  # Hydra's own complaint about an override
        raise UserError(plain_line(error, overrides)) from error
    except AssertionError as error:  # OmegaConf's, for a key below one that is null
        given = ", ".join(item for item in overrides if item.partition("=")[0].count("."))
        raise UserError(
            f"{given}: a key below one that is null; choose what stands there first, with +GROUP@KEY=CHOICE"
        ) from error
    if cfg.hydra.mode is None:
        cfg.hydra.mode = mode
    if mode == RunMode.RUN:
        _number(cfg, 0)
    return cfg


def _number(cfg: DictConfig, number: int) -> None:
    """Set ${hydra:job.num}, which Hydra leaves unset outside of sweeps, where it would read as "None"."""
    with open_dict(cfg):
        cfg.hydra.job.id = cfg.hydra.job.num = number


def build_job(cfg: DictConfig) -> Any:
    """The root dataclass of a composed configuration, in which `${hydra:...}` resolves as it will in the job."""
    task = copy.deepcopy(cfg)
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(task)
        _set_output_dir()
        with read_write(task), open_dict(task):
            del task["hydra"]
        return build(task)
    finally:
        HydraConfig.instance().cfg = before
        OmegaConf.copy_cache(from_config=task, to_config=cfg)  # the job reads the same ${now:...}


def _set_output_dir() -> None:
    """Set hydra.runtime.output_dir, which Hydra itself sets only when the job starts."""
    node = HydraConfig.get()
    try:
        folder = Path(node.sweep.dir, node.sweep.subdir) if node.mode == RunMode.MULTIRUN else Path(node.run.dir)
    except OmegaConfBaseException:
        return  # the folder depends on a value that is missing, which `build` reports by its own name
    with read_write(node.runtime), open_dict(node.runtime):
        node.runtime.output_dir = str(folder.absolute())


@contextmanager
def composer(verb: str, config_dir: str | None = None, config_path: str | None = None) -> Iterator[Hydra]:
    """Hydra with the search path of the command line: conf/ (or `config_path`), and before it `config_dir`."""
    register_schemas(verb)
    base = str(conf_dir()) if config_path is None else config_path
    path = create_config_search_path(base if "://" in base else str(Path(base).absolute()))
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise UserError(f"--config-dir {config_dir}: no such folder")
        path.prepend(provider="command-line", path=f"file://{folder}", anchor=SearchPathQuery(provider="schema"))
    version.setbase(VERSION_BASE)
    try:
        hydra = Hydra(task_name=verb, config_loader=RememberingLoader(config_search_path=path))
        GlobalHydra.instance().initialize(hydra)
        yield hydra
    finally:
        GlobalHydra.instance().clear()


def task_overrides(cfg: DictConfig) -> tuple[str, ...]:
    """The overrides of a job as they were written; of Hydra's own keys, none."""
    written = OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False)
    assert isinstance(written, list), "a list of overrides"
    return tuple(str(item) for item in written)


def is_basic(cfg: DictConfig) -> bool:
    """Whether the jobs of a sweep are known before the first one starts: those of Hydra's own sweeper."""
    return cfg.hydra.sweeper._target_ == BASIC_SWEEPER


def sweep_jobs(hydra: Hydra, cfg: DictConfig) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Overrides and root dataclass of each job of the sweep `cfg`, numbered as Hydra will number them."""
    str(cfg.hydra.sweep.dir)  # resolves ${now:...} once for all jobs
    for number, overrides in enumerate(jobs(hydra.config_loader, cfg)):
        with describing():
            job = hydra.config_loader.load_sweep_config(cfg, overrides)
        _number(job, number)
        yield task_overrides(job), build_job(job)


def jobs(loader: ConfigLoader, cfg: DictConfig) -> Iterator[list[str]]:
    """Overrides of each job of the sweep `cfg` with Hydra's own sweeper, in its order."""
    params = cfg.hydra.sweeper.get("params") or {}
    written = [*(f"{key}={value}" for key, value in params.items()), *task_overrides(cfg)]
    choices: dict[str, list[str]] = {}
    for item in OverridesParser.create(config_loader=loader).parse_overrides(written):
        key = item.get_key_element()
        if item.is_sweep_override() and not item.is_discrete_sweep():
            raise UserError(
                f"{item.input_line}: give the values of a sweep as a list: {key}=1,2,3 or {key}=range(1,4); intervals "
                "need a sweeper that chooses values, e.g. hydra/sweeper=optuna"
            )
        values = list(item.sweep_string_iterator()) if item.is_sweep_override() else [item.get_value_element_as_str()]
        if not values:
            raise UserError(f"{item.input_line}: has no value; a sweep needs at least one")
        choices[key] = [f"{key}={value}" for value in values]
    for combination in itertools.product(*choices.values()):
        yield list(combination)
