"""python -m corea.plan: memory, time and cost of a training on given GPUs, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from corea.app import command
from corea.config import PlanConfig


@command("plan")
def main(cfg: PlanConfig) -> None:
    """Print what `corea.train` with the same overrides needs, and write it to plan.json in `out` or the run folder."""
    from corea.plan.show_training_plan import show_training_plan
    from corea.plan.training_plan import as_json, plan_training
    from corea.run_folder import run_dir
    from corea.runtime import atomic_write

    plan = plan_training(cfg)
    folder = Path(cfg.out) if cfg.out else run_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "plan.json") as path:
        path.write_text(json.dumps(as_json(plan), indent=1) + "\n", encoding="utf-8")
    show_training_plan(plan)
    print(f"plan: {folder / 'plan.json'}")
