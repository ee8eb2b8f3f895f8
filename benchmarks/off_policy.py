"""Seconds of a training step with trainer.off_policy_steps 0 and 1, with a vLLM server on a core of its own.

    make .venv-vllm/.ready
    python benchmarks/off_policy.py --vllm .venv-vllm/bin/python [--steps 14] [--repeats 5] [OVERRIDE ...]

The server runs on the first core, training with one thread on the second. Runs with 0 and 1 alternate, and each starts
from the same weights. The first two steps, whose batches are always sampled before the update, and the last one, which
samples no further batch, are left out. Prints medians over the steps of all repeats as Markdown. Further arguments are
overrides of corea.train: trainer.questions=8 model.max_tokens=64.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from serving_servers import HOST, free_port, pin, running

from corea.engines.loading import model_location
from corea.runtime import read_metrics

SERVER_CORE, TRAINER_CORE = 0, 1
FRESH = 2
"""Steps at the start whose batches are not sampled ahead (corea.rl.rollout.batch_source)."""
ALONE = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the core that the process is given
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_SERVER_DEV_MODE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


def serve_command(python: Path, model: str, context: int, port: int) -> list[str]:
    """The command of vLLM's server with the settings that training needs."""
    return [
        *(str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", model_location(model)),
        *("--host", HOST, "--port", str(port), "--dtype", "float32", "--max-model-len", str(context)),
        *("--enforce-eager", "--load-format", "safetensors", "--logprobs-mode", "processed_logprobs"),
        "--no-enable-chunked-prefill",  # on a CPU, vLLM cannot take back the random number of half a prompt
    ]


def steps_of(url: str, ahead: int, given: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Metrics of the measured steps of one run."""
    command = [
        *(sys.executable, "-m", "corea.train", f"model.path={given.model}", "model.dtype=float32"),
        *("engine=vllm_server", f"engine.base_url={url}/v1", "engine.transfer=file", "logger=none", "display=none"),
        *(f"trainer.steps={given.steps}", f"trainer.save_every={given.steps}", "trainer.validation_every=0"),
        *("trainer.best_by=null", "trainer.patience=null", "trainer.threads=1", f"hydra.run.dir={folder}"),
        *given.overrides,
        f"trainer.off_policy_steps={ahead}",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: pin(TRAINER_CORE),
    )
    if done.returncode:
        raise SystemExit(f"corea.train ended with {done.returncode}: {done.stderr[-2000:]}")
    measured = read_metrics(folder / "metrics.jsonl")[FRESH:-1]
    assert all(line["staleness"] == ahead for line in measured), "a measured batch has another age"
    return measured


def row(name: int, lines: list[dict[str, Any]], wait: str) -> list[float]:
    """Prints a row of the table; returns the seconds of its steps."""
    seconds = [line["seconds/step"] for line in lines]
    waits = [sum(line[f"seconds/{part}"] for part in wait.split()) for line in lines]
    updates = [line["seconds/logprobs"] + line["seconds/update"] for line in lines]
    middle = sorted(seconds)[len(seconds) // 10], sorted(seconds)[-1 - len(seconds) // 10]
    figures = f"{median(seconds):.3f} | {middle[0]:.3f} – {middle[1]:.3f} | {median(waits):.3f} | {median(updates):.3f}"
    print(f"| {name} | {len(lines)} | {figures} |", flush=True)
    return seconds


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", type=Path, required=True, help="python of an environment with vLLM")
    parser.add_argument("--model", default="package:tiny_slm")
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--context", type=int, default=128, help="tokens of prompt and completion of the server")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    if given.steps < FRESH + 2:
        parser.error(f"--steps {given.steps}: allowed is at least {FRESH + 2}")
    return given


def main() -> None:
    given = arguments()
    if len(os.sched_getaffinity(0)) < 2:
        print("note: server and training share the only core, so sampling ahead cannot save time\n")
    port = free_port()
    found: dict[int, list[dict[str, Any]]] = {0: [], 1: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = serve_command(given.vllm, given.model, given.context, port)
        with running(command, port, folder / "server.log", core=SERVER_CORE, ready="/health", more=ALONE) as server:
            for repeat in range(given.repeats):
                for ahead in (0, 1) if repeat % 2 == 0 else (1, 0):
                    found[ahead] += steps_of(server.url, ahead, given, folder / f"{repeat}-{ahead}")
    print(f"{given.model} {' '.join(given.overrides)}: {given.repeats} runs of {given.steps} steps each\n")
    print("| `trainer.off_policy_steps` | steps | s per step | 10 – 90 % | waiting for the rollout, s | update, s |")
    print("|---|---:|---:|---:|---:|---:|")
    before = row(0, found[0], "rollout grade")
    after = row(1, found[1], "wait")
    print(f"\nA step with 1 takes {median(after) / median(before):.2f} of the time of a step with 0.")


if __name__ == "__main__":
    main()
