"""The servers of the serving benchmarks, each a process of its own on a given core."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from corea.collecting.answer_rows import describe
from corea.collecting.plan import Tier
from corea.config import EngineConfig, HFEngineConfig, OpenAIEngineConfig, PriceConfig

HOST = "127.0.0.1"
SERVER_CORE, CLIENT_CORE = 0, 1
HERE = Path(__file__).parent
START_S = 180.0
LITELLM = """\
model_list:
  - model_name: llm
    litellm_params: {{model: openai/llm, api_base: "{url}/v1", api_key: none}}
litellm_settings: {{num_retries: 0, telemetry: false}}
"""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def pin(core: int) -> int | None:
    """Move this process to a core; None, and nothing happens, where there is only one."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        return None
    os.sched_setaffinity(0, {cores[core]})
    return cores[core]


class Server:
    """A process that answers at `url`."""

    def __init__(self, process: subprocess.Popen, url: str):
        self.process, self.url = process, url

    @property
    def processor_s(self) -> float:
        """Processor seconds so far."""
        import psutil

        found = psutil.Process(self.process.pid).cpu_times()
        return found.user + found.system

    @property
    def rss_mib(self) -> float:
        """Resident memory."""
        import psutil

        return psutil.Process(self.process.pid).memory_info().rss / 2**20


@contextmanager
def running(
    command: Sequence[str], port: int, log: Path, *, core: int | None, ready: str = "/", more: Mapping[str, str] = {}
) -> Iterator[Server]:
    """Start `command` and wait until `ready` answers. Raises RuntimeError with the end of its output if it ends."""
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "NO_PROXY": HOST}
    url = f"http://{HOST}:{port}"
    with open(log, "w") as output:
        process = subprocess.Popen(
            list(command),
            env={**os.environ, **quiet, **more},
            stdout=output,
            stderr=output,
            preexec_fn=None if core is None else lambda: pin(core),
        )
    try:
        until = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(url + ready, timeout=2).close()
                break
            except urllib.error.HTTPError as answer:
                if answer.code < 500:
                    break
            except OSError:
                pass
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(command)} does not answer:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield Server(process, url)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def mock(folder: Path, latency_ms: float):
    """The upstream of all servers, beside the client."""
    port = free_port()
    command = [sys.executable, str(HERE / "serving_mock.py"), str(port), str(latency_ms)]
    return running(command, port, folder / "mock.log", core=CLIENT_CORE)


def litellm(folder: Path, python: Path, upstream: str):
    """LiteLLM's proxy with one worker in front of the upstream."""
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(LITELLM.format(url=upstream))
    script = str(python.parent / "litellm")
    command = [str(python), script, "--config", str(config), "--host", HOST, "--port", str(port), "--num_workers", "1"]
    more = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}  # no key is needed, as with corea here
    more |= {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    return running(command, port, folder / "litellm.log", core=SERVER_CORE, ready="/health/liveliness", more=more)


def cascadeflow(folder: Path, python: Path, upstream: str):
    """cascadeflow's gateway with both models of the upstream."""
    port = free_port()
    config = folder / "cascadeflow.json"
    # Its provider "openai" asks api.openai.com only; "vllm" is the one for servers elsewhere.
    models = [
        {"name": name, "provider": "vllm", "cost": cost, "base_url": f"{upstream}/v1", "api_key": "none"}
        for name, cost in (("slm", 0.001), ("llm", 0.01))
    ]
    config.write_text(json.dumps({"models": models}))
    command = [str(python), "-m", "cascadeflow.server", "--mode", "agent", "--config", str(config)]
    command += ["--host", HOST, "--port", str(port)]
    return running(command, port, folder / "cascadeflow.log", core=SERVER_CORE, ready="/health")


def transformers_serve(folder: Path, model: str, *options: str):
    """`transformers serve` with one model on the CPU."""
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model, "--device", "cpu", *options]
    command += ["--host", HOST, "--port", str(port)]
    return running(command, port, folder / "transformers.log", core=SERVER_CORE, ready="/health")


def corea(folder: Path, tiers: list[Tier], *overrides: str, threshold: float = 0.5):
    """corea.serve with one worker: two tiers, and a threshold on the stated confidence."""
    port = free_port()
    point = {"dataset": "sums", "signal": "verbalized", "thresholds": [threshold], "recalibrate": "none"}
    point |= {"rule": {"name": "fixed", "note": None}, "expected": {}}
    file = folder / "operating_point.json"
    document = {"schema": 1, **point, **describe(tiers), "datasets": {"sums": point}, "tiers": {}}
    file.write_text(json.dumps(document))
    command = [sys.executable, "-m", "corea.serve", f"operating_point={file}", f"hydra.run.dir={folder / 'run'}"]
    command += [f"serve.port={port}", "serve.uncalibrated=llm", *overrides]
    return running(command, port, folder / "corea.log", core=SERVER_CORE, ready="/health/live")


def server_tiers(url: str) -> list[Tier]:
    """Two tiers behind the mock."""
    return [
        _tier(n, name, OpenAIEngineConfig(base_url=f"{url}/v1", key_env=None, cache=None), "plain_answer")
        for n, name in enumerate(("slm", "llm"))
    ]


def embedded_tiers(max_tokens: int) -> list[Tier]:
    """The tiny pair in the server's process."""
    paths = ("package:tiny_slm", "package:tiny_llm")
    return [_tier(n, path, HFEngineConfig(), "plain", max_tokens) for n, path in enumerate(paths)]


def _tier(number: int, path: str, engine: EngineConfig, prompt: str, max_tokens: int = 160) -> Tier:
    return Tier(
        tier=number,
        label=f"tier{number}",
        name=path,
        path=path,
        engine=engine,
        revision=None,
        dtype="float32",
        prompt=prompt,
        temperature=0.0,
        max_prompt_tokens=None,
        max_tokens=max_tokens,
        samples=1,
        seed=0,
        price=PriceConfig(input=1, output=2),
        expects_confidence=number == 0,
    )
