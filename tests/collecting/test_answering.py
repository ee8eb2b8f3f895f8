"""Collecting with real models: the tables, and what happens when it is stopped."""

import json
import shutil
from pathlib import Path

import collect_helpers
import pandas as pd
import pyarrow.parquet as pq
import pytest
from collect_helpers import FEW, QUESTIONS, collect, config

from corea.answers.table import read_answers
from corea.collecting.answering import collect_answers
from corea.collecting.plan import tiers_of
from corea.errors import Interrupted, UserError

SHORT = "llm.max_tokens=4"
"""Where nothing depends on what the LLM says."""


def without_clock(path) -> pd.DataFrame:
    return pd.read_parquet(path).drop(columns="latency_s")


def test_the_tables(collected):
    answers, before = (
        read_answers(collected / "answers.parquet", text=True),
        read_answers(collected / "answers_before.parquet"),
    )
    assert answers.datasets == ["in_domain", "other_math", "non_math"]
    assert len(answers.frame) == len(before.frame) == 2 * QUESTIONS
    table = pd.read_parquet(collected / "answers.parquet")
    assert table.groupby("split").size().to_dict() == {"calibration": 24, "test": 32}
    assert table[table.tier == 0].model.unique().tolist() == ["tiny_slm"]
    assert table[table.tier == 1].model.unique().tolist() == ["tiny_llm"]
    old = pd.read_parquet(collected / "answers_before.parquet")
    assert old[old.tier == 0].model.unique().tolist() == ["tiny_slm-before"]
    assert old[old.tier == 1].equals(table[table.tier == 1])
    assert (old[old.tier == 0].text != table[table.tier == 0].text).any()


def test_the_rows(collected):
    table = pd.read_parquet(collected / "answers.parquet")
    small, large = table[table.tier == 0], table[table.tier == 1]
    assert small.confidence.between(0, 1).mean() > 0.9
    assert large.confidence.isna().all()
    assert (large.status == "ok").mean() > 0.9  # no confidence is missed from the last tier
    arithmetic = table[(table.dataset == "in_domain") & table.answer.notna()]
    assert (arithmetic.correct == (arithmetic.answer == arithmetic.gold)).all()
    tokens = table.prompt_tokens + table.completion_tokens
    price = table.tier.map({0: 0.85, 1: 5.2})
    assert (table.cost_usd * 1e6).tolist() == pytest.approx((tokens * price).tolist())
    assert not any(c in table for c in ("error",))  # a column that no row fills is left out
    for _, row in small.iterrows():
        assert row.answer in row.text
        assert row.question_id.startswith(row.source)


def test_what_is_kept_beside_the_rows(collected):
    meta = json.loads(pq.read_schema(collected / "answers.parquet").metadata[b"corea"])
    assert meta["models"]["0"]["path"] == str(collected / "model")
    assert meta["models"]["0"]["model"].startswith("sha256:")
    assert meta["models"]["1"]["path"] == "package:tiny_llm"
    assert meta["prompts"]["1"]["name"] == "plain"
    assert meta["prices"]["0"]["output"] == 0.85


def test_nothing_is_asked_twice(run):
    collect(run, SHORT)
    first = without_clock(run / "answers.parquet")
    assert sum(collect_helpers.ASKED) == 3 * QUESTIONS
    assert max(collect_helpers.ASKED) == 8  # a chunk
    collect(run, SHORT, "llm.price.output=9", "chunk=3", "engine.batch_rows=2")  # nothing that an answer depends on
    assert sum(collect_helpers.ASKED) == 3 * QUESTIONS
    dearer = without_clock(run / "answers.parquet")
    assert dearer[dearer.tier == 1].cost_usd.sum() > first[first.tier == 1].cost_usd.sum()
    collect(run, SHORT, "data.families.non_math.test=9")  # five questions more, for three models
    assert sum(collect_helpers.ASKED) == 3 * QUESTIONS + 15
    collect(run, "llm.max_tokens=5")  # another LLM, as it were
    assert sum(collect_helpers.ASKED) == 4 * QUESTIONS + 15


def test_an_interrupted_collection_goes_on(run, trained, tmp_path):
    collect_helpers.INTERRUPT_AFTER.append(6)  # 4 chunks of the SLM before RL, 2 after
    with pytest.raises(Interrupted, match="tiny_slm: interrupted; 16 of 28 questions are answered and kept"):
        collect(run, SHORT)
    assert not (run / "answers.parquet").exists()
    collect_helpers.INTERRUPT_AFTER.clear()
    collect(run, SHORT)
    assert sum(collect_helpers.ASKED) == 3 * QUESTIONS
    other = Path(shutil.copytree(trained, tmp_path / "other"))
    collect(other, SHORT)
    assert without_clock(run / "answers.parquet").equals(without_clock(other / "answers.parquet"))


