"""The metrics of validation by hand, the best checkpoint, and that validation changes nothing in a run."""

import itertools
import json
import logging
import math
import os
import shutil
import signal
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from corea.collecting.plan import model_origin
from corea.composition import compose
from corea.logger import NoLogger, WandbLogger
from corea.metrics.calibration import measure
from corea.rl.run.best_checkpoint import BestCheckpoint, selection_value
from corea.rl.run.final_model import write_final_model
from corea.rl.run.validation_metrics import cascade_area, reliability_table, validation_metrics
from corea.rl.trainer import Trainer
from corea.tasks.splits import partition
from rl_runs import config, metrics
from wandb_file import read_run


def test_area_by_hand():
    """Two answers, the sure one right: deferring the wrong one first loses nothing, random deferral half an answer."""
    sure_is_right = cascade_area(np.array([0.9, 0.1]), np.array([True, False]))
    assert sure_is_right == pytest.approx(0.5 * 0.5 * 0.5)  # a triangle of height 0.25 over [0, 1]
    assert cascade_area(np.array([0.1, 0.9]), np.array([True, False])) == pytest.approx(-sure_is_right)
    assert cascade_area(np.array([0.5, 0.5]), np.array([True, False])) == 0.0
    # a missing confidence is deferred first: the same as the lowest
    assert cascade_area(np.array([0.9, np.nan]), np.array([True, False])) == pytest.approx(sure_is_right)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=2, max_size=40))
def test_area_is_that_of_the_deferral_curve(rows):
    """Against a loop over thresholds, and against its closed form by the AUROC."""
    confidence = np.array([c / 10 for c, _ in rows])
    correct = np.array([y for _, y in rows])
    points = [(0.0, correct.mean())]
    for level in sorted(set(confidence)):
        kept = confidence > level
        points.append((1 - kept.mean(), (correct & kept).mean()))
    area = sum((x2 - x1) * (y1 + y2) / 2 for (x1, y1), (x2, y2) in itertools.pairwise(points))
    assert cascade_area(confidence, correct) == pytest.approx(area - correct.mean() / 2)
    if 0 < correct.mean() < 1:
        p, auroc = correct.mean(), measure(confidence, correct)["auroc"]
        assert cascade_area(confidence, correct) == pytest.approx(p * (1 - p) * (auroc - 0.5))


def test_figures_by_hand():
    figures = validation_metrics(np.array([0.8, 0.8, 0.3, np.nan]), np.array([True, False, False, True]))
    assert figures["pass@1"] == 0.5
    assert figures["share/0.80"] == 0.5
    assert figures["share/0.30"] == figures["missing_confidence_share"] == 0.25
    assert figures["brier"] == pytest.approx((0.04 + 0.64 + 0.09) / 3)
    table = reliability_table(np.array([0.8, 0.8, 0.3, np.nan]), np.array([True, False, False, True]))
    assert table.to_dict("records") == [
        {"left": 0.3, "right": 0.4, "answers": 1, "confidence": 0.3, "accuracy": 0.0},
        {"left": 0.8, "right": 0.9, "answers": 2, "confidence": 0.8, "accuracy": 0.5},
    ]


def stated(name, value):
    """Validation metrics of a model that always states a confidence."""
    return {name: value, "missing_confidence_share": 0.0, "pass@1": 0.5}


def test_missing_confidences_count_as_the_worst():
    """199 of 200 missing and the other one perfect: ECE and Brier of the stated ones are 0, and still do not win."""
    confidence, correct = np.full(200, np.nan), np.zeros(200, bool)
    confidence[0], correct[:100] = 1.0, True
    silent = validation_metrics(confidence, correct)
    assert (silent["ece"], silent["brier"]) == (0.0, 0.0)
    for name in ("ece", "brier"):
        assert selection_value(name, silent) == pytest.approx(199 / 200)
        best = BestCheckpoint(name)
        assert best.update(10, stated(name, 0.085))
        assert not best.update(20, silent)
    nothing = validation_metrics(np.full(200, np.nan), correct)
    assert [selection_value(name, nothing) for name in ("ece", "brier", "auroc")] == [1.0, 1.0, 0.5]
    # a quarter missing, half of the rest right at 0.5: 0.75 * 0 + 0.25 * 1
    quarter = validation_metrics(np.array([0.5, 0.5, 0.5, 0.5, np.nan, 0.5, 0.5, np.nan]), np.array([1, 0] * 4) == 1)
    assert selection_value("ece", quarter) == pytest.approx(0.25)
    assert selection_value("brier", quarter) == pytest.approx(0.75 * 0.25 + 0.25)


