"""Compares trainings of the small broad model: python experiments/broad_pair/recipes.py NAME=RUN[,RUN...] [NAME=...]

Each RUN is a run folder of corea.train, or a model folder; the runs of a NAME are its seeds. Every model answers the
same test questions (`--questions` of each task) once at temperature 1. Prints for each family the means over the seeds
with 95 % intervals over the seeds (Student t; none for one seed), and the AUROC of the expected confidence inside each
task. It needs no large model, unlike `corea.evaluate` and `corea.compare`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from measure import answers, ranking
from scipy import stats

from corea.composition import compose
from corea.engines.local.hf import HFEngine
from corea.metrics.calibration import measure
from corea.tasks.held_out import held_out
from corea.tasks.mixes import family_sources

COLUMNS = ("pass@1", "ECE", "AUROC stated", "AUROC expected", "AUROC probability")


def figures(model: Path, questions: int) -> dict[str, dict[str, float]]:
    """Family or "family/task" -> its figures."""
    engine, data = HFEngine(str(model)), compose("sft", "data=broad").data
    out: dict[str, dict[str, float]] = {}
    for family in data.families:
        parts = {}
        for source in family_sources(data, family):
            asked = held_out([source], "test", questions, dataset=family, seed=0)
            parts[source["name"]] = answers(engine, asked, 1.0)
        whole = {key: np.concatenate([part[key] for part in parts.values()]) for key in next(iter(parts.values()))}
        for name, part in {family: whole, **{f"{family}/{task}": part for task, part in parts.items()}}.items():
            stated = ~np.isnan(part["confidence"])
            scores = [ranking(part[key], part["right"]) for key in ("confidence", "expected", "probability")]
            error = measure(part["confidence"][stated], part["right"][stated])["ece"]
            out[name] = dict(zip(COLUMNS, [float(part["right"].mean()), float(error), *scores], strict=True))
    return out


def model_of(run: str) -> Path:
    """The model of a run folder; a model folder itself."""
    model = Path(run, "model")
    return model if model.is_dir() else Path(run)


def cell(values: list[float]) -> str:
    """Mean and half-width of its interval over the seeds."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):.3f} ± {half:.3f}"


def main() -> None:
    """Read the command line and print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="+", metavar="NAME=RUN[,RUN...]")
    parser.add_argument("--questions", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for group in args.groups:
        name, _, runs = group.partition("=")
        found[name] = [figures(model_of(run), args.questions) for run in runs.split(",")]
    places = list(next(iter(found.values()))[0])
    for family in (place for place in places if "/" not in place):
        print(f"\n| {family} | seeds | " + " | ".join(COLUMNS) + " |\n|---|---:|" + "---:|" * len(COLUMNS))
        for name, seeds in found.items():
            cells = [cell([seed[family][column] for seed in seeds]) for column in COLUMNS]
            print(f"| {name} | {len(seeds)} | " + " | ".join(cells) + " |")
    tasks = [place for place in places if "/" in place]
    names = " | ".join(task.split("/")[1] for task in tasks)
    print(f"\n| AUROC expected | {names} |\n|---|" + "---:|" * len(tasks))
    for name, seeds in found.items():
        means = [np.mean([seed[task]["AUROC expected"] for seed in seeds]) for task in tasks]
        print(f"| {name} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")


if __name__ == "__main__":
    main()
