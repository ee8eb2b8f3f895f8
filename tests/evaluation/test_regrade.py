"""Recorded answers graded anew, by hand and on recordings with labels that are known to be wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from corea.config import CascadeConfig, EvaluateConfig
from corea.errors import UserError
from corea.evaluation.audit import frontier_move, sentence
from corea.evaluation.pipeline import run_evaluation
from corea.evaluation.regrade import graded_answer, regrade, regrader
from corea.report.result_files import write_files
from corea.report.write_results import write_outputs


@pytest.mark.parametrize(
    ("text", "recorded", "grader", "answer"),
    [
        ("<answer>1</answer> or <answer> 2 </answer>", "9", "math", "2"),
        ("so <answer>it is \\boxed{\\frac{1}{2}}</answer>", None, "math", "it is \\boxed{\\frac{1}{2}}"),
        ("first \\boxed{1}, then \\boxed{x^{2}}", "9", "math", "x^{2}"),
        ("no mark at all", "7", "math", "7"),
        ("She has 3.\nThe total is 20 dollars.", None, "math", "The total is 20 dollars."),
        ("She has 3.\nThe total is $20.00", None, "numeric", "The total is $20.00"),
        ("<think>\\boxed{1}</think> The answer is 2.", None, "math", "2."),
        (None, "7", "math", "7"),
        ("", None, "math", None),
    ],
)
def test_the_answer_of_a_text(text: str | None, recorded: str | None, grader: str, answer: str | None) -> None:
    assert graded_answer(text, recorded, grader) == answer


def table(path: Path) -> Path:
    """Six questions, two tiers; the recorded verdicts of a (wrong, is right) and d (right, is wrong) are mistaken."""
    texts = {"a": "<answer>0.5</answer>", "b": "<answer>2</answer>", "c": "<answer>1</answer>"}
    texts |= {"d": "<answer>5</answer>", "e": "<answer>5</answer>", "f": None}
    golds = {"a": "\\frac{1}{2}", "b": "2", "c": "3", "d": "4", "e": "5", "f": "6"}
    recorded = {"a": 0, "b": 1, "c": 0, "d": 1, "e": 1, "f": 1}
    rows = []
    for i, name in enumerate("abcdef"):
        same = {"question_id": name, "gold": golds[name], "question": f"{name}?"}
        rows.append({**same, "tier": 0, "correct": recorded[name], "confidence": i / 10, "text": texts[name]})
        rows.append({**same, "tier": 1, "correct": 1, "text": f"\\boxed{{{golds[name]}}}"})
    pd.DataFrame(rows).to_parquet(path, index=False)
    return path


def config(path: Path, **more: Any) -> EvaluateConfig:
    return EvaluateConfig(answers=str(path), audit="math", cascade=CascadeConfig(name="t", resamples=50), **more)


def test_every_disagreement_is_listed(tmp_path: Path) -> None:
    results = run_evaluation(config(table(tmp_path / "answers.parquet")), regrader("math"))
    audit = results.audit
    assert audit is not None
    listed = audit.disagreements.set_index("question_id")
    assert listed.index.tolist() == ["a", "d"]
    assert listed[["recorded", "regraded"]].to_numpy().tolist() == [[False, True], [True, False]]
    assert listed.loc["a", ["question", "gold", "answer", "text"]].tolist() == [
        "a?", "\\frac{1}{2}", "0.5", "<answer>0.5</answer>",
    ]  # fmt: skip
    assert sentence(audit).startswith("2 of 12 recorded verdicts disagree with the grader math: 1 answers recorded as")
    assert results.first.small.figures["accuracy"].value == pytest.approx(4 / 6)  # recorded verdicts stay in charge
    moved = audit.moves.set_index("figure")
    # ECE over bins of one question each: |0 - 0|, |0.1 - 1|, ... with the recorded and the new verdicts
    confidence = np.arange(6) / 10
    for column, verdicts in (("recorded", [0, 1, 0, 1, 1, 1]), ("regraded", [1, 1, 0, 0, 1, 1])):
        assert moved.loc["SLM accuracy", column] == pytest.approx(np.mean(verdicts))
        assert moved.loc["SLM ece", column] == pytest.approx(np.abs(confidence - verdicts).mean())
    assert moved.loc["LLM accuracy", "change"] == 0
    heights = tuple(moved.loc["frontier, mean height", ["recorded", "regraded"]])
    assert frontier_move(audit.evaluations["all"]) == heights
    write_files(results, tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "audit.csv")) == 2
    noted = json.loads((tmp_path / "out" / "metrics.json").read_text())["audit"]
    assert (noted["graded"], noted["disagreements"]) == (12, 2)


def test_what_the_grader_cannot_judge_is_no_disagreement(tmp_path: Path) -> None:
    path = table(tmp_path / "answers.parquet")
    frame = pd.read_parquet(path)
    frame.loc[frame.question_id == "c", "gold"] = "\\frac{1}{"  # recorded: SLM wrong, LLM right
    frame.to_parquet(path, index=False)
    audit = run_evaluation(config(path), regrader("math")).audit
    assert audit is not None
    assert audit.disagreements["question_id"].tolist() == ["a", "d"]
    assert audit.unjudged.to_dict() == {"unreadable_gold": 2}
    listed = audit.findings.set_index(["question_id", "tier"])
    assert listed.loc[("c", 0), ["recorded", "regraded", "outcome"]].tolist() == [False, None, "unreadable_gold"]
    assert listed.loc[("c", 0), "note"]
    assert listed.loc[("d", 0), "outcome"] == "wrong"
    text = sentence(audit)
    assert text.startswith("2 of 10 recorded verdicts disagree")
    assert text.endswith("Not judged: 2 have a gold answer that the grader cannot read; the recorded verdicts stay.")
    moved = audit.moves.set_index("figure")
    assert moved.loc["LLM accuracy", "change"] == 0


def test_audit_files_hold_outcome_and_note(tmp_path: Path) -> None:
    path = table(tmp_path / "answers.parquet")
    frame = pd.read_parquet(path)
    frame.loc[(frame.question_id == "c") & (frame.tier == 0), "gold"] = "\\frac{1}{"
    frame.to_parquet(path, index=False)
    results = run_evaluation(config(path), regrader("math"))
    outputs = write_outputs(results, config(path, out=str(tmp_path / "out"), plots=False))
    written = pd.read_csv(tmp_path / "out" / "audit.csv", keep_default_na=False)
    assert written["outcome"].tolist() == ["correct", "unreadable_gold", "wrong"]
    assert written["regraded"].tolist() == ["True", "", "False"]
    assert written["note"].tolist()[1] != ""
    noted = json.loads((tmp_path / "out" / "metrics.json").read_text())["audit"]
    assert (noted["disagreements"], noted["unjudged"]) == (2, {"unreadable_gold": 1})
    assert "not judged" in outputs.report.read_text()


def test_regraded_verdicts_in_charge(tmp_path: Path) -> None:
    path = table(tmp_path / "answers.parquet")
    frame = pd.read_parquet(path)
    frame.loc[frame.question_id == "c", "text"] = "<answer>3</answer>"
    frame.to_parquet(path, index=False)
    results = run_evaluation(config(path, verdicts="regraded"), regrader("math"))
    assert results.first.small.figures["accuracy"].value == pytest.approx(5 / 6)
    assert any("verdicts are those of the grader math" in note for note in results.notes)


def test_mistakes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"question_id": ["a"], "text": ["1"]})
    with pytest.raises(UserError, match="audit=math: needs the columns gold and text or answer"):
        regrade(frame, "x.csv", "math")
    with pytest.raises(UserError, match="1 rows have no gold, first question a"):
        regrade(frame.assign(gold=None), "x.csv", "math")
    with pytest.raises(ValueError, match="verdicts=regraded: allowed is recorded"):
        EvaluateConfig(answers="x", verdicts="regraded")


def test_recordings_with_wrong_labels(tmp_path: Path) -> None:
    """MATH-500: the SLM's authors compared a raw string, so graded properly it is right in about .544, not .454."""
    root = Path(os.environ.get("COREA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (root / "math500_replay").is_dir():
        pytest.skip("no recorded answers here; COREA_SHARED_DATA names their folder")
    read = lambda name: pd.read_json(root / "math500_replay" / name, lines=True, dtype={"question_id": str})  # noqa: E731
    rows = read("slm_rlcr.jsonl").merge(read("questions.jsonl"), on="question_id")
    verdicts = regrade(rows.head(150), "rlcr", "math").verdicts
    assert (verdicts[rows.head(150)["recorded_correct"] == 1] == 1).mean() > 0.95  # hardly any right answer is lost
    assert 0.05 < verdicts.mean() - rows.head(150)["recorded_correct"].mean() < 0.15
