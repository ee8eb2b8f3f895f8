"""What corea.train adds to a sweep: a check of what an optimising sweeper is given, jobs that have finished before, and
the command that compares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from corea.config.quoting import quoted_override
from corea.config.trainer_schema import LOWER_IS_BETTER
from corea.errors import UserError
from corea.jobs import Finished
from corea.run_folder import holds_same


def check_optimised(cfg: Any, sweeper: Any) -> None:
    """Refuse a sweeper that optimises what the jobs do not return, or in the wrong direction.

    Raises:
        UserError: `trainer.best_by` is null, there is no validation within `trainer.steps`, or `direction` of the
            sweeper is the wrong one.
    """
    by, every, steps = cfg.trainer.best_by, cfg.trainer.validation_every, cfg.trainer.steps
    if by is None:
        raise UserError(
            "trainer.best_by=null: this sweeper optimises what a job returns, the best validation value of "
            "trainer.best_by; give e.g. trainer.best_by=cascade_area"
        )
    if every > steps:
        raise UserError(
            f"trainer.validation_every={every}: allowed with this sweeper is a number from 1 to trainer.steps={steps}: "
            "a job without a validation returns nothing to optimise"
        )
    direction = sweeper.get("direction")
    name = getattr(direction, "name", direction)
    right = "minimize" if by in LOWER_IS_BETTER else "maximize"
    if isinstance(name, str) and name != right:
        raise UserError(f"hydra.sweeper.direction={name}: allowed with trainer.best_by={by} is {right}")


def finished_training(cfg: Any, folder: Path) -> Finished | None:
    """What a job returned that has finished in `folder` with the same configuration; None: the job must run."""
    try:
        record = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError):
        return None
    done = record.get("trained") == cfg.trainer.steps and (folder / "model" / "config.json").is_file()
    selected = cfg.trainer.best_by is None or "value" in record
    if not (done and selected and cfg.trainer.resume != "never" and holds_same(folder, cfg)):
        return None
    return Finished(value=record.get("value"))


def compare_line(folder: Path) -> str:
    """The command that compares the runs below `folder`, or "" where there are fewer than two."""
    if not folder.is_dir() or len(list(folder.rglob("metrics.jsonl"))) < 2:
        return ""
    return f"compare: python -m corea.compare {quoted_override('sweep', str(folder))}"
