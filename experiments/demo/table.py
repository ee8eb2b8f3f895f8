"""Print the table of README.md from finished demo runs: python experiments/demo/table.py outputs/demo ..."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RULE = "llm_accuracy"


def number(figure: dict[str, Any], digits: int = 3, scale: float = 1.0, sign: bool = False) -> str:
    """Value and interval."""
    plus = "+" if sign else ""
    low, high = (f"{scale * bound:{plus}.{digits}f}" for bound in figure["ci95"])
    return f"{scale * figure['value']:{plus}.{digits}f} ({low} to {high})".replace("-", "−")


def row(family: str, seed: int, figures: dict[str, Any]) -> str:
    """One row: before and after RL, and the cascade at the paper's rule."""
    before, after = figures["slm_before"], figures["slm"]
    cascade = next(c for c in figures["cascade"] if c["rule"] == RULE and c["chosen_on"] == family)
    cells = [f"{before[name]['value']:.3f} → {number(after[name])}" for name in ("accuracy", "ece", "auroc")]
    cells += [f"{figures['llm']['accuracy']['value']:.3f}", f"{100 * cascade['deferral_rate']['value']:.0f} %"]
    cells += [number(cascade["cost_change"], 1, 100, sign=True) + " %"]
    cells += [number(cascade["accuracy_change"], 1, 100, sign=True)]
    return f"| {family} | {seed} | " + " | ".join(cells) + " |"


def main() -> None:
    runs = [json.loads((Path(folder) / "metrics.json").read_text()) for folder in sys.argv[1:]]
    print("| family | seed | pass@1 before → after RL | ECE | AUROC | LLM pass@1 | to LLM | cost | pass@1, points |")
    print("|---|---|---|---|---|---|---|---|---|")
    for family in runs[0]["datasets"]:
        for seed, run in enumerate(runs):
            print(row(family, seed, run["datasets"][family]))


if __name__ == "__main__":
    main()
