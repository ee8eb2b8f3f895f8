"""What engine=ray builds on, in one process: units of questions, their files, the shared ledger, the joined table."""

import json

import live_helpers as live
import pytest

from corea.cluster.clustered_answers import answer_on_cluster
from corea.cluster.joined_rows import finished_units
from corea.cluster.question_units import question_units
from corea.cluster.shared_state import MARGIN_S, Office
from corea.cluster.tier_stage import with_shared_cache
from corea.cluster.unit_files import UnitStore
from corea.composition import compose
from corea.config import OpenAIEngineConfig
from corea.engines.build import build_engine
from corea.errors import UserError
from corea.serving.answered_table import LastTierAlone, Summary, add_summaries
from corea.types import Completion


def answer_config(file, point, *more):
    return compose("answer", f"questions={file}", f"operating_point={point}", "engine=ray", *more)


@pytest.fixture
def point(tmp_path):
    (tmp_path / "point.json").write_text("{}")
    return tmp_path / "point.json"


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_questions_become_units_once(tmp_path, point, ending):
    file = tmp_path / f"questions.{ending}"
    rows = [{"question": f"{n} + 1", "gold": str(n + 1)} for n in range(5)]
    if ending == "csv":
        file.write_text("question,gold\n" + "".join(f"{row['question']},{row['gold']}\n" for row in rows))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cfg = answer_config(file, point)
    units = question_units(cfg, 2, "sums", tmp_path / "run")
    assert (len(units), units.questions, units.datasets, units.graded) == (3, 5, ["sums"], True)
    assert [[(q.text, q.gold) for q in units.read(unit)] for unit in range(3)] == [
        [("0 + 1", "1"), ("1 + 1", "2")],
        [("2 + 1", "3"), ("3 + 1", "4")],
        [("4 + 1", "5")],
    ]
    written = (tmp_path / "run" / "questions" / "unit-0000000.parquet").stat().st_mtime_ns
    question_units(cfg, 2, "sums", tmp_path / "run")
    assert (tmp_path / "run" / "questions" / "unit-0000000.parquet").stat().st_mtime_ns == written
    with pytest.raises(UserError, match=r"^engine\.unit=4: the results in .* are in units of 2; give that number$"):
        question_units(cfg, 4, "sums", tmp_path / "run")


def test_a_question_without_text_is_named_by_its_row(tmp_path, point):
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps({"question": text}) + "\n" for text in ("a", "b", " ")))
    with pytest.raises(UserError, match=r"questions\.jsonl, row 3: column question is empty"):
        question_units(answer_config(file, point), 2, "sums", tmp_path / "run")
    file.write_text('{"question": "a"}\n{"question": \n')
    with pytest.raises(UserError, match=r"questions\.jsonl: line 2"):
        question_units(answer_config(file, point), 2, "sums", tmp_path / "run")


def test_the_file_of_a_unit_holds_its_answers_and_an_error_is_none(tmp_path):
    right = Completion(
        text="3", finish_reason="stop", prompt_tokens=4, completion_tokens=2, extra={"confidence_x": 0.5}
    )
    wrong = Completion(text="", finish_reason="error", prompt_tokens=0, completion_tokens=0, error="down")
    UnitStore(tmp_path, 7).add([("a", [right, right]), ("b", [wrong, wrong])])
    store = UnitStore(tmp_path, 7)
    assert store.get("a", 1) == right
    assert (store.has("a", 2), store.has("b", 2), store.has("c", 1)) == (True, False, False)


