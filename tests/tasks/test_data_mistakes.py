"""Mistakes in the files and the configuration of a data set are one line."""

import pytest

from corea.composition import compose
from corea.config.data_schema import SourceConfig
from corea.errors import UserError
from corea.tasks.questions import to_questions
from data_sets import fail, mix, questions, write


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            '{"question": "a?"}\n',
            "q.jsonl, row 1: no column answer; the file has question; map one with data.families.",
        ),
        (
            '{"question": "a?", "target": "1"}\n',
            "the file has question, target; perhaps data.families.FAMILY.sources.N.columns.gold=target",
        ),
        ('{"question": ["a?"], "answer": "1"}\n', "q.jsonl, row 1: column question holds a list"),
        (
            '{"question": "a?", "answer": {"value": 1}}\n',
            "row 1: column answer holds an object; a part of it is named like",
        ),
        ('{"question": "a?", "answer": [["1"]]}\n', "q.jsonl, row 1: column answer holds a list"),
        ("\n\n", "q.jsonl: the table holds no rows"),
        ('{"question": "a?", "answer": "1"}\n{oops\n', "q.jsonl: line 2 is not JSON: "),
        ('{"question": " ", "answer": "1"}\n', "q.jsonl, row 1: column question is empty"),
        ('{"question": "a?", "answer": null}\n', "q.jsonl, row 1: column answer is empty"),
        ("[1]\n", "q.jsonl: line 1 is not a JSON object"),
        ("", "q.jsonl: the file is empty"),
    ],
)
def test_mistakes_in_a_file_are_one_line(tmp_path, content, line):
    (tmp_path / "q.jsonl").write_text(content)
    assert line in fail(mix(SourceConfig(name="s", path=str(tmp_path / "q.jsonl"))))


@pytest.mark.parametrize(
    ("change", "row", "line"),
    [
        ({"columns": {"question_id": "id"}}, {"id": [1]}, "q.jsonl, row 1: column id holds a list"),
        ({"columns": {"options": "o"}}, {"o": 7}, "q.jsonl, row 1: options are int; allowed is a list, or a mapping"),
        (
            {"columns": {"options": "o"}},
            {"o": {"label": ["A"], "text": ["x", "y"]}},
            "row 1: options: label and text are not two lists of the same length",
        ),
        (
            {"between": {"level": [1.0, 2.0]}},
            {"level": "hard"},
            "between: column level holds 'hard', which is not a number",
        ),
    ],
)
def test_mistakes_in_mapped_columns_are_one_line(tmp_path, change, row, line):
    path = write(tmp_path / "q.jsonl", [{"question": "a?", "answer": "1", **row}])
    assert line in fail(mix(SourceConfig(name="s", path=str(path), **change)))


def test_a_gold_answer_may_be_a_list_and_an_id_may_be_missing():
    rows = [{"question": f"a{n}?", "answer": ["1", 2]} for n in range(40)]
    source = SourceConfig(name="s", path="q.jsonl", columns={"question_id": "id"})
    found = to_questions(source, rows, dataset="d", where="q.jsonl")
    assert {q.gold for q in found} == {"1, 2"}
    assert len({q.id for q in found}) == 40


def test_mistakes_in_a_path_are_one_line(tmp_path):
    assert fail(mix(SourceConfig(name="s", path=f"{tmp_path}/no.jsonl"))).endswith("no.jsonl: no such file or folder")
    assert "no file for split 'train': allowed is train.jsonl" in fail(mix(SourceConfig(name="s", path=str(tmp_path))))
    (tmp_path / "q.parquet").write_text("not parquet")
    assert "q.parquet: not a readable Parquet file" in fail(mix(SourceConfig(name="s", path=f"{tmp_path}/q.parquet")))
    (tmp_path / "q.pkl").write_bytes(b"\x80\x04.")
    allowed = "q.pkl: allowed is a file that ends in .parquet, .jsonl, .ndjson, .json, .csv, .tsv, "
    assert allowed in fail(mix(SourceConfig(name="s", path=f"{tmp_path}/q.pkl")))
    (tmp_path / "q.jsonl").write_bytes(b'{"question": "\xff"}')
    assert "q.jsonl: line 1 is not UTF-8 text" in fail(mix(SourceConfig(name="s", path=f"{tmp_path}/q.jsonl")))
    rows = [{"question": f"{n}?", "answer": "1", "id": "same"} for n in range(2)]
    path = write(tmp_path / "ids.jsonl", rows)
    columns = {"question_id": "id"}
    assert "row 2: question id same also belongs to another question" in fail(
        mix(SourceConfig(name="s", path=str(path), columns=columns))
    )
    data = compose("collect", "data=ood_math", f"data.path={tmp_path}").data
    with pytest.raises(UserError, match="contains no math500; allowed is a folder with a file or folder for math500"):
        questions(data, "test", "math500")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("data.contamination=no", "data.contamination=no: allowed is drop, count, off"),
        ("data.grading.memory_mb=1", "data.grading.memory_mb=1: allowed is a number >= 256"),
    ],
)
def test_mistakes_in_the_configuration(override, line):
    with pytest.raises(UserError, match=line):
        compose("train", override)


def test_a_source_is_a_task_or_a_data_set():
    with pytest.raises(ValueError, match="allowed is a task, or a path or hub data set"):
        SourceConfig(name="s")
    with pytest.raises(ValueError, match=r"s\.grader=vibes: allowed is exact, numeric, choice, math"):
        SourceConfig(name="s", path="q.jsonl", grader="vibes")
    with pytest.raises(ValueError, match="allowed is reasoning_gym for a task, any other for a data set"):
        SourceConfig(name="s", path="q.jsonl", grader="reasoning_gym")
    assert SourceConfig(name="s", path="q.jsonl", grader="my.module:judge").grader == "my.module:judge"