def test_a_killed_collection_goes_on(run, warm_python):
    """SIGKILL in the middle of the LLM's chunks, in a process of its own."""
    command = (
        "import sys; from collect_helpers import config\n"
        "from corea.collect import main; from corea.run_folder import use_run_dir\n"
        "with use_run_dir(sys.argv[1]): main(config(*sys.argv[1:])[0])"
    )
    done = warm_python.run("-c", command, run, SHORT, cwd=Path(__file__).parent, env={"KILL_AFTER": "10"})
    assert done.returncode == -9
    (kept,) = (run / "answers").glob("llm-*.jsonl")
    assert len(kept.read_text().splitlines()) == 1 + 16  # heading and two chunks
    with open(kept, "a") as file:
        file.write('{"question": "torn')
    collect(run, SHORT)
    assert sum(collect_helpers.ASKED) == QUESTIONS - 16
    assert len(read_answers(run / "answers.parquet").frame) == 2 * QUESTIONS


def test_without_a_run_the_model_alone_answers(tmp_path):
    cfg, _ = config("null", *FEW, SHORT, "before=true")
    collect_answers(cfg, tiers_of(cfg), tmp_path)
    assert len(read_answers(tmp_path / "answers.parquet").frame) == 2 * QUESTIONS
    assert not (tmp_path / "answers_before.parquet").exists()


def test_three_tiers(run):
    """A middle model that states confidences, and what it says is what a cascade of two would have been told."""
    collect(run, SHORT, "before=false")
    middle = ["llm.prompt=plain", f"llm.model={run / 'model'}", "llm.name=middle", "llm.temperature=1"]
    rows = collect(run, *middle, "+llm@larger.big=tiny", "larger.big.max_tokens=4")
    table = pd.read_parquet(run / "answers.parquet")
    assert table.groupby(["tier", "model"]).size().to_dict() == {
        (0, "tiny_slm"): QUESTIONS,
        (1, "middle"): QUESTIONS,
        (2, "tiny_llm"): QUESTIONS,
    }
    assert table.groupby("tier").confidence.count().to_list()[::2] == [table[table.tier == 0].confidence.count(), 0]
    assert table[table.tier == 1].text.tolist() == table[table.tier == 0].text.tolist()  # the same model and seed
    stated = table.confidence.fillna(-1)
    assert stated[table.tier == 1].tolist() == stated[table.tier == 0].tolist()
    before = pd.read_parquet(run / "answers_before.parquet")
    assert before.groupby("tier").size().to_list() == [QUESTIONS] * 3
    assert len(rows) == 4 * QUESTIONS
    read_answers(run / "answers.parquet")


def test_several_samples_of_a_tier_that_is_not_greedy(run):
    collect(run, SHORT, "samples=3", "before=false")
    table = pd.read_parquet(run / "answers.parquet")
    assert table.groupby("tier").size().to_dict() == {0: 3 * QUESTIONS, 1: QUESTIONS}
    assert table[table.tier == 0].groupby("question_id").text.nunique().max() > 1
    assert not (run / "answers_before.parquet").exists()
    read_answers(run / "answers.parquet")


def test_what_an_engine_cannot_answer_is_an_error_row_and_is_asked_again(run, capsys):
    config_json = run / "model" / "config.json"
    stored = json.loads(config_json.read_text())
    config_json.write_text(json.dumps(stored | {"max_position_embeddings": 20}))  # too short for some questions
    collect(run, SHORT, "before=false")
    frame = read_answers(run / "answers.parquet").frame
    failed = (frame.status == "error").sum()
    assert 0 < failed < QUESTIONS
    assert not frame[frame.status == "error"].graded.any()
    assert f"tiny_slm: {failed} questions failed; the next start tries them again" in capsys.readouterr().out
    table = pd.read_parquet(run / "answers.parquet")
    assert table[table.status == "error"].error.str.contains("the model's context is 20").all()
    asked = sum(collect_helpers.ASKED)
    collect(run, SHORT, "before=false")
    assert sum(collect_helpers.ASKED) == asked + failed


def test_a_prompt_that_is_too_long_is_named_at_once(run):
    with pytest.raises(UserError, match=r"question .*: prompt of \d+ tokens; model\.max_prompt_tokens=9"):
        collect(run, "model.max_prompt_tokens=9")
    assert len(collect_helpers.ASKED) == 1
