"""For recorded replies, serve, answer and the sweep agree on tier, answer, tokens and cost of every question."""

import json
import math
import random
from pathlib import Path

import live_helpers as live
import numpy as np
import pandas as pd
import pytest
from serve_helpers import served

from answer_tables import config
from corea.answers.table import read_answers
from corea.cascade.chains import answering, run_chain, stack
from corea.cascade.live_point import read_point
from corea.collecting.answering import answer_all
from corea.errors import UserError
from corea.evaluation.pipeline import run_evaluation
from corea.evaluation.question_sets import add_combined, question_sets
from corea.report.result_files import write_files
from corea.types import Question

TOKENS = ("prompt_tokens", "completion_tokens")
KINDS = ("ok", "ok", "ok", "ok", "missing", "truncated", "unparsed", "error", "cut_confidence")


def reply(kind: str, stated: float, right: bool) -> tuple[str, str]:
    """(text, finish reason) of one recorded reply."""
    value = "7" if right else "8"
    tags = f"<think>so</think> <answer>{value}</answer>"
    return {
        "ok": (f"{tags} <confidence>{stated}</confidence>", "stop"),
        "missing": (tags, "stop"),
        "truncated": ("<think>so and so and", "length"),
        "cut_confidence": (f"{tags} <confid", "length"),
        "unparsed": (f"seven, I think <confidence>{stated}</confidence>", "stop"),
        "error": ("", "error"),
    }[kind]


def recordings(folder: Path, tiers: int, n: int = 240, silent: tuple[int, ...] = ()) -> tuple[Path, list[Question]]:
    """(table of recorded replies, questions): every kind of reply at every tier, few distinct confidences."""
    rng = random.Random(tiers)
    rows, questions = [], []
    for i in range(n):
        dataset = "sums" if i % 3 else "words"
        split = "calibration" if i % 2 else "test"
        text = f" what is {i}?\n"
        questions.append(
            Question(id=f"q{i}", dataset=dataset, source=dataset, split=split, text=text, gold="7", grader="exact")
        )
        for tier in range(tiers):
            stated = rng.choice([0.1, 0.3, 0.5, 0.5, 0.7, 0.9])
            kind = rng.choice(KINDS) if tier < tiers - 1 else rng.choice(("ok", "ok", "unparsed"))
            if tier in silent:
                kind = "missing"
            right = rng.random() < 0.2 + 0.7 * stated if tier < tiers - 1 else rng.random() < 0.95
            body, reason = reply(kind, stated, right)
            row = {"question": text, "tier": tier, "text": body, "finish_reason": reason, "error": "down"}
            row |= {"prompt_tokens": 10 + i % 5, "completion_tokens": rng.randint(1, 60)}
            row |= {"confidence_avg_prob": rng.random()} if tier not in silent else {}
            row |= {"retry_prompt_tokens": 10, "retry_completion_tokens": 3} if i % 7 == 0 else {}
            rows.append(row)
    path = folder / "recorded.parquet"
    pd.DataFrame(rows).to_parquet(path, index=False)
    return path, questions


def evaluated(folder: Path, tiers: int, signal: str, silent: tuple[int, ...] = (), n: int = 240, **cascade):
    """(answers, results, operating point file) of recorded tiers."""
    file, questions = recordings(folder, tiers, n, silent=silent)
    signals = () if signal == "verbalized" else ("avg_prob",)
    chain = [
        live.recorded_tier(t, file, signals=signals if t not in silent else (), expects_confidence=t < tiers - 1)
        for t in range(tiers)
    ]
    live.collect(folder, chain, questions)
    cfg = config(folder / "answers.parquet", signal=signal, compare=False, **cascade)
    results = run_evaluation(cfg)
    write_files(results, folder)
    return read_answers(folder / "answers.parquet", text=True), results, folder / "operating_point.json"


