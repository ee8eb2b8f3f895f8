"""Check training on one GPU, in calls of a few minutes; each call continues where the last one stopped.

    python experiments/gpu/run.py --model FOLDER_OF_SmolLM2-135M-Instruct --out OUT [--minutes 9] [--toy]

Stages: cold start -> validation of it -> RL with reward=corea -> RL with reward=rlvr -> figures before and after ->
comparison with TRL, if it is installed.
Each stage is an ordinary command of corea in a separate process. When the time is over, the stage is stopped and saves
a checkpoint, and the same call continues from there. OUT holds everything; `results.json` lists the finished stages.
--toy uses the tiny model and a few steps instead, to show on a CPU that every stage runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESERVE = 40.0
"""Seconds that a stage has to save after the signal to stop."""


class OutOfTime(Exception):
    """The time of this call is over; the next call does the rest."""


class Stages:
    """Runs commands until a deadline and records the finished ones in results.json."""

    def __init__(self, out: Path, minutes: float):
        self.out = out
        self.deadline = time.monotonic() + 60 * minutes
        self.file = out / "results.json"
        self.results = json.loads(self.file.read_text()) if self.file.exists() else {}

    def left(self) -> float:
        """Seconds until a running stage must get the signal to stop."""
        return self.deadline - RESERVE - time.monotonic()

    def run(self, name: str, command: list[str], stop: int) -> None:
        """Run `command` unless it is done; at the deadline send it the signal `stop` and raise OutOfTime."""
        if name in self.results:
            return
        if self.left() <= 0:
            raise OutOfTime
        print(f"== {name}: {' '.join(command)}", flush=True)
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT)
        try:
            code = process.wait(self.left())
        except subprocess.TimeoutExpired:
            process.send_signal(stop)
            try:
                process.wait(RESERVE)
            except subprocess.TimeoutExpired:
                process.kill()
            raise OutOfTime from None
        if code:
            sys.exit(f"{name}: exit code {code}")
        self.keep(name, {"seconds_of_last_call": time.monotonic() - started})

    def keep(self, name: str, value: object) -> None:
        """Record a result."""
        self.results[name] = value
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.results, indent=1) + "\n")
        os.replace(temporary, self.file)


def commands(options: argparse.Namespace) -> list[tuple[str, list[str], int]]:
    """(name, command, signal that stops it) of every training stage."""
    out, python = options.out, [sys.executable, "-m"]
    model = [f"model.path={options.model}", "model=smollm2"]
    sizes = {
        # 32 times the examples that experiments/smollm2 uses on a CPU
        "sft": ["experiment=smollm2_cold", "sft.steps=240", "sft.batch_size=64", "sft.token_budget=16384"],
        "rl": ["trainer=gpu", "trainer.steps=100", "trainer.validation_questions=500", "trainer.optimizer.lr=1e-5"],
    }
    if options.toy:
        model = ["model=tiny"]
        sizes = {
            "sft": ["sft.steps=2", "sft.batch_size=8", "sft.eval_every=2", "sft.eval_questions=8"],
            "rl": ["trainer=debug", "trainer.validation_every=1", "trainer.validation_questions=16"],
        }
    start = [*python, "corea.sft", *model, *sizes["sft"], "logger=none"]
    stages = [("cold_start", [*start, f"hydra.run.dir={out}/cold_start"], signal.SIGINT)]
    trained = [*(o for o in model if not o.startswith("model.path=")), f"model.path={out}/cold_start/model"]
    still = ["trainer.steps=1", "trainer.validation_every=1", "trainer.optimizer.lr=1e-12"]  # does not change the model
    for name, more in (("before", still), ("corea", ["reward=corea"]), ("rlvr", ["reward=rlvr"])):
        rl = [*python, "corea.train", *trained, *sizes["rl"], *more, "engine.graphs=true", "logger=none"]
        stages.append((name, [*rl, f"hydra.run.dir={out}/{name}"], signal.SIGTERM))
    return stages


FIGURES = {
    "pass@1": "validation/pass@1",
    "ECE": "validation/ece",
    "AUROC": "validation/auroc",
    "area": "validation/cascade_area",
}


def figures(out: Path) -> dict:
    """The last validation of each run, on the same held-out questions, and its median seconds per step."""
    from statistics import median

    from corea.runtime import read_metrics

    found = {}
    for name in ("before", "corea", "rlvr"):
        lines = read_metrics(out / name / "metrics.jsonl")
        look = [line for line in lines if "validation/pass@1" in line][-1]
        found[name] = {
            "steps": lines[-1]["step"],
            **{title: look[key] for title, key in FIGURES.items()},
            "seconds": {k: median(line[f"seconds/{k}"] for line in lines) for k in ("step", "rollout", "update")},
            "logprob_gap_max": max(line["logprob_gap/max"] for line in lines),
        }
    return found


def table(found: dict) -> str:
    """The figures as a Markdown table."""
    phases = ("step", "rollout", "update")
    rows = [f"| | steps | {' | '.join(FIGURES)} | {' | '.join(f'{p}, s' for p in phases)} |"]
    rows.append("|---" * (2 + len(FIGURES) + len(phases)) + "|")
    for name, run in found.items():
        values = ["–" if run[title] is None else f"{run[title]:.3f}" for title in FIGURES]
        seconds = [f"{run['seconds'][p]:.3f}" for p in phases]
        rows.append(f"| {name} | {run['steps']} | {' | '.join([*values, *seconds])} |")
    return "\n".join(rows)


def require_packages() -> bool:
    """Exit if a package is missing that training needs; return whether TRL, for the comparison, is installed."""
    names = {"deepspeed": "deepspeed", "reasoning_gym": "reasoning-gym", "math_verify": "math-verify"}
    names |= {"peft": "peft", "hydra": "corea"}
    missing = [wheel for module, wheel in names.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(f"missing: {', '.join(missing)}; pip install --no-index --find-links WHEELS {' '.join(missing)}")
        sys.exit(2)
    return importlib.util.find_spec("trl") is not None


def hardware() -> dict:
    """Device and package versions of this machine."""
    import torch

    names = ("torch", "transformers", "deepspeed", "trl")
    found = {"device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"}
    for name in names:
        try:
            found[name] = version(name)
        except ImportError:
            found[name] = None
    return found


def main() -> None:
    """Run one call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    with_trl = require_packages()
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    stages = Stages(options.out, options.minutes)
    try:
        for name, command, stop in commands(options):
            stages.run(name, command, stop)
        stages.keep("figures", figures(options.out))
        print(table(stages.results["figures"]), flush=True)
        if with_trl:
            sizes = ["--runs", "2", "--threads", "1", "step"] if options.toy else ["--runs", "5"]
            stages.run("benchmark", [sys.executable, "benchmarks/training.py", *sizes], signal.SIGTERM)
        else:
            print("no comparison with TRL: it is not installed (pip install --no-index --find-links WHEELS trl)")
    except OutOfTime:
        print("out of time; the same call continues from here")
        return
    stages.keep("versions", hardware())
    print(json.dumps(stages.results["versions"]))


if __name__ == "__main__":
    main()
