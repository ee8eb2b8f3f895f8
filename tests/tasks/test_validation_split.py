"""Validation questions are in no other split, for every kind of source."""

import json
import logging

import pytest

from corea.composition import compose
from corea.config.data_schema import DataConfig, FamilyConfig, SourceConfig
from corea.errors import UserError
from corea.tasks.held_out import family_questions, validation_questions
from corea.tasks.mixes import TrainingStream
from corea.tasks.question_text import normalise

SUMS = SourceConfig(name="sums", task="chain_sum", params={"min_terms": 4, "max_terms": 6, "min_digits": 1})
SHARED = {"train": "train", "calibration": "train", "test": "train"}
APART = {"train": "train", "calibration": "test", "test": "test"}
OWN = {"train": "train", "validation": "dev", "calibration": "dev", "test": "test"}
CODE = """
def rows(split):
    return [{"question": f"What is {split} {n}?", "answer": str(n)} for n in range(900)]
"""


@pytest.fixture
def folder(tmp_path):
    for split, numbers in {"train": range(900), "dev": range(1000, 1300), "test": range(2000, 2300)}.items():
        rows = [{"question": f"What is half of {n}?", "answer": str(n / 2)} for n in numbers]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "own_rows.py").write_text(CODE)
    return tmp_path


def mix(*sources):
    return DataConfig(
        name="x", train=["f"], families={"f": FamilyConfig(sources=list(sources), calibration=None, test=None)}
    )


def texts(questions):
    return [normalise(q.text) for q in questions]


def files(folder, splits, name="half"):
    return SourceConfig(name=name, path=str(folder), splits=splits)


KINDS = {
    "procedural": lambda folder: [SUMS],
    "a file": lambda folder: [SourceConfig(name="half", path=str(folder / "train.jsonl"))],
    "one split for all": lambda folder: [files(folder, SHARED)],
    "train and test": lambda folder: [files(folder, APART)],
    "a validation split of its own": lambda folder: [files(folder, OWN)],
    "code": lambda folder: [SourceConfig(name="own", path=f"{folder}/own_rows.py:rows")],
    "procedural and a file": lambda folder: [SUMS, files(folder, SHARED)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_overlap_is_zero(kind, folder):
    data = mix(*KINDS[kind](folder))
    procedural = any(s.task for s in data.families["f"].sources)
    size = 150 if procedural else None
    validation = texts(validation_questions(data, 40))
    held = {split: texts(family_questions(data, "f", split, size)) for split in ("calibration", "test")}
    stream = TrainingStream(data, split="train", seed=0, size=40)
    trained = {text for step in range(25) for text in texts(stream.take(step)[0])}
    assert len(set(validation)) == len(validation) == 40
    assert all(held.values())
    assert [len(set(validation) & set(other)) for other in (*held.values(), trained)] == [0, 0, 0]
    assert not set(held["calibration"]) & set(held["test"])


def test_a_question_that_another_set_holds_out_is_left_out(folder):
    """The train split of one set is the test split of another."""
    data = mix(files(folder, SHARED))
    other = SourceConfig(
        name="other", path=str(folder), splits={"train": None, "calibration": "train", "test": "train"}
    )
    assert len(validation_questions(data, 30)) == 30
    data.families["g"] = FamilyConfig(sources=[other], calibration=None, test=None)
    with pytest.raises(UserError, match=r"data: no validation questions in half; see splits\.validation"):
        validation_questions(data, 30)


def test_a_set_with_fewer_gives_all_it_has(folder, caplog):
    data = mix(files(folder, SHARED))
    with caplog.at_level(logging.WARNING):
        found = validation_questions(data, 10_000)
    assert 30 < len(found) < 90  # a sixteenth of 900
    assert f"the training sources have {len(found)} questions for it, not 10000" in caplog.text


def test_the_shipped_mix():
    data = compose("train").data
    validation = set(texts(validation_questions(data, 60)))
    assert len(validation) == 60
    for name in data.families:
        for split in ("calibration", "test"):
            assert not validation & set(texts(family_questions(data, name, split, 200)))