def test_a_missing_confidence_ranks_below_all_others():
    """Answers right, wrong, right, wrong with 0.9, 0.1, none, none: of the four pairs of a right and a wrong answer,
    0.9 wins two, the missing one loses one and ties one."""
    found = validation_metrics(np.array([0.9, 0.1, np.nan, np.nan]), np.array([True, False, True, False]))
    assert found["auroc"] == 1.0
    assert selection_value("auroc", found) == pytest.approx((2 + 0.5) / 4)


def test_best_and_patience():
    best = BestCheckpoint("ece", patience=2)
    values = [(10, 0.3), (20, 0.2), (30, math.nan), (40, 0.1), (50, 0.1)]
    improved = [best.update(step, stated("ece", v)) for step, v in values]
    assert improved == [True, True, False, True, False]
    assert (best.step, best.value, best.exhausted) == (40, 0.1, False)
    again = BestCheckpoint("ece", patience=2)
    again.restore(json.loads(json.dumps(best.state())))
    assert not again.update(60, stated("ece", 0.2))
    assert again.exhausted
    other = BestCheckpoint("auroc")
    other.restore(best.state())  # another figure starts anew
    assert other.update(10, stated("auroc", 0.4))
    assert not other.update(20, stated("auroc", 0.3))


class Stopped(WandbLogger):
    """The real W&B, offline; a cluster preempts the run after step 3."""

    def log(self, metrics, step, axis="step"):
        super().log(metrics, step, axis)
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)


