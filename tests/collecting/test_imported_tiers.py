"""engine=replay and the evaluation on files of other tools."""

from __future__ import annotations

import json
import re

import pytest

import tool_files as files
from corea.answers.foreign_answers import read_foreign
from corea.errors import UserError

QUESTIONS = [{"custom_id": f"q{n}", "question": files.ASKED[n], "gold": files.GOLDS[n]} for n in range(3)]


def test_two_logs_become_an_answers_table(tmp_path, replay, capsys):
    other = files.inspect_json(tmp_path).rename(tmp_path / "other.json")
    rows = replay(f"engine.tiers=[{files.inspect_eval(tmp_path)},{other}]")
    assert rows.correct.loc[:, 0].tolist() == [True, False, True]
    assert rows.question.loc["q0", 0] == "3 + 4?"
    assert rows.gold.loc["q0", 1] == "7"
    assert rows.dataset.unique().tolist() == ["sums"]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("log.eval: Inspect log, 3 answers of org/tiny: question_id from id")
    assert all(len(line) <= 300 for line in said)


def test_a_file_with_several_models_is_all_tiers_or_is_named_once_for_each(tmp_path, replay):
    path = files.promptfoo(tmp_path)
    for overrides in ([f"engine.tiers=[{path}]"], [f"engine.tiers=[{path},{path}]"]):
        rows = replay(*overrides)
        assert rows.model.loc["0"].tolist() == ["x:tiny", "x:big"]
        assert rows.cost_usd.loc["0"].tolist() == [0.5, 2.0]
    rows = replay(f"engine.tiers=[{path},{path}]", 'engine.names=["x:big","x:tiny"]')
    assert rows.correct.loc[:, 1].tolist() == [True, False, True]
    with pytest.raises(
        UserError, match=r"holds 2 models: name the file once for each, or engine\.names of x:tiny, x:big"
    ):
        replay(f"engine.tiers=[{path},{path},{path}]")


def test_answers_without_verdicts_are_graded_and_failures_are_errors(tmp_path, write, replay):
    questions = write("q.jsonl", [*QUESTIONS, {"custom_id": "q3", "question": "1 + 1?", "gold": "2"}])
    path = files.openai_batch(tmp_path)
    rows = replay(f"engine.tiers=[{path},{path}]", f"engine.questions={questions}")
    assert rows.correct.loc[:, 1].tolist() == [True, False, True, None]
    assert rows.status.loc["q3", 1] == "error"
    assert rows.error.loc["q3", 1] == "too busy"


def test_rows_without_ids_belong_to_the_questions_in_their_order(tmp_path, write, replay):
    path = files.vllm_bench(tmp_path)
    rows = replay(f"engine.tiers=[{files.verl(tmp_path)},{path}]", f"engine.questions={write('q.jsonl', QUESTIONS)}")
    assert rows.correct.loc[:, 1].to_dict() == {"q0": True, "q1": False, "q2": True}
    turned = write("turned.jsonl", QUESTIONS[::-1])
    with pytest.raises(
        UserError, match=r"question q2: reference answer '7', but '9' in .*: the rows are in another order"
    ):
        replay(f"engine.tiers=[{files.verl(tmp_path)},{path}]", f"engine.questions={turned}")


def test_files_of_different_tools_are_joined_by_the_questions_text(tmp_path, replay, capsys):
    rows = replay(f"engine.tiers=[{files.inspect_json(tmp_path)},{files.openai_evals(tmp_path)}]")
    assert rows.correct.loc["q1"].tolist() == [False, False]
    assert f"joined with {tmp_path / 'log.json'} by the question's text" in capsys.readouterr().out


def test_unknown_files_are_refused_with_the_shortest_mapping(tmp_path, write, replay):
    odd = write("odd.jsonl", [{"key_of_it": n, "length": 2.5} for n in range(2)])
    with pytest.raises(
        UserError, match=r"no column question_id: set engine\.columns\.question_id; the file has"
    ) as said:
        replay(f"engine.tiers=[{odd}]")
    assert len(str(said.value)) <= 300
    (tmp_path / "table.pkl").write_bytes(b"x")
    with pytest.raises(UserError, match=r"a pickle can run code when it is read"):
        replay(f"engine.tiers=[{tmp_path / 'table.pkl'}]")
    known = write("known.jsonl", [{"question_id": "a", "recorded_correct": 1}])
    with pytest.raises(UserError, match=r"engine\.pick=acc: only a file of another tool has several verdicts"):
        replay(f"engine.tiers=[{known}]", "engine.pick=acc")


@pytest.mark.parametrize("maker", ["promptfoo", "routellm", "routerbench"])
def test_the_evaluation_reads_files_with_several_models(tmp_path, maker):
    answers = read_foreign(getattr(files, maker)(tmp_path), None, {}, 1.0)
    assert answers is not None
    frame = answers.frame
    assert frame.loc[frame["tier"] == 0, "correct"].tolist() == [1.0, 0.0, 1.0]
    assert frame.loc[frame["tier"] == 1, "correct"].tolist() == [1.0, 1.0, 1.0]
    assert answers.notes[0].count("answers of") == 1
    assert frame["confidence"].isna().all()


def test_the_evaluation_names_the_command_for_files_of_one_model(tmp_path):
    log = files.inspect_json(tmp_path)
    command = f"python -m corea.collect engine=replay 'engine.tiers=[{log},OTHER]'"
    with pytest.raises(UserError, match=rf"Inspect log of one model; .*: {re.escape(command)}"):
        read_foreign(log, None, {}, 1.0)
    own = tmp_path / "own.json"
    own.write_text(json.dumps([{"question_id": "a", "tier": 0, "is_right": True}]))
    assert read_foreign(own, None, {}, 1.0) is None
