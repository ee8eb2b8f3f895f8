"""Print the tables of README.md from finished demo runs: python experiments/demo/table.py outputs/demo ...

The stated confidence at the paper's rule comes from RUN/stated/metrics.json, the evaluation of `make demo` (signal
combined, rule max_drop) from RUN/metrics.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def number(figure: dict[str, Any], digits: int = 3, scale: float = 1.0, sign: bool = False) -> str:
    """Value and interval."""
    plus = "+" if sign else ""
    low, high = (f"{scale * bound:{plus}.{digits}f}" for bound in figure["ci95"])
    return f"{scale * figure['value']:{plus}.{digits}f} ({low} to {high})".replace("-", "−")


def row(family: str, seed: int, figures: dict[str, Any], rule: str) -> str:
    """One row: before and after RL, and the cascade by `rule`."""
    before, after = figures["slm_before"], figures["slm"]
    cascade = next(c for c in figures["cascade"] if c["rule"] == rule and c["chosen_on"] == family)
    cells = [f"{before[name]['value']:.3f} → {number(after[name])}" for name in ("accuracy", "ece", "auroc")]
    if cascade["threshold"] is None:
        return f"| {family} | {seed} | " + " | ".join([*cells, "no threshold", "–", "–"]) + " |"
    cells += [f"{100 * cascade['deferral_rate']['value']:.0f} %"]
    cells += [number(cascade["cost_change"], 1, 100, sign=True) + " %"]
    cells += [number(cascade["accuracy_change"], 1, 100, sign=True)]
    return f"| {family} | {seed} | " + " | ".join(cells) + " |"


def table(files: list[Path], rule: str) -> None:
    """One table over the seeds."""
    runs = [json.loads(path.read_text()) for path in files]
    print("| family | seed | pass@1 before → after RL | ECE | AUROC | to LLM | cost | pass@1, points |")
    print("|---|---|---|---|---|---|---|---|")
    for family in runs[0]["datasets"]:
        for seed, run in enumerate(runs):
            print(row(family, seed, run["datasets"][family], rule))
    accuracy = {
        name: [run["datasets"][name]["llm"]["accuracy"]["value"] for run in runs] for name in runs[0]["datasets"]
    }
    print("\nLLM alone: " + ", ".join(f"{name} {min(v):.3f} to {max(v):.3f}" for name, v in accuracy.items()) + ".\n")


def main() -> None:
    folders = [Path(folder) for folder in sys.argv[1:]]
    print("Stated confidence, the paper's rule:\n")
    table([folder / "stated" / "metrics.json" for folder in folders], "llm_accuracy")
    print("Signal combined, rule max_drop:\n")
    table([folder / "metrics.json" for folder in folders], "max_drop")


if __name__ == "__main__":
    main()