def test_a_call_of_a_dead_actor_counts_in_full_and_frees_the_others(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("corea.cluster.shared_state.time.monotonic", lambda: now[0])
    office = Office({"spending": (tmp_path / "spending.jsonl", 1.0, "budget_usd")}, None)
    assert office.begin() is None
    first, second = (office.reserve("spending", 0.4, 10.0)[0] for _ in range(2))
    assert office.reserve("spending", 0.4, 10.0)[0] is None
    assert office.settle("spending", first, 0.1, "", None) == pytest.approx(0.1)
    now[0] = 10.0 + MARGIN_S + 1
    ticket, spent, held = office.reserve("spending", 0.4, 10.0)
    assert ticket is not None
    assert (spent, held) == (pytest.approx(0.5), pytest.approx(0.4))  # 0.1 settled and 0.4 of the dead actor
    assert office.settle("spending", second, 0.0, "", None) == pytest.approx(0.5)  # it comes too late
    office.stop("first")
    office.stop("second")
    assert office.stopped() == "first"


def test_the_last_line_about_a_unit_counts_and_a_cut_one_does_not(tmp_path):
    file = tmp_path / "finished.jsonl"
    lines = [{"unit": 0, "pieces": [0], "whole": True}, {"unit": 1, "pieces": [0, 1], "whole": False},
             {"unit": 0, "pieces": [0, 1], "whole": True}]  # fmt: skip
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"unit": 2, "pie')
    assert finished_units(file) == ({0: [0, 1], 1: [0, 1]}, {0})
    assert finished_units(tmp_path / "none.jsonl") == ({}, set())


def figures(questions, kept, cost, **more):
    given = {"questions": questions, "answered": {"0": kept, "1": questions - kept}, "reasons": {"kept": kept},
             "deferred_share": 1 - kept / questions, "expected_deferral": 0.5, "cost_usd": cost, "llm_alone_usd": 2.0,
             "llm_alone_basis": "its own answers", "failed": 1, "fallbacks": 0, "unbound": False,
             "operating_point": "x", "correct": kept, "graded": questions}  # fmt: skip
    return Summary(**(given | more))


def test_figures_of_two_tables_together():
    alone = LastTierAlone(asked=32, asked_usd=3.2, others=8, others_usd=None)
    both = add_summaries(figures(10, 5, 1.0), figures(30, 3, 0.5, fallbacks=2), alone)
    assert (both.questions, both.answered, both.reasons) == (40, {"0": 8, "1": 32}, {"kept": 8})
    assert both.deferred_share == pytest.approx((5 + 27) / 40)
    assert (both.cost_usd, both.failed, both.fallbacks) == (1.5, 2, 2)
    assert both.llm_alone_usd == pytest.approx(4.0)  # 0.1 for each of the 32 that it answered and of the 8 others
    assert (
        both.llm_alone_basis == "for the 8 questions that it did not answer, its mean cost of the 32 that it answered"
    )
    assert (both.correct, both.graded, both.expected_deferral) == (8, 40, 0.5)
    lacking = figures(10, 5, 1.0, correct=None, graded=None, expected_deferral=None)
    unknown = add_summaries(figures(10, 5, None), lacking, LastTierAlone())
    assert (unknown.cost_usd, unknown.graded, unknown.expected_deferral) == (None, None, None)


def test_responses_are_cached_where_all_nodes_see_them(tmp_path):
    home, named = (
        live.tier(1, "m", OpenAIEngineConfig(key_env=None, cache=cache))
        for cache in ("~/.cache/x", str(tmp_path / "c"))
    )
    assert with_shared_cache(home, tmp_path / "responses").engine.cache == str(tmp_path / "responses")
    assert with_shared_cache(named, tmp_path / "responses").engine.cache == str(tmp_path / "c")


def test_mistakes(tmp_path, point):
    cfg = answer_config("-", point, "engine.tiers=[{actors: 4, gpus: 1}]").engine
    assert [cfg.tier(place).actors for place in (0, 1)] == [4, 4]
    with pytest.raises(UserError, match=r"^engine=hf: allowed is ray or null; the engine of a tier is \+engine@tiers"):
        answer_config("-", point, "engine=hf")
    with pytest.raises(UserError, match=r"^dry_run=true: allowed is false with engine=ray"):
        answer_config("-", point, "dry_run=true")
    with pytest.raises(UserError, match=r"^engine=ray: allowed as `engine` of corea\.collect and corea\.answer"):
        build_engine(cfg, model="m")


def test_more_entries_than_tiers_are_refused_before_a_cluster_starts(tmp_path):
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "1 + 1", "gold": "2"}\n')
    tiers = [live.tier(number, f"sums-{number}", OpenAIEngineConfig(base_url="http://none/v1")) for number in (0, 1)]
    file = live.write_point(tmp_path, tiers, {"sums": {"signal": "verbalized", "thresholds": [0.5]}})
    cfg = answer_config(questions, file, "engine.tiers=[{actors: 1}, {actors: 1}, {actors: 1}]")
    with pytest.raises(UserError, match=r"^engine\.tiers: 3 entries; allowed are up to 2, one a tier$"):
        answer_on_cluster(cfg, tmp_path / "run")
    three = ["engine=ray", "llm=tiny", "+llm@larger.big=tiny", "engine.tiers=[{actors: 1}, {actors: 1}, {actors: 1}]"]
    assert len(compose("collect", *three).engine.tiers) == 3
    with pytest.raises(UserError, match=r"^engine\.tiers: 3 entries; allowed are up to 2, one a tier$"):
        compose("collect", "engine=ray", "llm=tiny", three[-1])
