"""Old keys and class names work for one release, wherever a user may have written them, with one warning each."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from hydra.types import RunMode

from corea.composition import compose, composed, composer, sweep_jobs, typed
from corea.config.deprecated import (
    KEYS,
    TARGETS,
    _warn,
    current_config,
    current_overrides,
    current_target,
    first_target,
)
from corea.user_code import load_object


@pytest.fixture(autouse=True)
def fresh():
    """Each test sees the first warning of a process."""
    _warn.cache_clear()
    yield
    _warn.cache_clear()


LINE = "trainer.panel_every is deprecated: use trainer.validation_every; the next release does not accept the old name"


def test_an_override_with_an_old_key_sets_the_new_one(caplog):
    with caplog.at_level(logging.WARNING):
        trainer = compose("train", "trainer.panel_every=7", "++trainer.panel_questions=9").trainer
    assert (trainer.validation_every, trainer.validation_questions) == (7, 9)
    assert caplog.messages[0] == LINE
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trainer.panel_every=1,2", "trainer.validation_every=1,2"),
        ("+trainer.panel_every=1", "+trainer.validation_every=1"),
        ("~trainer.panel_every", "~trainer.validation_every"),
        ("trainer.panel_every_day=1", "trainer.panel_every_day=1"),
        ("seed=1", "seed=1"),
    ],
)
def test_only_the_key_of_an_override_changes(override, expected):
    assert current_overrides([override]) == [expected]


def test_a_users_own_files_may_hold_old_keys(tmp_path, caplog):
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "mine.yaml").write_text("name: mine\npanel_every: 3\n")
    (tmp_path / "root.yaml").write_text("defaults: [train, _self_]\ntrainer: {panel_questions: 5}\n")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "old.yaml").write_text("# @package _global_\ntrainer: {panel_every: 4}\n")
    with composer("train", str(tmp_path)) as hydra:
        trainer = typed(hydra, "root", ["trainer=mine"]).trainer
        assert (trainer.validation_every, trainer.validation_questions) == (3, 5)
        assert typed(hydra, "train", ["experiment=old"]).trainer.validation_every == 4
    assert caplog.messages.count(LINE) == 1


def test_the_parameters_of_a_sweep_may_be_old_keys(tmp_path):
    text = "defaults: [train, _self_]\nhydra: {sweeper: {params: {trainer.panel_every: '1,2'}}}\n"
    (tmp_path / "old.yaml").write_text(text)
    with composer("train", str(tmp_path)) as hydra:
        jobs = list(sweep_jobs(hydra, composed(hydra, "old", [], RunMode.MULTIRUN)))
    assert [overrides for overrides, _ in jobs] == [("trainer.validation_every=1",), ("trainer.validation_every=2",)]
    assert [cfg.trainer.validation_every for _, cfg in jobs] == [1, 2]


def test_a_key_of_the_same_name_elsewhere_is_left_alone():
    other = {"reward": {"extra": {"x": {"params": {"panel_every": 1}}}}}
    assert current_config(other) == other


def test_the_warning_is_one_line_on_stderr(tmp_path):
    command = [sys.executable, "-m", "corea.train", "trainer.panel_every=2", "--cfg", "job"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == f"{LINE}\n"
    assert "validation_every: 2" in done.stdout
    assert "panel" not in done.stdout


@pytest.mark.parametrize(("old", "new"), TARGETS.items())
def test_a_class_of_an_old_run_is_found_at_its_new_place(old, new):
    config = {"llm": {"engine": {"_target_": old}}}
    assert current_config(config, quiet=True) == {"llm": {"engine": {"_target_": new}}}
    if ".vllm." not in new:
        assert callable(load_object("engine._target_", current_target(old)))
    assert first_target(new) == old
    assert first_target("mine.Engine") == "mine.Engine"


def test_every_new_key_exists():
    trainer = compose("train").trainer
    assert all(hasattr(trainer, new.removeprefix("trainer.")) for new in KEYS.values())
