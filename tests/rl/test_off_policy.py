"""Runs whose batches are sampled one update early: the same whichever thread samples them, and after a stop."""

import pickle
import signal
from pathlib import Path

import pytest

from corea.config import LossConfig, TrainerConfig
from corea.logger import NoLogger
from corea.rl.rollout.batch_source import BatchSource
from corea.rl.rollout.sampler import Batch
from corea.rl.trainer import Trainer
from corea.tasks.splits import SplitReport
from corea.types import Group, Question
from rl_runs import STEPS, SendingLogger, assert_same_run, config, metrics

AHEAD = ("trainer.off_policy_steps=1", "trainer.optimizer.lr=1e-3")
ENGINE = Path(__file__).with_name("copied_engine.py")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ahead")
    Trainer(config(*AHEAD), folder, NoLogger()).run()
    return folder


def test_batches_are_one_update_old_from_the_third_step_on(whole):
    lines = metrics(whole)
    assert [line["staleness"] for line in lines] == [0, 0, 1, 1, 1, 1]
    fresh, stale = lines[:2], lines[2:]
    assert max(line["logprob_gap/max"] for line in fresh) < 1e-4
    assert min(line["logprob_gap/mean"] for line in stale) > 1e-4
    assert all(abs(line["importance/mean"] - 1) < 1e-4 for line in fresh)
    assert all(line["importance/kl"] > 1e-7 for line in stale)
    assert [line["questions/read"] - line["questions/dropped"] for line in lines] == [
        4 * n for n in range(1, STEPS + 1)
    ]


def test_a_run_stopped_with_a_batch_drawn_ahead_goes_on_bit_identically(whole, tmp_path):
    Trainer(config(*AHEAD), tmp_path, SendingLogger(3, signal.SIGTERM)).run()
    assert (tmp_path / "checkpoints" / "step-000003" / "drawn" / "000000.pickle").exists()
    Trainer(config(*AHEAD), tmp_path, SendingLogger(5, signal.SIGTERM)).run()
    state = next((tmp_path / "checkpoints" / "step-000005" / "state").glob("*model_states.pt"))
    state.write_bytes(b"torn")  # as after a SIGKILL: the run goes on from an earlier checkpoint
    Trainer(config(*AHEAD), tmp_path, NoLogger()).run()
    assert_same_run(whole, tmp_path)


def test_drawing_during_the_update_gives_the_same_run_as_drawing_before_it(whole, tmp_path):
    trainer = Trainer(config(*AHEAD, "engine=own", f"engine._target_={ENGINE}:CopiedEngine"), tmp_path, NoLogger())
    assert trainer.batches.beside
    trainer.run()
    assert trainer.engine.threads == [True, True, False, False, False, False]  # the first two in the main thread
    assert_same_run(whole, tmp_path)


def test_a_stop_while_a_batch_is_drawn_beside_the_update_keeps_the_update_and_drops_the_batch(tmp_path):
    own = ("engine=own", f"engine._target_={ENGINE}:CopiedEngine")
    Trainer(config(*AHEAD, *own, "+engine.params.stop_at=3"), tmp_path, NoLogger()).run()
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2]
    assert not (tmp_path / "checkpoints" / "step-000002" / "drawn").exists()
    Trainer(config(*AHEAD, *own, "trainer.steps=4"), tmp_path, NoLogger()).run()
    assert [line["staleness"] for line in metrics(tmp_path)] == [0, 0, 0, 1]  # the third batch was drawn anew


def test_a_batch_of_two_ranks_is_taken_over_by_one(tmp_path):
    def group(name):
        question = Question(id=name, dataset="d", source="s", split="train", text=name, gold="1")
        return Group(question=question, rollouts=[])

    (tmp_path / "drawn").mkdir()
    for rank, names in enumerate((["a", "c", "e"], ["b", "d"])):
        groups = [group(name) for name in names]
        batch = Batch(groups=groups, first_groups=groups, report=SplitReport(read=7, dropped=2), staleness=1)
        (tmp_path / "drawn" / f"{rank:06d}.pickle").write_bytes(pickle.dumps(batch))
    source = BatchSource(config(*AHEAD), None, None, None)
    source.load(tmp_path, 8)
    batch = source.take(8, lambda _: None)
    assert [g.question.id for g in batch.groups] == ["a", "b", "c", "d", "e"]
    assert (batch.report.read, batch.report.dropped, batch.staleness) == (7, 2, 1)


def test_what_a_wrong_value_says():
    with pytest.raises(ValueError, match=r"off_policy_steps=1: allowed is 0 with trainer.loss.importance_cap=null"):
        TrainerConfig(name="t", off_policy_steps=1, loss=LossConfig(importance_cap=None))
    with pytest.raises(ValueError, match=r"trainer.off_policy_steps=2: allowed is .*0.*1"):
        TrainerConfig(name="t", off_policy_steps=2)
    with pytest.raises(ValueError, match=r"importance_mode=truncate: allowed is .*token_truncate, token_mask"):
        LossConfig(importance_mode="truncate")
