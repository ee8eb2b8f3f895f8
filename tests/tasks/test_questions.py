"""Procedural questions: which seed draws which, and on which side of the splits they lie."""

import itertools

import pytest

from corea.composition import compose
from corea.tasks.gym import gym_question
from corea.tasks.held_out import assign_places, held_out
from corea.tasks.mixes import mix_questions
from corea.tasks.question_text import data_set_partition, normalise, partition
from corea.tasks.seeds import base_seed
from corea.tasks.splits import SplitReport, training_only

SUMS = {"name": "sums", "task": "chain_sum", "weight": 3.0, "params": {"min_digits": 3, "max_digits": 4}}
WORDS = {"name": "words", "task": "spell_backward", "weight": 1.0, "params": {}}


def stream(n, start=0, split="train", seed=0, sources=(SUMS, WORDS)):
    return list(itertools.islice(mix_questions(sources, dataset="d", split=split, seed=seed, start=start), n))


def test_an_item_is_a_function_of_its_index():
    whole = stream(40)
    assert [q.id for q in stream(15, start=25)] == [q.id for q in whole[25:]]
    assert [q.text for q in stream(15, start=25)] == [q.text for q in whole[25:]]
    assert len({q.id for q in whole}) == 40


def test_weights_are_shares():
    names = [q.source for q in stream(1000)]
    assert 0.70 < names.count("sums") / len(names) < 0.80


def test_seeds_and_splits_do_not_repeat_one_another():
    """reasoning-gym draws item i from Random(seed + i): base seeds must lie further apart than items are drawn."""
    splits = ("pretrain", "train", "calibration", "test")
    seeds = sorted(base_seed(s, split, n) for s in range(50) for split in splits for n in ("a", "b"))
    assert min(b - a for a, b in itertools.pairwise(seeds)) > 2**32
    assert all(0 <= s < 2**63 for s in seeds)
    first = {q.text for q in stream(300, seed=0, sources=[SUMS])}
    for other in (stream(300, seed=1, sources=[SUMS]), stream(300, split="test", sources=[SUMS])):
        assert len(first & {q.text for q in other}) <= 3  # by chance, not by construction


def test_a_bad_task_or_parameter_is_named():
    with pytest.raises(ValueError, match="data source 'x': reasoning-gym task 'nope'"):
        gym_question(0, task="nope", params={}, name="x", dataset="d", split="test", seed=0)
    with pytest.raises(ValueError, match="data source 'x'"):
        gym_question(
            0, task="chain_sum", params={"min_terms": 9, "max_terms": 2}, name="x", dataset="d", split="t", seed=0
        )
    with pytest.raises(ValueError, match="data source 'x'"):
        gym_question(0, task="chain_sum", params={"colour": 1}, name="x", dataset="d", split="t", seed=0)


def test_the_side_of_a_text_ignores_case_and_spacing():
    assert normalise("  34 + 7\n= ? ") == "34 + 7 = ?"
    assert partition("34 +  7 = ?") == partition("34 + 7 = ?")
    sides = [partition(f"{i} + {i} = ?") for i in range(4000)]
    assert 0.045 < sides.count("test") / 4000 < 0.08
    assert 0.03 < sides.count("calibration") / 4000 < 0.065
    assert 0.008 < sides.count("validation") / 4000 < 0.025
    own = [data_set_partition(f"{i} + {i} = ?") for i in range(4000)]
    for split in ("test", "calibration", "validation"):
        assert 0.045 < own.count(split) / 4000 < 0.08
    assert [s for s in own if s != "test"] == [o for o, s in zip(own, sides, strict=True) if s != "test"]


def test_splits_are_disjoint_whatever_the_mix():
    test = held_out([SUMS, WORDS], "test", 60, dataset="d", seed=0)
    calibration = held_out([WORDS], "calibration", 60, dataset="other", seed=5)
    report = SplitReport()
    trained = list(itertools.islice(training_only(iter(stream(2000, sources=[SUMS])), report), 1500))
    texts = [{normalise(q.text) for q in part} for part in (test, calibration, trained)]
    for a, b in itertools.combinations(texts, 2):
        assert not a & b
    assert len(texts[0]) == len(test) == 60
    assert report.read == report.dropped + 1500
    assert 0.08 < report.dropped / report.read < 0.17
    assert str(report.dropped) in str(report)


def test_places_follow_the_weights():
    a, b = ("d", "a"), ("d", "b")
    assert assign_places({a: 3.0, b: 2.0}, 5) == [a, b, a, b, a]
    assert assign_places({a: 3.0, b: 2.0}, 10) == [a, b, a, b, a] * 2


@pytest.mark.parametrize("size", [20, 60])
def test_repeated_questions_do_not_shift_the_proportions(size):
    """Of the 180 sums of two digits few are in the test split, so many of them repeat; words hardly ever do."""
    pair = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    few = {"name": "few", "task": "chain_sum", "weight": 0.1, "params": pair}
    many = {"name": "many", "task": "spell_backward", "weight": 0.9, "params": {"min_word_len": 3, "max_word_len": 10}}
    found = [q.source for q in held_out([few, many], "test", size, dataset="d", seed=0)]
    assert found.count("few") == size // 10


def test_a_smaller_split_is_the_beginning_of_a_larger_one():
    ids = [[q.id for q in held_out([SUMS, WORDS], "test", size, dataset="d", seed=0)] for size in (30, 60)]
    assert ids[0] == ids[1][:30]
    assert [q.id for q in held_out([SUMS, WORDS], "test", 1, dataset="d", seed=0)] == ids[0][:1]


def test_places_of_an_exhausted_source_go_to_the_others():
    """Sums of one term are the ten digits; at most a few of them are in the test split."""
    one = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    few = {"name": "few", "task": "chain_sum", "weight": 0.5, "params": one}
    found = [q.source for q in held_out([few, WORDS], "test", 60, dataset="d", seed=0)]
    assert 3 < found.count("few") < 30
    assert len(found) == 60


def test_too_few_distinct_questions_are_an_error():
    one_digit = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    few = {"name": "few", "task": "chain_sum", "params": one_digit}
    with pytest.raises(ValueError, match=r"data 'd': only \d+ distinct questions for split 'test', 40 required"):
        held_out([few], "test", 40, dataset="d", seed=0)


def test_the_shipped_mix_keeps_training_out_of_the_held_out_questions():
    cfg = compose("train")
    held, families = set(), {}
    for name, family in cfg.data.families.items():
        families[name] = [vars(s) for s in family.sources]
        for split in ("calibration", "test"):
            questions = held_out(families[name], split, 40, dataset=name, seed=cfg.data.seed)
            assert {q.split for q in questions} == {split}
            assert {q.dataset for q in questions} == {name}
            held |= {normalise(q.text) for q in questions}
    for name in cfg.data.train:
        drawn = mix_questions(families[name], dataset=name, split="train", seed=cfg.seed)
        for question in itertools.islice(training_only(drawn, SplitReport()), 500):
            assert normalise(question.text) not in held
