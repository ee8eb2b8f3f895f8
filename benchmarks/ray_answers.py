"""Rate and memory of corea.answer with engine=ray: recorded answers of two tiers, many questions.

    python benchmarks/ray_answers.py 100000 1000000

Questions have ids of their own; their texts repeat 10,000 recorded ones, so that the tables of the recordings, which
every actor holds, do not grow with the number of questions. 30 % are deferred. Memory is the largest resident size of
the driver, of an actor and of all processes of Ray together, looked at twice a second.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from corea.collecting.answer_rows import describe
from corea.collecting.plan import Tier
from corea.config import PriceConfig, RecordedEngineConfig

RECORDED = 10_000
PART = 100_000
"""Questions that are written together."""


def text_of(n: int) -> str:
    return f"What is {n} plus {n % 7}?"


def write_recording(path: Path, small: bool) -> None:
    """Answers to every text; the small model is sure of 70 % of them."""
    rows = []
    for n in range(RECORDED):
        stated = f" <confidence>{0.9 if n % 10 < 7 else 0.2}</confidence>" if small else ""
        text = f"<think>{n} and {n % 7}</think> <answer>{n + n % 7}</answer>{stated}"
        rows.append({"question": text_of(n), "text": text, "prompt_tokens": 20, "completion_tokens": 15})
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_questions(path: Path, count: int) -> None:
    schema = pa.schema([("question_id", pa.string()), ("question", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, PART):
            numbers = range(start, min(start + PART, count))
            columns = [[f"q{n}" for n in numbers], [text_of(n % RECORDED) for n in numbers]]
            writer.write_table(pa.table(columns, schema=schema))


def write_point(folder: Path) -> None:
    """operating_point.json of the two recordings."""
    tiers = []
    for number, name in enumerate(("small", "large")):
        write_recording(folder / f"{name}.parquet", number == 0)
        tiers.append(
            Tier(
                tier=number,
                label=name,
                name=name,
                path=str(folder / f"{name}.parquet"),
                engine=RecordedEngineConfig(),
                revision=None,
                dtype="auto",
                prompt="plain",
                temperature=0.0,
                max_prompt_tokens=None,
                max_tokens=64,
                samples=1,
                seed=0,
                price=PriceConfig(input=0.1 + number, output=0.4 + number),
                expects_confidence=number == 0,
            )
        )
    point = {"dataset": "sums", "signal": "verbalized", "thresholds": [0.5], "recalibrate": "none", "expected": {}}
    point["rule"] = {"name": "fixed", "note": None}
    document = {"schema": 1, **point, **describe(tiers), "datasets": {"sums": point}, "tiers": {}}
    (folder / "operating_point.json").write_text(json.dumps(document))


class Memory:
    """Largest resident sizes, in MB, of a process and of the Ray processes that it starts."""

    def __init__(self, process: psutil.Process):
        self.process, self.driver, self.actor, self.all = process, 0.0, 0.0, 0.0
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _look(self) -> None:
        while not self.end.wait(0.5):
            sizes, actors = [0.0], [0.0]
            try:
                self.driver = max(self.driver, self.process.memory_info().rss / 2**20)
                children = self.process.children(recursive=True)
            except psutil.Error:
                continue
            for child in children:
                try:
                    sizes.append((child.memory_info().rss - child.memory_info().shared) / 2**20)
                    if "Stage" in " ".join(child.cmdline()):
                        actors.append(sizes[-1])
                except psutil.Error:
                    continue
            self.actor, self.all = max(self.actor, *actors), max(self.all, sum(sizes))


def run(folder: Path, count: int, unit: int) -> None:
    file, out = folder / f"questions-{count}.parquet", folder / f"run-{count}"
    write_questions(file, count)
    given = [f"questions={file}", f"operating_point={folder / 'operating_point.json'}", f"hydra.run.dir={out}"]
    ray = ["engine=ray", f"engine.unit={unit}", "engine.tiers=[{actors: 1, cpus: 0.4}]", "display=none"]
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "corea.answer", *given, *ray], stdout=subprocess.DEVNULL)
    memory = Memory(psutil.Process(process.pid))
    code = process.wait()
    seconds = time.perf_counter() - started
    memory.end.set()
    memory.thread.join()
    assert code == 0, "corea.answer failed"
    figures = json.loads((out / "summary.json").read_text())
    assert figures["questions"] == count
    assert pq.ParquetFile(out / "answered.parquet").metadata.num_rows == count
    print(
        f"{count:>9,} questions  {seconds:7.1f} s  {count / seconds:7,.0f} questions/s  "
        f"deferred {100 * figures['deferred_share']:.1f} %  driver {memory.driver:.0f} MB  "
        f"largest actor {memory.actor:.0f} MB  all of Ray {memory.all:.0f} MB",
        flush=True,
    )
    shutil.rmtree(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--unit", type=int, default=2048)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_point(Path(name))
        for count in given.counts:
            run(Path(name), count, given.unit)


if __name__ == "__main__":
    main()
