"""A check on one GPU, in calls of a few minutes that go on where the last one stopped.

    python experiments/gpu/run.py --model FOLDER_OF_SmolLM2-135M-Instruct --out OUT [--minutes 9] [--toy]

Stages: cold start -> RL with reward=corea -> RL with reward=rlvr -> figures before and after -> times against TRL.
Each runs as an ordinary command of corea in a process of its own; when the minutes are over it is asked to stop, leaves
a checkpoint, and the same call goes on from there. Everything lies in OUT; `results.json` says what is done.
--toy replaces model and sizes by the tiny model and a few steps: it shows on a CPU that every stage runs.
"""

from __future__ import annotations

import argparse
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
"""Seconds left for a stage to save after it was asked to stop."""


class OutOfTime(Exception):
    """The rest is for the next call."""


class Stages:
    """Runs commands until a deadline and remembers in results.json which are done."""

    def __init__(self, out: Path, minutes: float):
        self.out = out
        self.deadline = time.monotonic() + 60 * minutes
        self.file = out / "results.json"
        self.results = json.loads(self.file.read_text()) if self.file.exists() else {}

    def left(self) -> float:
        """Seconds until a stage must be asked to stop."""
        return self.deadline - RESERVE - time.monotonic()

    def run(self, name: str, command: list[str], stop: int) -> None:
        """Do `command` unless it is done; OutOfTime where it was stopped by signal `stop`."""
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
        """Remember a result."""
        self.results[name] = value
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.results, indent=1) + "\n")
        os.replace(temporary, self.file)


def commands(options: argparse.Namespace) -> list[tuple[str, list[str], int]]:
    """(name, command, signal that makes it stop) of every stage that trains."""
    out, python = options.out, [sys.executable, "-m"]
    model = [f"model.path={options.model}", "model=smollm2", "model.prompt=plain", "model.max_tokens=64"]
    sizes = {
        "sft": ["sft.steps=400", "sft.batch_size=64", "sft.token_budget=16384", "sft.eval_every=200"],
        "rl": ["trainer=gpu", "trainer.steps=100", "trainer.panel_questions=500", "trainer.optimizer.lr=1e-5"],
    }
    if options.toy:
        model = ["model=tiny"]
        sizes = {
            "sft": ["sft.steps=2", "sft.batch_size=8", "sft.eval_every=2", "sft.eval_questions=8"],
            "rl": ["trainer=debug", "trainer.panel_every=1", "trainer.panel_questions=16"],
        }
    start = [*python, "corea.sft", *model, "sft.optimizer.lr=5e-5", *sizes["sft"], "logger=none"]
    stages = [("cold_start", [*start, f"hydra.run.dir={out}/cold_start"], signal.SIGINT)]
    trained = [*(o for o in model if not o.startswith("model.path=")), f"model.path={out}/cold_start/model"]
    for reward in ("corea", "rlvr"):
        rl = [*python, "corea.train", *trained, *sizes["rl"], f"reward={reward}", "logger=none"]
        stages.append((reward, [*rl, f"hydra.run.dir={out}/{reward}"], signal.SIGTERM))
    return stages


def curves(out: Path) -> dict:
    """First and last look of each run: pass@1, ECE, AUROC on the held-out questions, and median seconds of a step."""
    from statistics import median

    from corea.runtime import read_metrics

    found = {}
    for reward in ("corea", "rlvr"):
        lines = read_metrics(out / reward / "metrics.jsonl")
        looks = [line for line in lines if "panel/pass@1" in line]
        keys = ("panel/pass@1", "panel/ece", "panel/auroc", "panel/cascade_area")
        found[reward] = {
            "steps": lines[-1]["step"],
            "first_look": {"step": looks[0]["step"], **{k: looks[0][k] for k in keys}},
            "last_look": {"step": looks[-1]["step"], **{k: looks[-1][k] for k in keys}},
            "seconds": {k: median(line[f"seconds/{k}"] for line in lines) for k in ("step", "rollout", "update")},
            "logprob_gap_max": max(line["logprob_gap/max"] for line in lines),
        }
    return found


def hardware() -> dict:
    """What the figures were measured on."""
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
    """One call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    stages = Stages(options.out, options.minutes)
    try:
        for name, command, stop in commands(options):
            stages.run(name, command, stop)
        stages.keep("figures", curves(options.out))
        if not options.toy:
            bench = [sys.executable, "benchmarks/training.py", "--runs", "5", "step", "decode"]
            stages.run("benchmark", bench, signal.SIGTERM)
    except OutOfTime:
        print("out of time; the same call goes on from here")
        return
    stages.keep("versions", hardware())
    print(json.dumps(stages.results, indent=1))


if __name__ == "__main__":
    main()
