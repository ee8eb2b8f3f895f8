"""The folder of a run: where it is, one process at a time, and the configuration that it holds."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from yaml import YAMLError

from corea.config.checks import shown
from corea.config.deprecated import current_config
from corea.errors import UserError
from corea.provenance import provenance
from corea.runtime import atomic_write

HARMLESS = (
    "trainer.steps",
    "trainer.save_every",
    "trainer.keep_last",
    "trainer.sample_every",
    "trainer.resume",
    "trainer.threads",
    "trainer.profile",
    "trainer.peak_tflops",
    "trainer.token_budget",
    "trainer.packing",
    "trainer.share_prompt",
    "trainer.validation_every",
    "trainer.validation_questions",
    "trainer.best_by",
    "trainer.patience",
    "trainer.max_skipped",
    "trainer.gradient_checkpointing",
    "trainer.name",
    "trainer.zero_stage",
    "trainer.offload",
    "sft.steps",
    "sft.eval_every",
    "sft.eval_questions",
    "sft.threads",
    "sft.token_budget",
    "sft.stop_after",
    "sft.eval_first",
    *(f"engine.{key}" for key in ("batch_rows", "graphs", "device", "max_rows", "gpu_share", "cpu_cache_gib")),
    *(f"engine.{key}" for key in ("sleep", "eager", "tensor_parallel", "max_logprob_gap")),
    *(f"engine.{key}" for key in ("base_url", "base_urls", "key_env", "cache", "weights", "transfer")),
    *(f"engine.{key}" for key in ("concurrency", "timeout_s", "tries", "max_wait_s")),
    "chunk",
    "logger",
    "display",
)
"""Keys (with everything below them) that may change when a run is resumed: how long it runs, what it shows and keeps,
and how and where the same figures are computed, which changes their rounding at most."""

LOCK = ".lock"
HOLDER = ".running.json"
"""Files of a locked run folder: the lock, and who holds it."""

UNSET = "(unset)"

_override: ContextVar[Path | None] = ContextVar("run_dir", default=None)


def launcher_ranks() -> tuple[int, int]:
    """(rank, number of processes) from the launcher's environment, before the process group exists."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def run_dir(shared: bool = False) -> Path:
    """The folder of this run: `hydra.run.dir`, or that of `use_run_dir`. RuntimeError outside of both.

    Raises:
        UserError: several processes share the folder (`shared`), but its name contains the time, which each process
            reads for itself.
    """
    folder = _override.get()
    if folder is not None:
        return folder
    if not HydraConfig.initialized() or OmegaConf.is_missing(HydraConfig.get().runtime, "output_dir"):
        raise RuntimeError("no run folder: start the verb on the command line, or inside use_run_dir(folder)")
    hydra = HydraConfig.instance().cfg
    submitted = "SUBMITIT_EXECUTOR" in os.environ  # its tasks get the folder from the process that submits them
    if shared and not submitted and hydra is not None and _names_the_time(hydra.hydra[_mode()]):
        raise UserError(
            f"hydra.{_mode()}.dir: its default contains the time, which each process reads for itself; give a folder"
        )
    return Path(HydraConfig.get().runtime.output_dir)


def _names_the_time(node: Any) -> bool:
    return "${now:" in str(OmegaConf.to_container(node, resolve=False))


def _mode() -> str:
    return "sweep" if HydraConfig.get().mode == RunMode.MULTIRUN else "run"


