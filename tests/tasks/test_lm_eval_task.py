"""data=lm_eval:TASK with the real package, on tasks in YAML files of a folder; .ci/run installs it."""

import json
import os

import pytest

pytest.importorskip("lm_eval", reason="needs the extra lm_eval")

from corea.composition import compose
from corea.errors import UserError
from corea.tasks.grading import close_pool, grade_many
from corea.tasks.held_out import family_questions
from corea.tasks.lm_eval_task import grade, lm_eval_rows

pytestmark = pytest.mark.slow

SUMS = """
task: tiny_sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/sums.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
filter_list:
  - {{name: strict, filter: [{{function: regex, regex_pattern: "#### (-?[0-9]+)"}}, {{function: take_first}}]}}
  - name: flexible
    filter: [{{function: regex, regex_pattern: "(-?[0-9]+)", group_select: -1}}, {{function: take_first}}]
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
CHOICE = """
task: tiny_choice
dataset_path: json
dataset_kwargs: {{data_files: {{validation: {folder}/choice.jsonl}}}}
validation_split: validation
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{options}}}}"
doc_to_target: label
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    os.environ["HF_DATASETS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    folder = tmp_path_factory.mktemp("tasks")
    sums = [{"question": f"What is {a} + 4?", "answer": str(a + 4)} for a in range(3, 13)]
    options = [{"question": f"What is more than {a}?", "options": [str(a - 1), str(a + 1)], "label": 1} for a in (4, 7)]
    for name, rows, task in (("sums", sums, SUMS), ("choice", options, CHOICE)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"tiny_{name}.yaml").write_text(task.format(folder=folder))
    return folder


def questions(folder, task: str):
    data = compose("collect", f"data=lm_eval:{folder}/{task}").data
    return [q for split in ("calibration", "test") for q in family_questions(data, "lm_eval", split, None)]


def test_a_tasks_documents_are_the_questions(folder):
    found = {q.id: q for q in questions(folder, "tiny_sums")}
    assert len(found) == 10
    assert {q.split for q in found.values()} == {"calibration", "test"}
    assert (found["tiny_sums-3"].text, found["tiny_sums-3"].gold) == ("What is 6 + 4?", "10")


def test_the_first_filter_that_finds_an_answer_and_the_metric_judge_it(folder):
    found = {q.id: q for q in questions(folder, "tiny_sums")}
    answers = {"7": True, "#### 7 of 8": True, "It is 7.": True, "8": False, "no idea": None}
    assert {a: grade(found["tiny_sums-0"], a) for a in answers} == answers


def test_the_grader_runs_in_a_worker_under_the_usual_limits(folder):
    found = {q.id: q for q in questions(folder, "tiny_sums")}
    try:
        verdicts = grade_many([found["tiny_sums-0"]] * 3, ["7", "8", "none"])
    finally:
        close_pool()
    assert [(v.outcome.value, v.correct) for v in verdicts] == [
        ("correct", True),
        ("wrong", False),
        ("unparsed", False),
    ]


def test_options_are_shown_and_judged_by_accuracy(folder):
    one = next(q for q in questions(folder, "tiny_choice.yaml") if q.id == "tiny_choice-0")
    assert one.text == "What is more than 4?\nA. 3\nB. 5"
    assert one.gold == "B"
    assert {a: grade(one, a) for a in ("B", "5", "A", "Z")} == {"B": True, "5": True, "A": False, "Z": None}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("nope", "no such task in the folder .*; allowed is tiny_choice, tiny_sums"),
        ("nope.yaml", "no such file"),
    ],
)
def test_what_is_no_task_is_refused_in_one_line(folder, task, words):
    with pytest.raises(UserError, match=words):
        lm_eval_rows(f"lm_eval:{folder}/{task}")
