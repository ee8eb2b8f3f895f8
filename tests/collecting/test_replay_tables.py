"""engine=replay: recorded answers to an answers table, joined by question id."""

import json

import pandas as pd
import pytest
from pyarrow.parquet import read_schema

from corea.evaluation.regrade import regrade
from recorded_tables import LLM, QUESTIONS, SLM


def test_recorded_verdicts_and_confidences_are_used_as_recorded(write, replay):
    rows = replay(f"engine.tiers=[{write('slm.jsonl', SLM)},{write('llm.jsonl', LLM)}]")
    assert rows.correct.to_dict() == {("a", 0): False, ("a", 1): True, ("b", 0): True, ("b", 1): False}
    assert rows.confidence.loc[["a", "b"], 0].tolist() == [0.9, 0.4]
    assert rows.confidence.loc[:, 1].isna().all()
    assert rows.answer.fillna("nothing").to_dict() == {("a", 0): "7", ("a", 1): "7", ("b", 0): "2", ("b", 1): "nothing"}
    assert rows.status.to_dict() == {("a", 0): "ok", ("a", 1): "ok", ("b", 0): "ok", ("b", 1): "unparsed_answer"}
    assert rows.cost_usd.isna().all()
    assert rows.completion_tokens.isna().all()
    assert rows.model.unique().tolist() == ["slm", "llm"]


def test_a_middle_tier_lacks_nothing_unless_it_states_confidences(write, replay):
    files = [write("slm.jsonl", SLM), write("mid.jsonl", LLM), write("llm.jsonl", LLM)]
    rows = replay(f"engine.tiers=[{','.join(files)}]")
    assert rows.status.loc["a"].tolist() == ["ok", "ok", "ok"]
    write("mid.jsonl", [LLM[0], LLM[1] | {"recorded_confidence": 0.1}])
    rows = replay(f"engine.tiers=[{','.join(files)}]")
    assert rows.status.loc["a"].tolist() == ["ok", "unparsed_confidence", "ok"]
    assert rows.confidence.loc["b"].tolist()[:2] == [0.4, 0.1]


def test_the_table_leaves_out_what_nobody_recorded(write, replay, tmp_path):
    replay(f"engine.tiers=[{write('slm.jsonl', SLM)},{write('llm.jsonl', LLM)}]")
    schema = read_schema(tmp_path / "out" / "answers.parquet")
    assert not {"split", "cost_usd", "completion_tokens", "question", "gold"} & set(schema.names)
    meta = json.loads(schema.metadata[b"corea"])
    assert meta["models"]["1"]["recorded_in"] == "llm.jsonl"
    assert len(meta["models"]["1"]["sha256"]) == 64


def test_answers_without_a_verdict_are_graded(write, replay):
    slm = [{k: v for k, v in row.items() if k != "recorded_correct"} for row in SLM]
    slm[0]["text"] = "<answer>\\frac{2}{2}</answer>"
    llm = [*LLM[:1], LLM[1] | {"recorded_correct": None, "recorded_answer": "3"}]
    rows = replay(
        f"engine.tiers=[{write('slm.jsonl', slm)},{write('llm.jsonl', llm)}]",
        f"engine.questions={write('q.jsonl', QUESTIONS)}",
    )
    assert rows.correct.to_dict() == {("a", 0): True, ("a", 1): True, ("b", 0): True, ("b", 1): False}
    assert rows.gold.loc["a", 0] == "7"
    assert rows.question.loc["a", 0] == "What is 3 + 4?"


def test_confidences_are_parsed_where_none_were_recorded(write, replay):
    slm = [{"question_id": q, "text": f"<answer>1</answer><confidence>{c}</confidence>"} for q, c in ("a0", "bx")]
    slm = [row | {"recorded_correct": 1} for row in slm]
    rows = replay(f"engine.tiers=[{write('slm.jsonl', slm)},{write('llm.jsonl', LLM)}]")
    assert rows.confidence.loc["a", 0] == 0
    assert pd.isna(rows.confidence.loc["b", 0])
    assert rows.status.loc["b", 0] == "unparsed_confidence"


