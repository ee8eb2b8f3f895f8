"""Operating points from small tables, engines that count, and runs of corea.answer in a folder."""

import json
import os
import signal
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from corea.answer import main
from corea.answers.schema import write_answers
from corea.collecting.answer_rows import describe, table_rows
from corea.collecting.answering import answer_all
from corea.collecting.confidence_signals import add_signals
from corea.collecting.plan import Tier
from corea.composition import compose
from corea.config import HFEngineConfig, PriceConfig, RecordedEngineConfig
from corea.engines.local.hf import HFEngine
from corea.run_folder import use_run_dir
from corea.types import Question

CALLS: list[tuple[str, int, float, float]] = []
"""(model, questions, start, end) of each call of a CountingEngine."""
INTERRUPT_AFTER: list[int] = []
"""Calls until a KeyboardInterrupt; empty: never."""
LOCK = threading.Lock()
COUNT = 30
"""Questions of the fixture."""
COUNTING = "live_helpers.CountingEngine"
PRICES = (PriceConfig(input=1, output=2), PriceConfig(input=10, output=20), PriceConfig(input=100, output=200))


class CountingEngine(HFEngine):
    def generate(self, prompts, sampling, progress=None):
        with LOCK:
            if INTERRUPT_AFTER and len(CALLS) >= INTERRUPT_AFTER[0]:
                raise KeyboardInterrupt
            if len(CALLS) >= int(os.environ.get("KILL_AFTER", 10**9)):
                os.kill(os.getpid(), signal.SIGKILL)
        start = time.perf_counter()
        found = super().generate(prompts, sampling, progress)
        with LOCK:
            CALLS.append((self.model_name, len(prompts), start, time.perf_counter()))
        return found


def asked(model: str) -> int:
    """Questions that a model was asked."""
    return sum(number for name, number, _, _ in CALLS if name == model)


def tier(number: int, path, engine, prompt="plain", **more) -> Tier:
    defaults = {"revision": None, "dtype": "float32", "temperature": 0.0, "max_prompt_tokens": None, "seed": 0}
    defaults |= {"max_tokens": 24 if number == 0 else 160, "samples": 1, "price": PRICES[min(number, 2)]}
    defaults |= {"expects_confidence": number == 0}
    name = f"model{number}"
    return Tier(
        tier=number, label=f"t{number}", name=name, path=str(path), engine=engine, prompt=prompt, **(defaults | more)
    )


def recorded_tier(number: int, file: Path, **more) -> Tier:
    return tier(number, file, RecordedEngineConfig(tier=number), **more)


def tiny_pair() -> list[Tier]:
    engine = HFEngineConfig(_target_=COUNTING)
    return [tier(0, "package:tiny_slm", engine), tier(1, "package:tiny_llm", engine)]


def collect(folder: Path, tiers: list[Tier], questions: list[Question]) -> Path:
    """answers.parquet of these tiers, as corea.collect writes it."""
    rows = []
    for one in tiers:
        answers = answer_all(one, questions, folder / "collected", 64)
        part = table_rows(one, answers)
        add_signals(one, answers, part, 0)
        rows += part
    write_answers(folder / "answers.parquet", rows, describe(tiers))
    return folder / "answers.parquet"


def write_point(folder: Path, tiers: list[Tier], datasets: dict[str, dict], **more) -> Path:
    """operating_point.json by hand: `datasets` gives signal, thresholds and what else a point has."""
    points = {
        name: {
            "dataset": name,
            "recalibrate": "none",
            "rule": {"name": "fixed", "note": None},
            "expected": {},
            **values,
        }
        for name, values in datasets.items()
    }
    first = next(iter(points))
    document = {"schema": 1, **points[first], **describe(tiers), "datasets": points, "tiers": {}, **more}
    (folder / "operating_point.json").write_text(json.dumps(document))
    return folder / "operating_point.json"


def answer(folder: Path, questions, point: Path, *overrides: str) -> pd.DataFrame:
    """The table of python -m corea.answer in `folder`."""
    given = [f"questions={questions}", f"operating_point={point}", *overrides]
    with use_run_dir(folder):
        main(compose("answer", *given))
    path = folder / "answered.parquet"
    return pd.read_parquet(path) if path.exists() else pd.DataFrame()


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def price_json(price: PriceConfig) -> dict:
    return asdict(price)
