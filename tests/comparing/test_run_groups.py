"""Which runs form a group, and what it is called."""

from __future__ import annotations

import pytest

from compared_tables import run_folder
from corea.comparing.metric_names import metrics_of, resolve_metrics
from corea.comparing.run_groups import grouped_runs, reference_group
from corea.comparing.run_sources import ComparedRun, distinct_names, read_runs, runs_below
from corea.config import CompareConfig
from corea.errors import UserError


def trained(name, seed, **config):
    return ComparedRun(path=name, name=name, configs={"train": {"seed": seed, **config}})


def labels(runs, **more):
    return [(group.label, group.seeds) for group in grouped_runs(runs, **more)]


def test_runs_that_differ_in_the_seed_are_one_group():
    corea, rlvr = {"reward": {"name": "corea", "calib": 1}}, {"reward": {"name": "rlvr", "calib": 0}}
    runs = [trained("a", 0, **corea), trained("b", 0, **rlvr), trained("c", 1, **corea), trained("d", 1, **rlvr)]
    assert labels(runs) == [("reward=corea", [0, 1]), ("reward=rlvr", [0, 1])]
    assert labels([runs[0], runs[2]]) == [("all runs", [0, 1])]


def test_keys_below_a_choice_that_determines_them_are_left_out():
    runs = [
        trained("a", 0, reward={"name": "corea", "calib": 1, "distance": "l1"}),
        trained("b", 0, reward={"name": "corea", "calib": 2, "distance": "l1"}),
        trained("c", 0, reward={"name": "brier", "calib": 1, "distance": "l2"}),
    ]
    assert [label for label, _ in labels(runs)] == [
        "reward=corea, reward.calib=1",
        "reward=corea, reward.calib=2",
        "reward=brier, reward.calib=1",
    ]


def test_keys_of_the_machine_and_ignored_ones_do_not_separate():
    runs = [
        trained("a", 0, trainer={"threads": 1, "steps": 5}, logger={"name": "none"}, model={"path": "x"}),
        trained("b", 1, trainer={"threads": 2, "steps": 5}, logger={"name": "wandb"}, model={"path": "y"}),
    ]
    assert labels(runs, ignore=["model"]) == [("all runs", [0, 1])]
    assert [label for label, _ in labels(runs)] == ["model.path=x", "model.path=y"]


def test_the_same_configuration_and_seed_twice_are_two_groups():
    runs = [trained("a", 0, x=1), trained("b", 0, x=1)]
    assert [label for label, _ in labels(runs)] == ["a", "b"]


def test_what_has_no_configuration_goes_by_its_name():
    runs = [ComparedRun(path="x/a.jsonl", name="a.jsonl"), ComparedRun(path="x/b.jsonl", name="b.jsonl")]
    assert labels(runs) == [("a.jsonl", [None]), ("b.jsonl", [None])]


def test_the_reference_is_named_by_label_path_or_name():
    groups = grouped_runs([trained("s/a", 0, x=1), trained("s/b", 0, x=2)])
    assert reference_group(groups, None) is groups[0]
    assert reference_group(groups, "x=2") is reference_group(groups, "s/b") is groups[1]
    with pytest.raises(UserError, match=r"reference=c: allowed is a run of the comparison or one of: x=1; x=2"):
        reference_group(groups, "c")


def test_names_are_the_shortest_that_differ():
    assert distinct_names(["s/0", "s/1"]) == ["0", "1"]
    assert distinct_names(["a/0", "b/0"]) == ["a/0", "b/0"]


def test_runs_of_a_sweep_are_found_in_numerical_order(tmp_path):
    for name in ("10", "2", "deep/1"):
        run_folder(tmp_path / name)
    run_folder(tmp_path / "2" / "stated")  # a second evaluation inside a run
    (tmp_path / "comparison").mkdir()
    assert runs_below(str(tmp_path)) == [str(tmp_path / name) for name in ("2", "10", "deep/1")]


def test_metrics_of_a_run(tmp_path):
    run_folder(tmp_path / "a", seed=0, ece=0.1, steps=20)
    run_folder(tmp_path / "b", seed=1, ece=0.2)
    runs = read_runs(CompareConfig(runs=[str(tmp_path / "a"), str(tmp_path / "b")]))
    found = metrics_of(runs[0])
    sums = found["sums"]
    assert (sums["slm/ece"].value, sums["slm/ece"].low, sums["slm/ece"].high) == (0.1, 0.4, 0.6)
    assert sums["cascade/cost_change"].value == sums["max_drop/cost_change"].value == -0.25
    assert sums["budget/cost_change"].value == -0.75
    assert (sums["cascade/threshold"].value, sums["slm/counts/status_ok"].value) == (0.5, 4.0)
    assert found["training"]["training/reward"].value == pytest.approx(19.5)  # of 20 steps the last two
    assert found["training"]["validation/ece"].value == pytest.approx(2.0)  # the last one
    assert found["pooled"].keys() == sums.keys()


def test_a_metric_is_named_in_full_or_by_its_last_part():
    known = ["slm/ece", "change/ece", "change/brier", "slm_before/brier", "cascade/cost_change"]
    assert resolve_metrics(["ece", "cascade/cost_change", "slm/ece"], known) == ["slm/ece", "cascade/cost_change"]
    with pytest.raises(UserError, match=r"metrics=brier: allowed is one of change/brier, slm_before/brier"):
        resolve_metrics(["brier"], known)
    with pytest.raises(UserError, match=r"metrics=slm/eec: no run has this metric; did you mean slm/ece"):
        resolve_metrics(["slm/eec"], known)
    with pytest.raises(UserError, match=r"metrics=zzz: no run has this metric; some are slm/ece, change/ece"):
        resolve_metrics(["zzz"], known)


def compared(*folders):
    return read_runs(CompareConfig(runs=[str(folder) for folder in folders]))


def test_mistakes_are_one_line(tmp_path):
    good = run_folder(tmp_path / "good")
    lacking = run_folder(tmp_path / "lacking", ece=None)
    with pytest.raises(UserError, match=rf"{lacking}: no metrics\.json; python -m corea\.collect run={lacking}, then"):
        compared(good, lacking)
    (lacking / "answers.parquet").touch()
    with pytest.raises(UserError, match=rf"no metrics\.json; python -m corea\.evaluate answers={lacking}/answers\.p"):
        compared(good, lacking)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no metrics\.json; .*, or a folder with metrics\.jsonl"):
        compared(tmp_path / "empty", lacking)
    with pytest.raises(UserError, match=r"good/: given twice"):
        compared(good, f"{good}/")
    with pytest.raises(UserError, match=r"none: no such file or folder"):
        compared(good, tmp_path / "none")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "metrics.json").write_text('{"datasets": [')
    with pytest.raises(UserError, match=r"broken/metrics\.json: not a metrics\.json of corea\.evaluate"):
        compared(good, tmp_path / "broken")


def test_fewer_than_two_runs_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"runs=\[a\]: allowed is two runs or more, or sweep=FOLDER"):
        CompareConfig(runs=["a"])
    run_folder(tmp_path / "sweep" / "0")
    with pytest.raises(UserError, match=r"sweep: holds 1 runs; allowed is two runs or more"):
        read_runs(CompareConfig(sweep=str(tmp_path / "sweep")))
