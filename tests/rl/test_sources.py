"""Training and the cold start on a data set: the questions of each step, their verdicts, the written solutions."""

import json

import pytest

from corea.composition import compose
from corea.errors import UserError
from corea.rl.rollout.groups import make_groups
from corea.rl.rollout.step_questions import StepQuestions
from corea.rl.run.samples_file import samples_frame
from corea.sft.cold_start import TEACHERS, _teach
from corea.types import Completion


@pytest.fixture
def cfg(tmp_path):
    rows = [{"question": f"What is half of {n}?", "answer": f"\\frac{{{n}}}{{2}}"} for n in range(1, 65, 2)]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return compose("train", "data=file", f"data.path={path}", "trainer.questions=4", "trainer.group_size=4")


def completion(answer: str) -> Completion:
    text = f"<think></think> <answer>{answer}</answer> <confidence>0.5</confidence>"
    return Completion(text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1)


def test_steps_do_not_share_questions_before_the_epoch_ends(cfg):
    stream = StepQuestions(cfg)
    steps = [stream.take(step)[0] for step in range(4)]
    assert len({q.id for questions in steps for q in questions}) == 16
    assert [q.id for q in StepQuestions(cfg).take(2)[0]] == [q.id for q in steps[2]]


def test_outcomes_reach_the_rollouts(cfg):
    question = StepQuestions(cfg).take(0)[0][0]
    half = question.gold
    cut = Completion(text="<think>", finish_reason="length", prompt_tokens=1, completion_tokens=1)
    failed = Completion(text="", finish_reason="error", prompt_tokens=1, completion_tokens=0)
    (group,) = make_groups([question], [[completion(half), completion("x+y"), cut, failed]], cfg)
    assert [str(r.outcome) for r in group.rollouts] == ["correct", "wrong", "unparsed", "error"]
    assert [r.correct for r in group.rollouts] == [1.0, 0.0, 0.0, 0.0]
    assert group.pass_rate == 0.25
    assert samples_frame(1, [group])["outcome"].tolist() == ["correct", "wrong", "unparsed", "error"]


def test_the_teacher_writes_the_solution_of_a_data_set(cfg):
    question = StepQuestions(cfg).take(0)[0][0]
    with pytest.raises(UserError, match=r"teacher=solution: question file-\w+ of file: needs a column `solution`"):
        _teach(TEACHERS["solution"], question, "solution")
    question.meta["solution"] = "half of it"
    start = f"<think>half of it</think> <answer>{question.gold}</answer> <confidence>"
    assert _teach(TEACHERS["solution"], question, "solution").startswith(start)
    with pytest.raises(UserError, match="needs procedural questions"):
        _teach(TEACHERS["written_steps"], question, "written_steps")
