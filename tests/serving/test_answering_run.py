"""corea.answer with the tiny pair: the table, resuming, both tiers at once, and what standard input shows."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import live_helpers as live
import pandas as pd
import pyarrow.parquet as pq
import pytest

from corea.cascade.decision import Reason
from corea.engines.build import build_engine
from corea.errors import Interrupted, UserError
from corea.run_folder import lock_folder
from corea.tasks.prompts import build_messages
from corea.types import Question, Sampling

SLM, LLM = "package:tiny_slm", "package:tiny_llm"


def without_clock(table: pd.DataFrame) -> pd.DataFrame:
    return table[[c for c in table if "latency" not in c]]


@pytest.fixture(scope="module")
def answered(tmp_path_factory, questions, pair_point) -> Path:
    """A finished run; not to be written to."""
    folder = tmp_path_factory.mktemp("answered")
    live.answer(folder, questions, pair_point, "chunk=8")
    return folder


def test_the_table(answered, questions):
    table = pd.read_parquet(answered / "answered.parquet")
    given = [json.loads(line) for line in questions.read_text().splitlines()]
    assert table.question_id.tolist() == [row["question_id"] for row in given]
    kept = table.reason == Reason.KEPT
    assert 5 < kept.sum() < live.COUNT - 5
    assert (table.tier == (~kept).astype(int)).all()
    assert (table.threshold == 0.5).all()
    assert (table[kept].confidence >= 0.5).all()
    assert (table[table.reason == Reason.LOW].confidence < 0.5).all()
    assert table.confidence.equals(table.tier0_confidence)
    tokens = table.tier0_prompt_tokens + 2 * table.tier0_completion_tokens
    assert (table.tier0_cost_usd * 1e6).tolist() == pytest.approx(tokens.tolist())
    both = table.tier0_cost_usd + table.tier1_cost_usd.fillna(0)
    assert table.cost_usd.tolist() == pytest.approx(both.tolist())
    assert table[kept].tier1_cost_usd.isna().all()
    assert (table.correct == (table.answer == table.gold)).all()
    assert not table.unbound.any()
    assert not table.fallback.any()


def test_the_answers_are_those_of_each_model_alone(answered, questions):
    table = pd.read_parquet(answered / "answered.parquet").set_index("question_id")
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    for one in live.tiny_pair():
        engine = build_engine(one.engine, model=one.path, dtype="float32")
        asked = [Question(id="", dataset="", source="", split="", text=r["question"], gold="") for r in rows]
        sampling = Sampling(temperature=0.0, max_tokens=one.max_tokens)
        found = engine.generate([build_messages("plain", q) for q in asked], sampling)
        engine.close()
        for row, (completion,) in zip(rows, found, strict=True):
            here = table.loc[row["question_id"]]
            if here.tier == one.tier:
                assert here.text == completion.text


def test_the_summary(answered):
    table, figures = pd.read_parquet(answered / "answered.parquet"), live.summary(answered)
    kept = int((table.reason == "kept").sum())
    assert figures["answered"] == {"0": kept, "1": live.COUNT - kept}
    assert figures["deferred_share"] == pytest.approx((live.COUNT - kept) / live.COUNT)
    assert figures["expected_deferral"] == 0.5
    assert figures["cost_usd"] == pytest.approx(table.cost_usd.sum())
    alone = table.tier1_cost_usd.sum() + kept * 4e-4  # 3e-4 / (1 - 0.25) for those that the LLM did not answer
    assert figures["llm_alone_usd"] == pytest.approx(alone)
    assert figures["saved_usd"] == pytest.approx(alone - table.cost_usd.sum())
    assert figures["llm_alone_basis"] == (
        f"for the {kept} questions that it did not answer, its mean cost on the operating point's test questions"
    )
    assert (figures["correct"], figures["graded"]) == (int(table.correct.sum()), live.COUNT)


def test_both_tiers_work_at_the_same_time(tmp_path, questions, pair_point):
    live.answer(tmp_path, questions, pair_point, "chunk=3")
    small = [call for call in live.CALLS if call[0] == SLM]
    large = [call for call in live.CALLS if call[0] == LLM]
    assert len(small) == live.COUNT / 3
    assert min(start for _, _, start, _ in large) < max(end for _, _, _, end in small)
    assert live.asked(SLM) == live.COUNT


def test_the_same_command_asks_nothing_twice(tmp_path, questions, pair_point):
    first = live.answer(tmp_path, questions, pair_point)
    calls = len(live.CALLS)
    again = live.answer(tmp_path, questions, pair_point, "chunk=5")
    assert len(live.CALLS) == calls
    assert without_clock(again).equals(without_clock(first))


def test_an_interrupted_run_goes_on(tmp_path, questions, pair_point, answered):
    live.INTERRUPT_AFTER.append(3)
    with pytest.raises(Interrupted, match=r"interrupted; \d+ of 30 questions are answered and kept"):
        live.answer(tmp_path, questions, pair_point, "chunk=5")
    assert not (tmp_path / "answered.parquet").exists()
    live.INTERRUPT_AFTER.clear()
    table = live.answer(tmp_path, questions, pair_point, "chunk=5")
    assert live.asked(SLM) == live.COUNT
    assert live.asked(LLM) == (table.tier == 1).sum()
    assert without_clock(table).equals(without_clock(pd.read_parquet(answered / "answered.parquet")))


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 4, 7])
def test_a_killed_run_goes_on(tmp_path, questions, pair_point, answered, after):
    """SIGKILL between calls, in a process of its own; every answer that was stored is not asked for again."""
    command = (
        "import sys; from corea.app import command; from corea.answer import main\nsys.argv[0] = 'corea.answer'; main()"
    )
    arguments = [f"questions={questions}", f"operating_point={pair_point}", f"hydra.run.dir={tmp_path}", "chunk=4"]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "KILL_AFTER": str(after), "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", command, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    stored = {
        p.name.split("-")[0]: len(p.read_text().splitlines()) - 1 for p in (tmp_path / "answers").glob("t*.jsonl")
    }
    assert sum(stored.values()) > 0
    table = live.answer(tmp_path, questions, pair_point, "chunk=4")
    assert live.asked(SLM) == live.COUNT - stored["tier0"]
    assert live.asked(LLM) == (table.tier == 1).sum() - stored["tier1"]
    assert without_clock(table).equals(without_clock(pd.read_parquet(answered / "answered.parquet")))


def test_one_process_at_a_time(tmp_path, questions, pair_point):
    with lock_folder(tmp_path), pytest.raises(UserError, match="in use by process"):
        live.answer(tmp_path, questions, pair_point)
    assert live.CALLS == []


def test_standard_input_shows_who_answered_how_sure_and_at_what_cost(
    tmp_path, questions, pair_point, monkeypatch, capsys
):
    texts = [json.loads(line)["question"] for line in questions.read_text().splitlines()]
    table = live.answer(tmp_path / "all", questions, pair_point)
    kept, passed = (table.question[table.tier == tier].iloc[0] for tier in (0, 1))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{kept}\n\n{passed}\n"))
    capsys.readouterr()
    two = live.answer(tmp_path / "two", "-", pair_point)
    assert texts.index(kept) != texts.index(passed)
    assert two.question.tolist() == [kept, passed]
    out = capsys.readouterr().out
    first = f"tier 0, tiny_slm (kept: confidence {two.confidence[0]:.3f} against the threshold 0.500)"
    assert f"{kept}\n  {two.answer[0]}\n  {first.replace('tiny_slm', 'model0')}; ${two.cost_usd[0]:.6f}" in out
    assert f"tier 1, model1 (model0 was not sure enough: {two.confidence[1]:.3f} against the threshold 0.500)" in out
    assert "tier 0 (model0): 1 of 2 answers (50.0 %)" in out
    assert "deferred: 50.0 % (1 low); expected 50.0 %" in out
    assert "pass@1" not in out


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_other_tables_and_columns(tmp_path, questions, pair_point, suffix):
    rows = pd.DataFrame([json.loads(line) for line in questions.read_text().splitlines()])[:4]
    rows = rows.rename(columns={"question": "prompt", "gold": "target"}).drop(columns="question_id")
    rows = pd.concat([rows, rows[:1]])  # the same question twice
    path = tmp_path / f"rows.{suffix}"
    rows.to_csv(path, index=False) if suffix == "csv" else rows.to_parquet(path)
    table = live.answer(tmp_path / "run", path, pair_point, "question_column=prompt", "gold_column=target")
    assert live.asked(SLM) == 4
    assert table.question.tolist() == rows.prompt.tolist()
    assert table.question_id[0] == table.question_id[4]
    assert table.question_id.str.fullmatch("q-[0-9a-f]{12}").all()
    assert table.correct.notna().all()


def test_a_dry_run_estimates_from_the_expected_deferral_and_asks_nothing(tmp_path, questions, pair_point, capsys):
    live.answer(tmp_path, questions, pair_point, "dry_run=true")
    out = capsys.readouterr().out
    assert "30 questions, 0 answered by an earlier run" in out
    assert "tier 0 (model0): 30 questions expected\n" in out
    assert "tier 1 (model1): 15 questions expected, at most 30\n" in out
    assert "cost: $0.0090 expected (mean costs of the operating point)" in out  # 30 times 3e-4
    assert live.CALLS == []
    assert list(tmp_path.iterdir()) == []
    live.answer(tmp_path, questions, pair_point)
    capsys.readouterr()
    live.answer(tmp_path, questions, pair_point, "dry_run=true")
    assert "30 questions, 30 answered by an earlier run" in capsys.readouterr().out


def test_the_columns_are_those_of_the_documentation(answered):
    page = (Path(__file__).parents[2] / "docs" / "answering.md").read_text()
    for name in pq.read_schema(answered / "answered.parquet").names:
        assert f"`{name.replace('tier0_', 'tierN_').replace('tier1_', 'tierN_')}`" in page, name
