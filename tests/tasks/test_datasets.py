"""Data sets as sources: small files in the formats of the real ones, and the real ones where they are at hand."""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from corea.composition import compose
from corea.config.data_schema import SourceConfig
from corea.errors import UserError
from corea.tasks.grading import grade_many
from corea.tasks.held_out import family_questions
from corea.tasks.mixes import TrainingStream, mix_questions, training_sources
from corea.tasks.question_text import data_set_partition, normalise
from data_sets import fail, gsm8k_rows, mix, questions, write

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real files are not at hand")


def test_gsm8k(tmp_path):
    write(tmp_path / "gsm8k" / "train.jsonl", gsm8k_rows(range(100)))
    write(tmp_path / "gsm8k" / "test.jsonl", gsm8k_rows(range(200, 260)))
    data = compose("train", "data=gsm8k", f"data.path={tmp_path}").data
    calibration, test = (questions(data, split, "gsm8k") for split in ("calibration", "test"))
    assert len(calibration) + len(test) == 60
    assert 3 <= len(calibration) <= 24
    assert not {q.text for q in calibration} & {q.text for q in test}
    assert {q.split for q in test} == {"test"}
    stream = TrainingStream(data, split="train", seed=0, size=10)
    size = len(stream.sources[0]["set"].questions("train"))
    validation = stream.sources[0]["set"].questions("validation")
    assert (size, len(validation)) == (91, 9)
    drawn = [q for step in range(10) for q in stream.take(step)[0]][:size]
    assert len({q.id for q in drawn}) == size  # one whole epoch
    assert not {q.id for q in drawn} & {q.id for q in validation}
    first = next(q for q in drawn if q.text.startswith("Ann has 7 eggs"))
    assert (first.gold, first.meta["solution"], first.grader) == ("9", "7+2=9", "numeric")


def test_an_epoch_follows_the_other_in_another_order(tmp_path):
    path = write(tmp_path / "q.jsonl", gsm8k_rows(range(40)))
    data = mix(SourceConfig(name="s", path=str(path), splits={"train": "train", "validation": None}))
    first, second = ([q.id for q in TrainingStream(data, split="train", seed=0, size=40).take(k)[0]] for k in (0, 1))
    assert sorted(first) == sorted(second)
    assert first != second
    assert [q.id for q in TrainingStream(data, split="train", seed=0, size=40).take(1)[0]] == second
    assert [q.id for q in TrainingStream(data, split="train", seed=1, size=40).take(0)[0]] != first


def test_one_file_is_divided_by_the_text_alone(tmp_path):
    path = write(tmp_path / "q.parquet", gsm8k_rows(range(400)))
    data = mix(SourceConfig(name="s", path=str(path)))
    sides = {split: questions(data, split) for split in ("calibration", "test")}
    sides |= {split: training_sources(data)[0]["set"].questions(split) for split in ("train", "validation")}
    assert sum(map(len, sides.values())) == 400
    for split, rows in sides.items():
        assert {data_set_partition(q.text) for q in rows} == {split}
    assert [q.id for q in family_questions(data, "f", "test", 5)] == [q.id for q in sides["test"][:5]]
    with pytest.raises(UserError, match=r"data 'f': only \d+ distinct questions for split 'test', 300 required"):
        family_questions(data, "f", "test", 300)


COMMONSENSE = {
    "train": [
        {"answerKey": "B", "id": "x1", "question": {"stem": "Where is money kept?", "choices": [
            {"label": "A", "text": "library"}, {"label": "B", "text": "bank"}]}},
    ],
    "hub": [{"id": "x1", "question": "Where is money kept?", "answerKey": "B",
             "choices": {"label": ["A", "B"], "text": ["library", "bank"]}}],
}  # fmt: skip


