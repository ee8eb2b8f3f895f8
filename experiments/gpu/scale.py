"""Check what needs a GPU on one GPU, stage by stage; each writes OUT/STAGE.json, and a finished one is not repeated.

    python experiments/gpu/scale.py --model FOLDER_OF_SmolLM2-135M-Instruct --out OUT [--minutes 9] [--toy] [STAGE ...]

    rollouts  versions, and 20 steps with vLLM in this process (under two minutes: without compiled graphs)
    sleep     vLLM that keeps its memory during the update, and vLLM that frees it
    served    a vLLM server that gets the weights of each update
    update    10 steps with corea's own engine: MFU, padding, memory
    profile   a trace of two steps
    plan      memory that corea.plan predicts, and measured peaks

Without STAGE all run in this order. A call ends after --minutes; the next one continues. A stage that fails is recorded
with its last lines and the others go on; the exit code is 1 then. --toy uses the tiny model, two steps and, without
vLLM, corea's own engine, to show on a CPU that the stages run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from run import ROOT, hardware

RESERVE = 25.0
"""Seconds that a command has to save and end after the signal to stop."""
NEVER = ["trainer.validation_every=0", "trainer.best_by=null", "trainer.save_every=1000"]
SHOWN = ("seconds/", "speed/", "memory/", "logprob_gap/")
"""Metrics of a run that a stage reports, by the start of their names."""


class OutOfTime(Exception):
    """The time of this call is over; the next call does the rest."""


class StageFailed(Exception):
    """A command of the stage ended with an error; the message holds its last lines."""


def ended(process: subprocess.Popen, seconds: float) -> bool:
    """Whether the process ends within `seconds`. If not, its process group gets SIGTERM, with which a training saves a
    checkpoint, and SIGKILL in the end."""
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(RESERVE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return False


class Check:
    """Runs the commands of the stages until a deadline."""

    def __init__(self, options: argparse.Namespace):
        self.out: Path = options.out.resolve()
        self.model: str = options.model
        self.toy: bool = options.toy
        self.deadline = time.monotonic() + 60 * options.minutes
        self.vllm = importlib.util.find_spec("vllm") is not None

    def command(self, arguments: list[str]) -> None:
        """Run Python with `arguments`."""
        left = self.deadline - RESERVE - time.monotonic()
        if left < 5:
            raise OutOfTime
        print(f"== {' '.join(arguments)}", flush=True)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
        log = self.out / "command.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if not ended(process, left):
                raise OutOfTime
        if process.returncode:
            raise StageFailed("\n".join(log.read_text().splitlines()[-15:]))

    def train(self, name: str, steps: int, *overrides: str) -> dict:
        """Train for `steps` steps in OUT/name; medians of its metrics without the first step."""
        from corea.runtime import read_metrics

        size = (
            ["model=tiny", "trainer=debug"]
            if self.toy
            else ["model=smollm2", f"model.path={self.model}", "trainer=gpu"]
        )
        size += [f"trainer.steps={2 if self.toy else steps}", *NEVER]
        self.command(["-m", "corea.train", *size, *overrides, "logger=none", f"hydra.run.dir={self.out / name}"])
        lines = read_metrics(self.out / name / "metrics.jsonl")
        kept = lines[1:] or lines
        names = [key for key in lines[-1] if key.startswith(SHOWN)]
        return {key: median(line[key] for line in kept if key in line) for key in names}


def rollouts(check: Check) -> dict:
    """Versions, and vLLM in this process."""
    engine = ["engine=hf"]
    if check.vllm:
        engine = ["engine=vllm", "engine.eager=true", "engine.gpu_share=0.3"]
    return {"versions": hardware(), "engine": engine[0], **check.train("rollouts", 20, *engine)}


def sleep(check: Check) -> dict:
    """vLLM with and without engine.sleep."""
    if not check.vllm:
        return {"skipped": "vllm is not installed"}
    engine = ["engine=vllm", "engine.eager=true", "engine.gpu_share=0.3"]
    return {way: check.train(f"sleep_{way}", 4, *engine, f"engine.sleep={way}") for way in ("true", "false")}


def served(check: Check) -> dict:
    """A vLLM server beside the trainer, on the same GPU."""
    if not check.vllm:
        return {"skipped": "vllm is not installed"}
    with server(check) as address:
        return check.train("served", 10, "engine=vllm_server", f"engine.base_url={address}")


@contextmanager
def server(check: Check) -> Iterator[str]:
    """A running vLLM server; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = [str(Path(sys.executable).with_name("vllm")), "serve", check.model, "--port", str(port)]
    serve += ["--logprobs-mode", "processed_logprobs", "--gpu-memory-utilization", "0.3", "--enforce-eager"]
    log = check.out / "server.log"
    with log.open("w") as file:
        environment = {**os.environ, "VLLM_SERVER_DEV_MODE": "1", "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen(serve, stdout=file, stderr=subprocess.STDOUT, env=environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, check.deadline, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(address: str, process: subprocess.Popen, deadline: float, log: Path) -> None:
    """Wait until the server answers."""
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StageFailed("\n".join(log.read_text().splitlines()[-15:]))
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):  # it is not up yet
            time.sleep(1)
    raise OutOfTime


def update(check: Check) -> dict:
    """The update with corea's own engine."""
    peak = ["trainer.peak_tflops=0.1"] if check.toy else []
    return check.train("update", 10, "engine=hf", "engine.graphs=true", *peak)


def profile(check: Check) -> dict:
    """A trace of steps 2 and 3."""
    steps = "[2]" if check.toy else "[2,3]"
    check.train("profile", 4, "engine=hf", f"trainer.profile={steps}")
    (trace,) = (check.out / "profile").glob("profile-steps-*.json")
    events = json.loads(trace.read_text())["traceEvents"]
    kernels = sum(event.get("cat") == "kernel" for event in events)
    return {"file": trace.name, "bytes": trace.stat().st_size, "events": len(events), "gpu_kernels": kernels}


def plan(check: Check) -> dict:
    """Predicted and measured peaks."""
    found = check.out / "plan_memory.json"
    model = "package:tiny_slm" if check.toy else check.model
    check.command(
        ["benchmarks/plan_memory.py", "--model", model, "--json", str(found), *(["--first"] if check.toy else [])]
    )
    return {"peaks": json.loads(found.read_text())}


STAGES: dict[str, Callable[[Check], dict]] = {f.__name__: f for f in (rollouts, sleep, served, update, profile, plan)}


def run_stage(check: Check, name: str) -> bool:
    """Run a stage unless it is done, and write its JSON; False if it failed."""
    file = check.out / f"{name}.json"
    if file.exists() and "failed" not in json.loads(file.read_text()):
        return True
    started = time.monotonic()
    try:
        found = STAGES[name](check)
    except StageFailed as error:
        found = {"failed": str(error)}
    found["seconds"] = round(time.monotonic() - started, 1)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(found, indent=1) + "\n")
    os.replace(temporary, file)
    print(json.dumps({name: found}), flush=True)
    return "failed" not in found


def main() -> int:
    """One call; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--model", default=str(ROOT / "outputs/models/smollm2"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args()
    unknown = [name for name in options.stages if name not in STAGES]
    if unknown:
        parser.error(f"{unknown[0]}: allowed is {', '.join(STAGES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    check = Check(options)
    try:
        failed = [name for name in options.stages or STAGES if not run_stage(check, name)]
    except OutOfTime:
        print("out of time; the same call continues from here")
        return 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
