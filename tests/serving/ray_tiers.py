"""Engines for tests of engine=ray: replay that kills its process once, and a log of every question that is asked."""

import os
import signal
import time
from pathlib import Path

from corea.types import Completion


class SumEngine:
    """Answers "a + b" with the sum, and logs the questions in `folder`. An odd sum is unsure.

    Where the folder holds a file KILL, the first process that renames it kills itself before it answers. Where it holds
    a file AWAIT, the first process on another node than the one named there writes its node to AWAITED, and waits
    until it is killed.
    """

    def __init__(self, model: str, folder: str, **_):
        self.model_name, self.folder = model, Path(folder)

    def generate(self, prompts, sampling, progress=None):
        try:
            os.rename(self.folder / "KILL", self.folder / "KILLED")
            os.kill(os.getpid(), signal.SIGKILL)
        except FileNotFoundError:
            pass
        self._await_the_end()
        texts = [p[-1]["content"] for p in prompts]
        with open(self.folder / f"asked-{os.getpid()}.txt", "a") as log:
            log.write("".join(f"{text}\n" for text in texts))
        return [[self._answer(text) for _ in range(sampling.n)] for text in texts]

    def _await_the_end(self):
        import ray

        node = ray.get_runtime_context().get_node_id()
        mark = self.folder / "AWAIT"
        if mark.exists() and mark.read_text() != node:
            try:
                os.rename(mark, self.folder / "CLAIMED")
            except FileNotFoundError:
                return
            (self.folder / "AWAITED").write_text(node)
            time.sleep(120)

    def _answer(self, text):
        total = sum(map(int, text.split("+")))
        stated = 0.9 if total % 2 == 0 else 0.1
        whole = f"<think>so</think> <answer>{total}</answer> <confidence>{stated}</confidence>"
        return Completion(text=whole, finish_reason="stop", prompt_tokens=3, completion_tokens=5)

    def close(self):
        pass


class Idle:
    """An actor that takes room."""

    def wait(self):
        """Returns once the actor runs."""


def asked(folder: Path) -> list[str]:
    """Questions in the order of the logs."""
    return [line for log in folder.glob("asked-*.txt") for line in log.read_text().splitlines()]