def test_a_recorded_null_is_missing_whatever_the_text_says(write, replay):
    slm = [SLM[0] | {"text": "<answer>1</answer><confidence>0.3</confidence>", "recorded_confidence": None}, SLM[1]]
    rows = replay(f"engine.tiers=[{write('slm.jsonl', slm)},{write('llm.jsonl', LLM)}]")
    assert pd.isna(rows.confidence.loc["b", 0])
    assert rows.status.loc["b", 0] == "unparsed_confidence"


def test_columns_under_other_names_names_and_csv(tmp_path, write, replay):
    pd.DataFrame({"qid": ["a", "b"], "p": [0.1, 0.2], "right": [True, False]}).to_csv(tmp_path / "s.csv", index=False)
    llm = [{"qid": row["question_id"], "right": row["recorded_correct"]} for row in LLM]
    rows = replay(
        f"engine.tiers=[{tmp_path / 's.csv'},{write('llm.jsonl', llm)}]",
        "engine.columns.question_id=qid",
        "engine.columns.confidence=p",
        "engine.columns.correct=right",
        "engine.names=[small,large]",
        "engine.dataset=mine",
    )
    assert rows.confidence.loc[["a", "b"], 0].tolist() == [0.1, 0.2]
    assert rows.model.unique().tolist() == ["small", "large"]
    assert rows.dataset.unique().tolist() == ["mine"]
    assert rows.status.unique().tolist() == ["ok"]


def test_texts_without_tags_are_read_as_the_audit_reads_them(write, replay):
    texts = {"a": "Adding gives \\boxed{7}.", "b": "Half and half. The answer is 1."}
    llm = [{"question_id": q, "text": text} for q, text in texts.items()]
    slm = [{"question_id": q, "text": f"#### {gold}", "recorded_confidence": 0.5} for q, gold in (("a", 7), ("b", 2))]
    questions = f"engine.questions={write('q.jsonl', QUESTIONS)}"
    rows = replay(f"engine.tiers=[{write('slm.jsonl', slm)},{write('llm.jsonl', llm)}]", questions)
    assert rows.correct.to_dict() == {("a", 0): True, ("a", 1): True, ("b", 0): False, ("b", 1): True}
    assert rows.status.unique().tolist() == ["ok"]
    assert regrade(rows.reset_index(), "t", "math").answers.tolist() == rows.answer.tolist()


def test_thinking_does_not_beat_the_answer_behind_it(write, replay):
    text = "<think>is it \\boxed{9}? no</think> So it is \\boxed{7}."
    llm = [{"question_id": "a", "text": text}, {"question_id": "b", "text": "\\boxed{1}"}]
    questions = f"engine.questions={write('q.jsonl', QUESTIONS)}"
    rows = replay(f"engine.tiers=[{write('slm.jsonl', SLM)},{write('llm.jsonl', llm)}]", questions)
    assert rows.answer.loc["a", 1] == "7"


def test_one_line_says_that_most_texts_cannot_be_read(write, replay, capsys):
    llm = [{"question_id": q, "text": "<think>I wonder"} for q in "ab"]
    questions = f"engine.questions={write('q.jsonl', QUESTIONS)}"
    replay(f"engine.tiers=[{write('slm.jsonl', SLM)},{write('llm.jsonl', llm)}]", questions)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1
    assert "llm.jsonl: 2 of 2 texts have no readable answer and count as wrong; check" in printed[0]


def test_one_line_says_that_no_confidence_is_there_as_in_evaluate(write, replay, capsys):
    slm = [{k: v for k, v in row.items() if k != "recorded_confidence"} for row in SLM]
    replay(f"engine.tiers=[{write('slm.jsonl', slm)},{write('llm.jsonl', LLM)}]")
    sentence = (
        "no answer of the small model has a confidence; engine.columns.confidence=NAME says which column holds it"
    )
    assert sentence in capsys.readouterr().out


