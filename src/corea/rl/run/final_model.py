"""Writes model/ of a finished run: the best checkpoint by a validation metric, or the weights of the last step."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corea.display import RESULT
from corea.rl.run.best_checkpoint import BestCheckpoint
from corea.rl.run.checkpoint import find_damage
from corea.runtime import atomic_folder, atomic_write

log = logging.getLogger(__name__)


def write_final_model(run_dir: Path, done: int, best: BestCheckpoint, save_model: Callable[[Path], None]) -> None:
    """Write model/, log which checkpoint it is, and record that in provenance.json as `model`. Rank 0 calls this.

    Args:
        done: the last step.
        save_model: writes the current weights to a folder; used if no best checkpoint is selected or intact.
    """
    record: dict[str, Any] = {"step": done, "trained": done}
    name = f"step-{best.step:06d}"
    checkpoint = run_dir / "checkpoints" / name
    damage = find_damage(checkpoint) if best.step else None
    if damage is not None:
        log.warning("best checkpoint %s is damaged (%s); model/ has the weights of the last step", checkpoint, damage)
    with atomic_folder(run_dir / "model") as temporary:
        if best.step and damage is None:
            shutil.copytree(checkpoint / "model", temporary, dirs_exist_ok=True)
            record |= {"step": best.step, "best_by": best.by, "value": best.value, "checkpoint": f"checkpoints/{name}"}
        else:
            save_model(temporary)
    record_model(run_dir / "provenance.json", record)
    chosen = f", best {best.by} {best.value:.4f}" if "best_by" in record else ""
    log.info("model: %s (step %d of %d%s)", run_dir / "model", record["step"], done, chosen, extra=RESULT)


def record_model(path: Path, record: dict[str, Any]) -> None:
    """Set `model` in provenance.json: the step that model/ comes from, the number of trained steps and, for a best
    checkpoint, metric and value."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"starts": []}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({**content, "model": record}, indent=1) + "\n", encoding="utf-8")