def sweep_rows(answers, signal: str, points: dict, confidence=None) -> pd.DataFrame:
    """What the sweep says of every question: tier, answer, tokens and cost, by the arrays of the chains."""
    found = []
    for dataset, point in points.items():
        data, questions = stack(answers, signal, dataset)
        if confidence is not None:
            data.confidence[0] = confidence[dataset]
        places = tuple(data.tiers.index(t) for t in point.chain)
        silent = data.silent
        thresholds = np.array([point.thresholds])
        position = answering(data, places, thresholds, silent)[0]
        cost = run_chain(data, places, thresholds, silent)[1][0]
        frame = answers.frame[answers.frame.dataset == dataset]
        replies = {(r.question_id, r.tier): r._asdict() for r in frame.itertuples()}
        for i, question in enumerate(questions.question_id):
            tier = point.chain[position[i]]
            passed = [
                t for p, t in enumerate(point.chain) if p <= position[i] and not (silent[places[p]] and t != tier)
            ]
            row = {"dataset": dataset, "question_id": question, "tier": tier, "cost_usd": cost[i]}
            row["answer"] = replies[question, tier]["answer"]
            row |= {name: sum(replies[question, t][name] for t in passed) for name in TOKENS}
            found.append(row)
    return pd.DataFrame(found).sort_values(["dataset", "question_id"], ignore_index=True)


def assert_same(folder: Path, point: Path, answers, signal: str, confidence=None) -> pd.DataFrame:
    questions = answers.frame[answers.frame.tier == 0][["dataset", "question_id", "question", "gold"]].astype(str)
    questions.to_parquet(folder / "questions.parquet", index=False)
    table = live.answer(folder / "run", folder / "questions.parquet", point, "grader=exact", "chunk=16")
    points = {name: read_point(point).point(name) for name in ("sums", "words")}
    expected = sweep_rows(answers, signal, points, confidence)
    got = table.sort_values(["dataset", "question_id"], ignore_index=True)
    assert got.tier.tolist() == expected.tier.tolist()
    assert got.answer.fillna("none").tolist() == expected.answer.fillna("none").tolist()
    for name in TOKENS:
        assert got[name].tolist() == expected[name].tolist()
    assert got.cost_usd.tolist() == pytest.approx(expected.cost_usd.tolist(), rel=1e-12)
    assert_served(folder, point, table)
    return got


def assert_served(folder: Path, point: Path, table: pd.DataFrame) -> None:
    """corea.serve says the same as the table of corea.answer; every question is asked while the others are."""
    journeys = served(folder, point, table.question.tolist(), table.dataset.tolist())
    assert len(journeys) == len(table)
    for journey, row in zip(journeys, table.fillna({"answer": "none"}).itertuples(), strict=True):
        result = journey.route.result
        assert result.tier == row.tier
        assert (result.parsed.answer or "none") == row.answer
        assert journey.route.reason == row.reason
        made = [c for samples in journey.completions.values() for c in samples]
        retried = sum(c.extra.get("retry_prompt_tokens", 0) for c in made)
        assert journey.tokens()["prompt_tokens"] == row.prompt_tokens + retried
        assert math.fsum(journey.costs().values()) == pytest.approx(row.cost_usd, rel=1e-12)


@pytest.mark.parametrize("signal", ["verbalized", "avg_prob"])
def test_two_tiers(tmp_path, signal):
    answers, results, point = evaluated(tmp_path, 2, signal, rule="fixed", threshold=0.5)
    table = assert_same(tmp_path, point, answers, signal)
    assert set(table.reason) == {"kept", "low", "truncated", "slm_error"} | (
        {"missing"} if signal == "verbalized" else set()
    )
    at_threshold = table[table.tier0_confidence == 0.5]
    assert (at_threshold.reason == "kept").all()
    assert len(at_threshold) == 0 or signal == "verbalized"
    assert table[table.tier0_status == "unparsed_answer"].reason.isin(["kept", "low"]).all()
    inside = table[table.question_id.isin(results.first.test.question_id) & (table.dataset == results.primary)]
    figure = results.first.point("fixed").figures["deferral_rate"].value
    assert (inside.reason != "kept").mean() == pytest.approx(figure)


