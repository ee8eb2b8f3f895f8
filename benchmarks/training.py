"""Compare training with TRL and with the arithmetic: python benchmarks/training.py [--runs 5] [--threads 2] [parts ...]

Parts:
- step: a GRPO step of corea and of TRL's GRPOTrainer; same model, questions, group size, 256 completions, threads
- decode: corea's decoding loop, transformers' generate and generate_batch
- memory: peak memory of the update at a vocabulary of 152k, compared with full logits
- floor: matmul FLOPs of the update divided by this machine's measured matmul rate
- processes: the same training in one process and in two, one thread each

Measurements run one at a time, each in a separate process; figures are medians. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from training_common import OVERRIDES

PARTS = ("step", "decode", "memory", "floor", "processes")
LIMIT = 900
"""Time limit of one measurement, in seconds."""
WORKER = Path(__file__).with_name("training_worker.py")


class Failed(Exception):
    """A measurement failed or took too long."""


def measure(what: str, runs: int, threads: int, **options: object) -> dict:
    """Run one measurement in a worker process and return its result."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",  # corea.app sets both; TRL is as fast with them as with OpenMP's own defaults
        "GOMP_SPINCOUNT": "10000",
        "WANDB_MODE": "disabled",
    }
    arguments = [f"{k}={v}" for k, v in options.items()]
    command = [sys.executable, str(WORKER), what, str(runs), str(threads), *arguments]
    try:
        done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)} took longer than {LIMIT} s") from None
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def step(runs: int, threads: int) -> list[str]:
    """Time a GRPO step. corea and TRL alternate, so that a change of the machine's speed affects both."""
    rounds: dict[str, list[dict]] = {"corea": [], "trl": []}
    for _ in range(2):
        for name, kept in rounds.items():
            kept.append(measure(name, runs, threads))
    rows = ["| | corea, s | TRL, s | ratio |", "|---|---:|---:|---:|"]
    for key in ("step", "rollout", "update"):
        ours, theirs = (median(v for r in rounds[n] for v in r[key]) for n in ("corea", "trl"))
        rows.append(f"| {key} | {ours:.3f} | {theirs:.3f} | {theirs / ours:.1f} |")
    tokens = [median(v for r in rounds[n] for v in r["tokens"]) for n in ("corea", "trl")]
    rows.append(f"| completion tokens per step | {tokens[0]:.0f} | {tokens[1]:.0f} | |")
    return ["### A GRPO step: 16 questions x 16 completions, tiny SLM", "", *rows, ""]


def decode(runs: int, threads: int) -> list[str]:
    """Time decoding."""
    rows = ["| | tokens/s | corea's ratio |", "|---|---:|---:|"]
    ours = 0.0
    for way in ("corea", "generate", "generate_batch"):
        try:
            found = median(measure("decode", runs, threads, way=way)["rate"])
        except Failed:
            if way != "generate_batch":  # continuous batching is built for GPUs and may not run here
                raise
            rows.append(f"| {way} | does not run here | |")
            continue
        ours = ours or found
        rows.append(f"| {way} | {found:.0f} | {ours / found:.1f} |")
    return ["### Decoding 256 completions of 16 prompts, at most 24 tokens", "", *rows, ""]


def memory(runs: int, threads: int) -> list[str]:
    """Measure the peak memory of the update."""
    rows = ["| completion tokens | chunked, MiB | full logits, MiB | share |", "|---:|---:|---:|---:|"]
    for tokens in (1024, 4096):
        chunked, full = (
            median(measure("memory", 1, threads, tokens=tokens, full=int(full))["peak"] for _ in range(runs))
            for full in (False, True)
        )
        rows.append(f"| {tokens} | {chunked:.0f} | {full:.0f} | {chunked / full:.2f} |")
    return ["### Peak memory of forward and backward beyond the model, vocabulary 151,936, float32", "", *rows, ""]


def floor(runs: int, threads: int) -> list[str]:
    """Compare the time of the update with that of its matmuls alone."""
    rows = [
        "| model | completions | matmuls, GFLOP | GFLOP/s of a square product | floor, s | update, s | floor / update "
        "| the same, each prompt counted for every completion |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for model in ("tiny", "smollm2"):
        found = measure("floor", runs, threads, model=model)
        rate, flops, seconds = median(found["rate"]), found["flops"], median(found["update"])
        rows.append(
            f"| {model} | {found['completions']} | {flops / 1e9:.1f} | {rate / 1e9:.0f} | {flops / rate:.3f} | "
            f"{seconds:.3f} | **{flops / rate / seconds:.0%}** | {found['plain_flops'] / rate / seconds:.0%} |"
        )
    return ["### The update and its arithmetic floor", "", *rows, ""]


def train(processes: int, steps: int) -> list[dict]:
    """Train the tiny SLM, one thread a process, and return the lines of metrics.jsonl after the first."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *launcher, "-m", "corea.train", *OVERRIDES, "trainer.threads=1"]
        command += ["trainer.questions=32", "trainer.group_size=16", f"trainer.steps={steps + 1}"]
        command += ["trainer.validation_every=0", "trainer.best_by=null", f"hydra.run.dir={folder}/run"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
        done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=LIMIT)
        if done.returncode:
            raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()][1:]


def processes(runs: int, threads: int) -> list[str]:
    """Compare one process and two. They alternate; each has one thread whatever --threads is."""
    rounds: dict[int, list[dict]] = {1: [], 2: []}
    for _ in range(3):
        for count, kept in rounds.items():
            kept += train(count, 2 * runs)
    rows = ["| | one process, s | two, s | ratio |", "|---|---:|---:|---:|"]
    for key, parts in {"update": ("logprobs", "update"), "rollout": ("rollout", "grade"), "step": ("step",)}.items():
        one, two = (median(sum(x[f"seconds/{part}"] for part in parts) for x in rounds[count]) for count in (1, 2))
        rows.append(f"| {key} | {one:.3f} | {two:.3f} | {one / two:.2f} |")
    title = "### One process and two, one thread each: 32 questions x 16 completions, tiny SLM"
    return [f"{title}, medians of {6 * runs} steps", "", *rows, ""]


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    unknown = [p for p in options.parts if p not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; allowed is {', '.join(PARTS)}")
    versions = measure("versions", 1, options.threads)
    print("## Training\n")
    print(
        f"{versions.pop('cpu')}, {options.threads} threads, float32, medians of {options.runs} runs; "
        + ", ".join(f"{k} {v}" for k, v in versions.items())
        + "\n"
    )
    for part in options.parts or PARTS:
        print("\n".join(globals()[part](options.runs, options.threads)), flush=True)


if __name__ == "__main__":
    main()
