"""Compare the confidence signals of evaluated runs, one per seed:

python experiments/signals/table.py outputs/signals_demo outputs/signals_demo_seed1 outputs/signals_demo_seed2

Prints a Markdown table of the first family for every seed (raw signals, and expected recalibrated) and the smoothness
of each curve, and draws signals.png: pass@1 over cost at every threshold, verbalized and expected, one panel per seed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

FAMILY = "in_domain"
COLUMNS = {"accuracy": (100, 1), "cost": (1e6, 0), "deferral_rate": (100, 1), "ece": (1, 3), "auroc": (1, 3)}
"""Column of signals.csv -> (scale, digits)."""
COLUMNS |= {"area_gain": (1, 3)}
INKS = {"verbalized": "#0072B2", "expected": "#D55E00"}


def cell(row: pd.Series, name: str) -> str:
    """Value, interval, and a star if it differs from verbalized (p < 0.05)."""
    scale, digits = COLUMNS[name]
    value, low, high = (f"{scale * row[name + end]:.{digits}f}" for end in ("", "_lo", "_hi"))
    star = "\\*" if row[f"{name}_p"] < 0.05 else ""
    return f"{value}{star} ({low} to {high})"


def curve(folder: Path, signal: str) -> pd.DataFrame:
    """Columns cost (% of the LLM alone) and accuracy at every threshold: first samples of the test questions."""
    frame = pd.read_parquet(folder / "answers.parquet")
    frame = frame[(frame["dataset"] == FAMILY) & (frame["split"] == "test") & (frame["sample"] == 0)]
    small, large = (frame[frame["tier"] == t].set_index("question_id").sort_index() for t in (0, 1))
    confidence = small["confidence" if signal == "verbalized" else f"confidence_{signal}"].fillna(-1).to_numpy()
    base, rows = large["cost_usd"].mean(), []
    for threshold in [*np.unique(confidence), np.inf]:
        sent = confidence < threshold
        cost = small["cost_usd"].mean() + (sent * large["cost_usd"]).mean()
        right = np.where(sent, large["correct"], small["correct"]).astype(float).mean()
        rows.append({"cost": 100 * cost / base, "accuracy": right})
    return pd.DataFrame(rows)


def main() -> None:
    folders = [Path(name) for name in sys.argv[1:]]
    heads = "pass@1, % | cost, $ per million | to LLM, % | ECE | AUROC | area gain"
    print(f"| seed | signal | {heads} |\n" + "|---" * (2 + len(COLUMNS)) + "|")
    for seed, folder in enumerate(folders):
        table = pd.read_csv(folder / "signals.csv")
        raw = ~table["signal"].str.contains(", ") | table["signal"].str.startswith("expected")
        for _, row in table[(table["dataset"] == FAMILY) & raw].iterrows():
            print(f"| {seed} | {row['signal']} | " + " | ".join(cell(row, name) for name in COLUMNS) + " |")
    print("\n| seed | signal | operating points | widest gap in cost, points of the LLM's bill |\n|---|---|---|---|")
    _, panels = plt.subplots(1, len(folders), figsize=(4.2 * len(folders), 3.9), sharey=True, layout="constrained")
    for seed, (folder, ax) in enumerate(zip(folders, np.atleast_1d(panels), strict=True)):
        for signal, ink in INKS.items():
            line = curve(folder, signal)
            print(f"| {seed} | {signal} | {len(line)} | {line['cost'].diff().max():.1f} |")
            mark = "o-" if signal == "verbalized" else ".-"
            ax.plot(line["cost"], line["accuracy"], mark, ms=5 if mark == "o-" else 2, lw=1.2, color=ink, label=signal)
        ax.plot(*line.iloc[[0, -1]].to_numpy().T, "--", color="#7A7A7A", lw=1, label="random deferral")
        ax.set(title=f"seed {seed}", xlabel="cost, % of the LLM alone")
        ax.grid(alpha=0.25)
    np.atleast_1d(panels)[0].set_ylabel(f"pass@1, {FAMILY}")
    np.atleast_1d(panels)[0].legend(loc="lower right", frameon=False)
    plt.savefig(Path(__file__).with_name("signals.png"), dpi=110)


if __name__ == "__main__":
    main()