@pytest.mark.parametrize("silent", [(), (1,)])
def test_three_tiers(tmp_path, silent):
    answers, _, point = evaluated(tmp_path, 3, "verbalized", silent, rule="max_drop", delta=0.3, confidence=None)
    document = json.loads(point.read_text())
    for name in document["datasets"]:  # whatever the rule chose: a chain that passes all three tiers
        deciders = [0, 0] if silent else [0, 1]
        document["datasets"][name] |= {"chain": [0, 1, 2], "thresholds": [0.7, 0.3], "deciders": deciders}
    point.write_text(json.dumps(document))
    table = assert_same(tmp_path, point, answers, "verbalized")
    assert set(table.tier) == {0, 1, 2}
    if silent:
        skipped = table[(table.tier == 2)]
        assert skipped.tier1_status.isna().all()


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_a_recalibrated_signal(tmp_path, method):
    answers, results, point = evaluated(tmp_path, 2, "avg_prob", recalibrate=method, n=480, rule="fixed", threshold=0.6)
    now = question_sets(answers, None, results.cfg).now
    confidence = {name: now.confidence[now.dataset == name] for name in ("sums", "words")}
    table = assert_same(tmp_path, point, answers, "avg_prob", confidence)
    assert set(table.tier) == {0, 1}
    document = json.loads(point.read_text())
    del document["datasets"]["sums"]["maps"]
    point.write_text(json.dumps(document))
    with pytest.raises(UserError, match="the fitted map of its signal"):
        read_point(point).point("sums")


def test_a_stack_of_signals(tmp_path):
    answers, results, point = evaluated(tmp_path, 2, "combined", n=600, rule="fixed", threshold=0.6)
    combined, stacks = add_combined(answers, None, results.cfg)
    assert read_point(point).point("sums").features(0) == stacks["sums"][0].features
    assert set(stacks["sums"][0].features) == {"verbalized", "avg_prob", "length"}
    table = assert_same(tmp_path, point, combined, "combined")
    assert {"kept", "low", "truncated", "slm_error"} == set(table.reason)
    assert table.reason.isin(["kept", "low"]).mean() > 0.5


def test_a_stack_at_every_tier_of_a_chain(tmp_path):
    answers, results, point = evaluated(tmp_path, 3, "combined", n=1000, rule="max_drop", delta=0.3, confidence=None)
    document = json.loads(point.read_text())
    for name in document["datasets"]:
        document["datasets"][name] |= {"chain": [0, 1, 2], "thresholds": [0.7, 0.5], "deciders": [0, 1]}
    point.write_text(json.dumps(document))
    combined, _ = add_combined(answers, None, results.cfg)
    table = assert_same(tmp_path, point, combined, "combined")
    assert set(table.tier) == {0, 1, 2}


def test_the_same_replies_give_the_same_answers_whatever_the_batches(tmp_path):
    answers, _, point = evaluated(tmp_path, 2, "verbalized", rule="fixed", threshold=0.5)
    first = assert_same(tmp_path, point, answers, "verbalized")
    again = live.answer(
        tmp_path / "other", tmp_path / "questions.parquet", point, "grader=exact", "chunk=1"
    ).sort_values(["dataset", "question_id"], ignore_index=True)
    pd.testing.assert_frame_equal(again, first)


def test_a_collection_is_what_it_was_recorded_from(tmp_path):
    file, questions = recordings(tmp_path, 2)
    (tier, _) = (live.recorded_tier(0, file), live.recorded_tier(1, file))
    found = answer_all(tier, questions, tmp_path / "store", 50)
    assert [a.completion.extra.get("retry_prompt_tokens") for a in found[:8]] == [10, *[None] * 6, 10]
    assert all(0 <= a.completion.extra["confidence_avg_prob"] <= 1 for a in found)