def test_golds_that_cannot_be_read_are_counted_before_the_table_is_written(write, replay, capsys):
    questions = write("q.jsonl", [QUESTIONS[0] | {"gold": "\\frac{1}{"}, QUESTIONS[1]])
    llm = [{"question_id": q, "text": "\\boxed{1}"} for q in "ab"]
    rows = replay(
        f"engine.tiers=[{write('slm.jsonl', SLM)},{write('llm.jsonl', llm)}]", f"engine.questions={questions}"
    )
    assert "1 of 2 gold answers cannot be read by their grader" in capsys.readouterr().out
    assert rows.outcome.loc["a", 1] == "unreadable_gold"
    assert pd.isna(rows.correct.loc["a", 1])


def test_percentages_nested_columns_and_verdict_words(write, replay):
    slm = [{"id": q, "out": {"text": f"<answer>{q}</answer>"}, "ok": "pass", "sure": 40} for q in "ab"]
    llm = [{"id": q, "ok": "fail"} for q in "ab"]
    rows = replay(
        f"engine.tiers=[{write('slm.jsonl', slm)},{write('llm.jsonl', llm)}]",
        "engine.columns.question_id=id",
        "engine.columns.text=out.text",
        "engine.columns.correct=ok",
        "engine.columns.confidence=sure",
        "engine.confidence_scale=100",
    )
    assert rows.answer.loc[["a", "b"], 0].tolist() == ["a", "b"]
    assert rows.confidence.loc[["a", "b"], 0].tolist() == [0.4, 0.4]
    assert rows.correct.tolist() == [True, False, True, False]


def test_recorded_and_counted_tokens_are_priced(write, replay):
    slm = [row | {"prompt_tokens": 100, "completion_tokens": 10, "cached_tokens": 50} for row in SLM]
    prices = "engine.prices=[{input:1,output:2,cached:0.5},{input:10,output:20}]"
    tiers = f"engine.tiers=[{write('slm.jsonl', slm)},{write('llm.jsonl', LLM)}]"
    questions = f"engine.questions={write('q.jsonl', QUESTIONS)}"
    rows = replay(tiers, prices, questions)
    assert rows.cost_usd.loc["a", 0] == pytest.approx((50 * 1 + 50 * 0.5 + 10 * 2) / 1e6)
    assert rows.cost_usd.loc[:, 1].isna().all()  # nobody counted the LLM's tokens
    rows = replay(tiers, prices, questions, "engine.tokenizer=package:tiny_slm")
    assert rows.completion_tokens.loc["a"].tolist() == [10, len("It is 7.")]  # a letter a token
    assert rows.cost_usd.loc["a", 1] == pytest.approx(12 * 10e-6 + 8 * 20e-6)  # " + " is one token


def test_recorded_costs_come_first(write, replay):
    llm = [row | {"cost_usd": 0.25} for row in LLM]
    rows = replay(f"engine.tiers=[{write('slm.jsonl', SLM)},{write('llm.jsonl', llm)}]")
    assert rows.cost_usd.loc[:, 1].tolist() == [0.25, 0.25]


def test_samples(write, replay):
    slm = [row | {"sample": s, "recorded_confidence": s / 4} for s in (2, 0, 1) for row in SLM]
    rows = replay(f"engine.tiers=[{write('slm.jsonl', slm)},{write('llm.jsonl', LLM)}]")
    assert rows.loc["a", 0][["sample", "confidence"]].values.tolist() == [[0, 0], [1, 0.25], [2, 0.5]]


def test_real_recordings(math500, replay):
    tiers = [math500 / f"{name}.jsonl" for name in ("slm_rlcr", "llm_qwen2.5_14b_instruct", "llm_gemma_2_27b_it")]
    rows = replay(f"engine.tiers=[{','.join(map(str, tiers))}]", f"engine.questions={math500 / 'questions.jsonl'}")
    assert rows.groupby("tier").correct.mean().to_dict() == {0: 0.454, 1: 0.804, 2: 0.572}
    small = rows.xs(0, level="tier")
    assert small.confidence.nunique() == 15
    assert (small.status == "ok").all()
    deferred = small.confidence < 0.7
    assert deferred.mean() == 0.452
    assert small.correct.where(~deferred, rows.xs(1, level="tier").correct).mean() == 0.656
