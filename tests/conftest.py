"""Small answers tables that can be checked by hand, one that looks like a real one, and the command line."""

from __future__ import annotations

import gc
import json
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait use no processor; read when torch is loaded

from pathlib import Path
from typing import Any

import pytest

from answer_tables import simulated, write_jsonl
from corea.app import command
from warm_python import WarmPython

THREADS = int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count() or 1
"""torch's default."""
REPO = Path(__file__).parents[1]
gc.set_threshold(100_000, 50, 100)  # collections walk the many objects of torch and transformers: a tenth of the time


@pytest.fixture(autouse=True)
def same_number_of_threads():
    """Restore torch's number of threads, which a run may set: several threads on small tensors mostly wait."""
    before = torch_threads()
    yield
    if "torch" in sys.modules and torch_threads() != (before or THREADS):
        sys.modules["torch"].set_num_threads(before or THREADS)


@pytest.fixture(scope="session")
def warm_python():
    """Starts commands that import torch."""
    with WarmPython() as python:
        yield python


def torch_threads() -> int | None:
    """None before torch is imported."""
    return sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None


@pytest.fixture
def hand_rows() -> list[dict[str, Any]]:
    """Five questions; the SLM costs 1, the LLM 10. a: 0.9 right/right, b: 0.8 wrong/right, c: 0.8 right/wrong,
    d: 0.3 wrong/right, e: no confidence, wrong/wrong."""
    small = {"a": (0.9, True), "b": (0.8, False), "c": (0.8, True), "d": (0.3, False), "e": (None, False)}
    large = {"a": True, "b": True, "c": False, "d": True, "e": False}
    rows = []
    for name, (confidence, right) in small.items():
        status = "ok" if confidence is not None else "unparsed_confidence"
        row = {
            "question_id": name,
            "tier": 0,
            "correct": right,
            "confidence": confidence,
            "status": status,
            "cost_usd": 1.0,
        }
        rows.append(row)
        row = {
            "question_id": name,
            "tier": 1,
            "correct": large[name],
            "confidence": None,
            "status": "ok",
            "cost_usd": 10.0,
        }
        rows.append(row)
    return rows


@pytest.fixture
def hand_table(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> Path:
    return write_jsonl(tmp_path / "answers.jsonl", hand_rows)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run folder with answers.parquet, answers_before.parquet and metrics.jsonl."""
    now, before = simulated()
    now.to_parquet(tmp_path / "answers.parquet", index=False)
    before.to_parquet(tmp_path / "answers_before.parquet", index=False)
    steps = [{"step": s, "reward": 0.1 * s, "ece": 0.3 / s, "grad_norm": 1.0} for s in range(1, 11)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(s) + "\n" for s in steps) + '{"step": 11, "rew')
    return tmp_path


@pytest.fixture(scope="session")
def math500() -> Path:
    """Folder with real recorded answers; skips where it is absent."""
    root = Path(os.environ.get("COREA_SHARED_DATA", REPO.parent / "shared" / "data"))
    folder = root / "math500_replay"
    if not folder.is_dir():
        pytest.skip("no recorded answers here; COREA_SHARED_DATA names their folder")
    return folder


@pytest.fixture
def start(tmp_path, monkeypatch, capsys):
    """Run a verb made of `work` with arguments; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def run(work, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["corea.train", *arguments])
        main = command("train")(work)
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        except Exception:  # the interpreter would print the traceback and exit with 1
            code = 1
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