@contextmanager
def use_run_dir(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Run a verb from Python: `with use_run_dir("outputs/x"): main(cfg)`."""
    token = _override.set(Path(folder))
    try:
        yield Path(folder)
    finally:
        _override.reset(token)


@contextmanager
def lock_folder(folder: str | os.PathLike[str], enabled: bool = True) -> Iterator[None]:
    """Keep other processes out of a run folder, which is created if needed. A process that dies releases its lock.

    `enabled` is False in the ranks of a launched run that leave the folder to rank 0.

    Raises:
        UserError: another process holds the folder.
    """
    if not enabled:
        yield
        return
    path = Path(folder)
    created = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{path}: in use by {_holder(path / HOLDER)}; wait for it, or use another folder") from None
    try:
        held_by = {"pid": os.getpid(), "host": socket.gethostname(), "command": _command(), "since": _now()}
        with atomic_write(path / HOLDER) as temporary:
            temporary.write_text(json.dumps(held_by) + "\n", encoding="utf-8")
        yield
    finally:
        (path / HOLDER).unlink(missing_ok=True)
        if created and [file.name for file in path.iterdir()] == [LOCK]:  # a mistake leaves nothing behind
            (path / LOCK).unlink()
            path.rmdir()
        lock.release()


def _holder(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']} ({found['command']}) since {found['since']}"
    except (OSError, ValueError, KeyError):  # it has not written the file yet
        return "another process"


def _command() -> str:
    """corea.train for both `python -m corea.train` and `corea-train`."""
    name = Path(sys.argv[0])
    return f"corea.{name.parent.name if name.stem == '__main__' else name.stem.removeprefix('corea-')}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def prepare_run_dir(
    path: str | os.PathLike[str],
    cfg: Any,
    resume: str = "auto",
    name: str = "config.yaml",
    harmless: tuple[str, ...] | None = HARMLESS,
) -> bool:
    """Create the run folder `path` and store the configuration there; True if it already held this run.

    The root dataclass `cfg` is written to `name`, and versions and hardware to provenance.json, one entry per start.
    `harmless`: keys that may change between starts; None: all of them.

    Raises:
        UserError: `resume` is "never" and the folder holds a run; or a key outside `harmless` had another value before.
    """
    folder = Path(path)
    stored = folder / name
    if resume == "never" and (stored.exists() or (folder / "checkpoints").exists()):
        raise UserError(f"{folder}: already holds a run, and resume=never does not overwrite it; use another folder")
    held = stored.exists()
    if held:
        _refuse_changes(stored, cfg, harmless)
    with atomic_write(stored) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.create(asdict(cfg))), encoding="utf-8")
    _append_provenance(folder / "provenance.json", {"config": name, "seed": getattr(cfg, "seed", None)})
    return held


def holds_same(path: str | os.PathLike[str], cfg: Any) -> bool:
    """Whether the run folder `path` holds a run with exactly the configuration `cfg`, but for its display."""
    try:
        stored = OmegaConf.to_container(OmegaConf.load(Path(path) / "config.yaml"))
    except (YAMLError, OSError, UnicodeDecodeError):
        return False
    return isinstance(stored, dict) and {**stored, "display": None} == {**asdict(cfg), "display": None}


def _refuse_changes(stored: Path, cfg: Any, harmless: tuple[str, ...] | None) -> None:
    try:
        before = OmegaConf.to_container(OmegaConf.load(stored))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{stored}: cannot be read ({error}); use another folder") from error
    if not isinstance(before, dict):
        raise UserError(f"{stored}: not a configuration; use another folder")
    if harmless is None:
        return
    old, new = _flat(_with_new_keys(current_config(before, quiet=True), cfg)), _flat(asdict(cfg))
    changed = [
        f"{key} was {_short(old, key)}, now {_short(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, UNSET) != new.get(key, UNSET) and not any(f"{key}.".startswith(f"{h}.") for h in harmless)
    ]
    if changed:
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        raise UserError(
            f"{stored.parent}: holds a run with another configuration: {'; '.join(changed[:4])}{more}; "
            "use the old values, or another folder"
        )


def _with_new_keys(stored: Any, config: Any) -> Any:
    """`stored`, in which the keys that it lacks have the defaults of `config`: they are newer than the stored run."""
    if isinstance(stored, list) and isinstance(config, list) and len(stored) == len(config):
        return [_with_new_keys(*pair) for pair in zip(stored, config, strict=True)]
    if not isinstance(stored, dict) or not (isinstance(config, dict) or is_dataclass(config)):
        return stored
    values = config if isinstance(config, dict) else vars(config)
    known = {key: _with_new_keys(value, values.get(key)) for key, value in stored.items()}
    new = [] if isinstance(config, dict) else [field for field in fields(config) if field.name not in stored]
    return {**known, **{field.name: _default(field) for field in new}}


def _default(field: Field) -> Any:
    value = field.default if field.default_factory is MISSING else field.default_factory()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _short(values: dict[str, Any], key: str) -> str:
    text = shown(values.get(key, UNSET))
    return text if len(text) <= 60 else f"{text[:60]}…"


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested dicts as dotted keys; lists are not split."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {k: v for key, child in value.items() for k, v in _flat(child, f"{path}.{key}" if path else key).items()}


def _append_provenance(path: Path, extra: dict[str, Any]) -> None:
    stored: dict[str, Any] = {}
    starts = []
    if path.exists():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            starts = stored["starts"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: not a provenance file ({error}); use another folder") from error
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({**stored, "starts": [*starts, {**extra, **provenance()}]}, indent=1) + "\n")