VALIDATED = [
    "trainer.validation_every=2",
    "trainer.validation_questions=24",
    "trainer.best_by=cascade_area",
    "trainer.save_every=6",
]


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A run that was stopped once, and what lies in its W&B folders."""
    folder = tmp_path_factory.mktemp("watched")
    cfg = config(*VALIDATED, "trainer.keep_last=1", "logger=wandb", "logger.mode=offline")
    for kind in (Stopped, WandbLogger):
        logger = kind(run_dir=folder, config=asdict(cfg), mode="offline", job="train")
        Trainer(cfg, folder, logger).run()
        logger.close()
        assert [line["step"] for line in metrics(folder)] == list(range(1, 4 if kind is Stopped else 7))
    return folder, read_run(folder)


def test_validations_are_written(watched):
    folder, _ = watched
    frame = pd.read_parquet(folder / "validation.parquet")
    assert frame.groupby("step").size().to_dict() == {2: 24, 4: 24, 6: 24}
    assert frame.groupby("step")["question_id"].nunique().tolist() == [24] * 3
    assert {partition(text) for text in frame["question"]} == {"validation"}
    assert {"question", "completion", "answer", "confidence", "correct", "reward_calib"} <= set(frame.columns)
    for line in metrics(folder):
        assert ("validation/pass@1" in line) == (line["step"] % 2 == 0)
        if line["step"] % 2 == 0:
            mine = frame[frame["step"] == line["step"]]
            assert line["validation/pass@1"] == pytest.approx(mine["correct"].mean())
            shares = sum(v for k, v in line.items() if k.startswith("validation/share/"))
            assert shares + line["validation/missing_confidence_share"] == pytest.approx(1)


def test_validations_are_in_wandb(watched):
    """Read from the folders of the real W&B: figures on the axis of steps, a table and a diagram per validation, one
    run."""
    folder, run = watched
    assert len(run["files"]) == 2  # before the stop and after it
    assert len(set(run["ids"])) == 1
    rows = [row for row in run["history"] if "reward" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for row, line in zip(rows, metrics(folder), strict=True):
        for name in (
            "reward",
            "validation/pass@1",
            "validation/ece",
            "validation/brier",
            "validation/auroc",
            "validation/cascade_area",
        ):
            assert row.get(name) == line.get(name)
    assert run["axes"]["validation/ece"] == "step"
    frame = pd.read_parquet(folder / "validation.parquet")
    for step in (2, 4, 6):
        name = f"step-{step:06d}"
        (table,) = [row[f"validation/answers/{name}"] for row in run["history"] if f"validation/answers/{name}" in row]
        (picture,) = [
            row[f"validation/reliability/{name}"] for row in run["history"] if f"validation/reliability/{name}" in row
        ]
        content = json.loads(media(run, table).read_text())
        shown = pd.DataFrame(content["data"], columns=content["columns"])
        mine = frame[frame["step"] == step].reset_index(drop=True)
        assert shown["completion"].tolist() == mine["completion"].tolist()
        assert shown["correct"].tolist() == mine["correct"].tolist()
        assert shown["reward_calib"].tolist() == pytest.approx(mine["reward_calib"].tolist())
        assert media(run, picture).read_bytes() == (folder / "validation" / f"reliability-{name}.png").read_bytes()


def media(run, entry):
    """The file that an entry of the history stands for, in the folder of the start that wrote it."""
    (found,) = [path for file in run["files"] if (path := file.parent / "files" / entry["path"]).exists()]
    return found


def test_the_best_checkpoint_is_kept_beside_the_last(watched):
    folder, _ = watched
    areas = {
        line["step"]: line["validation/cascade_area"] for line in metrics(folder) if "validation/cascade_area" in line
    }
    best = json.loads((folder / "best.json").read_text())
    assert best["step"] == max(areas, key=lambda s: (areas[s], -s))
    assert best["value"] == pytest.approx(areas[best["step"]])
    kept = {p.name for p in (folder / "checkpoints").iterdir()}
    assert kept == {f"step-{best['step']:06d}", "step-000006"}
    assert (folder / best["checkpoint"] / "model" / "model.safetensors").exists()


def test_the_model_is_the_best_checkpoint(watched):
    folder, _ = watched
    best = json.loads((folder / "best.json").read_text())
    one, other = (load_file(f / "model" / "model.safetensors") for f in (folder, folder / best["checkpoint"]))
    assert all(torch.equal(one[name], other[name]) for name in other)
    record = json.loads((folder / "provenance.json").read_text())["model"]
    chosen = {"step": best["step"], "best_by": "cascade_area", "value": best["value"], "checkpoint": best["checkpoint"]}
    assert record == {**chosen, "trained": 6}
    words = f"weights after step {best['step']}, the best by cascade_area ({best['value']:.4f})"
    assert model_origin(folder) == words
    assert (folder / "model" / "tokenizer.json").exists()


def test_a_damaged_best_checkpoint_is_not_taken(watched, tmp_path, caplog):
    folder, _ = watched
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    best = json.loads((copy / "best.json").read_text())
    (copy / best["checkpoint"] / "model" / "model.safetensors").write_bytes(b"torn")
    state = BestCheckpoint("cascade_area", step=best["step"], value=best["value"])

    def save_model(target):
        (target / "current").write_text("weights of the last step")

    with caplog.at_level(logging.INFO):
        write_final_model(copy, 6, state, save_model)
    assert (copy / "model" / "current").exists()
    assert "is damaged" in caplog.text
    assert model_origin(copy) == "weights after step 6, the last"


def test_validation_changes_nothing(watched, tmp_path):
    folder, _ = watched
    Trainer(config(), tmp_path, NoLogger()).run()
    seen = [{k: v for k, v in line.items() if not k.startswith("validation/")} for line in metrics(folder)]
    assert seen == metrics(tmp_path)
    last = "checkpoints/step-000006/model/model.safetensors"
    one, other = (load_file(f / last) for f in (folder, tmp_path))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_it_stops_early_and_stays_stopped(tmp_path):
    cfg = config(*VALIDATED, "trainer.validation_every=1", "trainer.patience=1", "trainer.optimizer.lr=1e-9")
    Trainer(cfg, tmp_path, NoLogger()).run()  # nothing is learned, so the second validation is no better than the first
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2]
    assert (tmp_path / "model" / "model.safetensors").exists()
    Trainer(cfg, tmp_path, NoLogger()).run()
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2]


def test_validation_changes_nothing_in_the_preset_that_validates(tmp_path):
    """trainer=tiny has a KL term and two threads; the same figures and, to the last bit, the same weights."""
    small = ["trainer=tiny", "logger=none", "trainer.steps=3", "trainer.questions=4", "trainer.group_size=4"]
    folders = [tmp_path / "validated", tmp_path / "never"]
    for folder, every in zip(folders, (1, 0), strict=True):
        cfg = compose("train", *small, f"trainer.validation_every={every}", "trainer.validation_questions=16")
        Trainer(cfg, folder, NoLogger()).run()
    validated, never = (metrics(folder) for folder in folders)
    assert all("validation/ece" in line for line in validated)
    assert [{k: v for k, v in line.items() if not k.startswith("validation/")} for line in validated] == never
    one, other = (load_file(f / "model" / "model.safetensors") for f in folders)
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert compose("train").trainer.validation_every == 50