@pytest.mark.parametrize("layout", sorted(COMMONSENSE))
def test_commonsense_qa(tmp_path, layout):
    path = write(tmp_path / "validation.jsonl", COMMONSENSE[layout])
    data = compose("collect", "data=commonsense_qa", f"data.path={path.parent}").data
    (question,) = [q for split in ("calibration", "test") for q in questions(data, split, "commonsense_qa")]
    assert question.text == "Where is money kept?\nA. library\nB. bank"
    assert (question.id, question.gold, question.grader) == ("x1", "B", "choice")
    given = ["B", "bank", "The answer is B.", "\\text{(B)}", "**B**", "library", "money"]
    assert [v.correct for v in grade_many([question] * 7, given)] == [True] * 5 + [False] * 2


def test_gpqa_options_are_shuffled_by_the_question(tmp_path):
    rows = [
        {"Record ID": f"r{n}", "Question": f"Which is {n}?", "Correct Answer": f"{n}", "Incorrect Answer 1": "x",
         "Incorrect Answer 2": "y", "Incorrect Answer 3": "z", "High-level domain": "Physics"}
        for n in range(40)
    ]  # fmt: skip
    write(tmp_path / "gpqa_diamond.csv", rows)
    write(tmp_path / "gpqa_main.csv", rows[:3])
    data = compose("collect", "data=gpqa", f"data.path={tmp_path}").data
    asked = [q for split in ("calibration", "test") for q in questions(data, split, "gpqa")]
    assert len(asked) == 40
    for question in asked:
        assert question.meta["options"][question.gold] == question.text.split("\n")[0][9:-1]
        assert question.meta["subject"] == "Physics"
    assert set(Counter(q.gold for q in asked)) == set("ABCD")
    assert [q.gold for q in asked] == [
        q.gold for split in ("calibration", "test") for q in questions(data, split, "gpqa")
    ]


def test_math500_and_olympiadbench(tmp_path):
    write(tmp_path / "math500" / "test.jsonl", [
        {"problem": f"What is {n} halves?", "answer": f"\\frac{{{n}}}{{2}}", "unique_id": f"test/{n}", "level": 2}
        for n in range(20)
    ])  # fmt: skip
    write(tmp_path / "olympiadbench" / "OE_TO_maths_en_COMP" / "OE_TO_maths_en_COMP.parquet", [
        {"id": n, "question": f"Find {n}.", "final_answer": [f"${n}$"], "answer_type": "Numerical"} for n in range(20)
    ])  # fmt: skip
    write(tmp_path / "gsm8k" / "main" / "train-00000-of-00001.parquet", gsm8k_rows(range(9)))
    write(tmp_path / "gsm8k" / "main" / "test-00000-of-00001.parquet", gsm8k_rows(range(10, 19)))
    data = compose("collect", "data=ood_math", f"data.path={tmp_path}").data
    found = {
        name: [q for split in ("calibration", "test") for q in questions(data, split, name)] for name in data.families
    }
    assert {name: len(rows) for name, rows in found.items()} == {"math500": 20, "gsm8k": 9, "olympiadbench": 20}
    assert {q.gold for q in found["olympiadbench"]} == {f"${n}$" for n in range(20)}
    asked = next(q for q in found["math500"] if q.id == "test/7")
    assert [v.correct for v in grade_many([asked, asked], ["7/2", "3"])] == [True, False]


def test_filters_limit_and_meta(tmp_path):
    rows = [{"q": f"How much is {n}?", "a": n, "difficulty": n / 10, "kind": "xy"[n % 2]} for n in range(60)]
    columns = {"question": "q", "gold": "a", "difficulty": "difficulty"}
    path = write(tmp_path / "q.jsonl", rows)
    source = SourceConfig(
        name="s", path=str(path), columns=columns, where={"kind": "x"}, between={"difficulty": [1, 3]}, limit=4,
        splits={"train": "all"},
    )  # fmt: skip
    kept = training_sources(mix(source))[0]["set"].questions("train")
    assert len(kept) == 4
    assert all(q.meta["difficulty"] * 10 in range(10, 31, 2) for q in kept)


def test_tasks_and_data_sets_in_one_mix(tmp_path):
    path = write(tmp_path / "q.jsonl", gsm8k_rows(range(30)))
    task = SourceConfig(name="sums", task="chain_sum", weight=3.0)
    data = mix(task, SourceConfig(name="s", path=str(path), splits={"train": "all", "validation": None, "test": None}))
    stream = mix_questions(training_sources(data), dataset="", split="train", seed=0)
    drawn = list(itertools.islice(stream, 120))
    names = Counter(q.source for q in drawn)
    assert 75 <= names["sums"] <= 105
    from_file = [q.id for q in drawn if q.source == "s"]
    assert len(set(from_file[:30])) == len(from_file[:30])  # no question twice before the others once
    later = mix_questions(training_sources(data), dataset="", split="train", seed=0, start=100)
    assert [q.id for q in itertools.islice(later, 20)] == [q.id for q in drawn[100:]]
    assert fail(data) == "data.families.f.test=null: allowed is a number, because its tasks are endless"


def test_duplicates_and_contamination(tmp_path):
    long = "Ann walks to the market every day with two dogs and a cat, and buys {} eggs for her aunt."
    held = [{"question": long.format(5), "answer": "5"}, {"question": "Short one?", "answer": "1"}]
    train = [
        {"question": "short  ONE?", "answer": "1"},  # equal to a held-out question, spacing and case aside
        {"question": "Yes: " + long.format(9), "answer": "9"},  # 13 words in a row and more
        {"question": "Ann walks to the market every day with two dogs and a", "answer": "2"},  # only 12
        {"question": "Of its own.", "answer": "3"},
        {"question": "of its  own.", "answer": "3"},
    ]
    write(tmp_path / "s" / "train.jsonl", train)
    write(tmp_path / "s" / "test.jsonl", held)

    def stream(**more):
        splits = {"train": "train", "calibration": None, "test": "test"}
        data = mix(SourceConfig(name="s", hub="not/asked", splits=splits), path=str(tmp_path), **more)
        found = TrainingStream(data, split="train", seed=0, size=1)
        return found.screenings[0], {normalise(q.text) for q in found.sources[0]["set"].questions("train")}

    screening, kept = stream()
    counts = (screening.questions, screening.duplicates, screening.same_text, screening.overlap, screening.kept)
    assert counts == (5, 1, 1, 1, 2)
    assert kept == {"of its own.", "ann walks to the market every day with two dogs and a"}
    assert str(screening) == (
        "s: 5 training questions, 1 duplicates, 1 equal to a held-out question, 1 that share 13 words in a row with "
        "one; 2 are used"
    )
    assert stream(contamination="count")[0].kept == 4
    assert stream(contamination="count", duplicates="count")[0].kept == 5
    off = stream(contamination="off")[0]
    assert (off.same_text, off.overlap, off.kept) == (0, 0, 4)


def test_every_hub_set_is_pinned():
    for name in ("paper", "ood_math", "ood_nonmath", "in_domain"):
        for family in compose("collect", f"data={name}").data.families.values():
            for source in family.sources:
                assert len(source.revision) == 40
                assert set(source.revision) <= set("0123456789abcdef")


@real
def test_the_real_sets():
    sizes = {}
    for name in ("gsm8k", "commonsense_qa"):
        data = compose("collect", f"data={name}", f"data.path={SHARED}").data
        sizes[name] = sum(len(questions(data, split, name)) for split in ("calibration", "test"))
    data = compose("collect", "data=math500", f"data.path={SHARED}/math500_replay/questions.jsonl").data
    sizes["math500"] = sum(len(questions(data, split, "math500")) for split in ("calibration", "test"))
    assert sizes == {"gsm8k": 1319, "commonsense_qa": 1221, "math500": 500}
    data = compose("train", "data=gsm8k", f"data.path={SHARED}").data
    (screening,) = TrainingStream(data, split="train", seed=0, size=1).screenings
    assert (screening.questions, screening.duplicates, screening.same_text, screening.overlap) == (6992, 0, 0, 8)
