"""Checkpoints that are resumed by another number of processes or at another ZeRO stage."""

from pathlib import Path

import pytest
import torch
from resumed_processes import BACK, CHANGES, new_policy, resumed, save, updates, weights

from corea.errors import UserError
from corea.rl.run.checkpoint import Checkpoints
from corea.rl.run.resuming import load_checkpoint
from warm_python import run_two_ranks

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Folder of checkpoints after three updates, and by rank of the adapters the two updates after them."""
    folder = tmp_path_factory.mktemp("resumed")
    after = {}
    for name, (stage, _, rank) in CHANGES.items():
        policy = new_policy(stage, rank)
        updates(policy, 3)
        save(policy, folder / name)
        if rank not in after:
            after[rank] = {"norms": updates(policy, 2), "weights": weights(policy)}
    return folder, after


@pytest.fixture(scope="module")
def found(expected, warm_python):
    """What two processes computed."""
    folder = expected[0]
    run_two_ranks(warm_python, HERE / "resumed_processes.py", folder)
    return torch.load(folder / "results.pt", weights_only=True)


def assert_same(one, other):
    """The gradient of the next step to 1e-5, that of the step after it, and the weights."""
    assert one["norms"] == pytest.approx(other["norms"], rel=1e-5)
    for a, b in zip(one["weights"], other["weights"], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [*CHANGES, *BACK])
def test_two_processes_continue_at_the_same_place(expected, found, name):
    rank = {**CHANGES, **BACK}[name][2]
    assert_same(found[name], expected[1][rank])
    assert found[name]["left"] == ["step-000001"]  # the converted files are gone


@pytest.mark.parametrize(("name", "stage"), [("zero 1 to 2", 1), ("zero 2 to 3", 0)])
def test_one_process_continues_what_two_saved(expected, found, name, stage):
    assert_same(resumed(expected[0] / name, stage), expected[1][0])


def test_what_cannot_be_converted_is_one_line_and_changes_nothing(expected, tmp_path, monkeypatch):
    policy = new_policy(1)
    save(policy, tmp_path)  # before the first update AdamW has no state
    store = Checkpoints(tmp_path, keep_last=1)
    with pytest.raises(UserError) as caught:
        load_checkpoint(new_policy(2), store, store.latest())
    line = str(caught.value)
    start = f"{tmp_path}/step-000001: written with processes=1 trainer.zero_stage=1, and cannot be converted for "
    assert line.startswith(f"{start}processes=1 trainer.zero_stage=2 (")
    assert line.endswith(f"start a new run from model.path={tmp_path}/step-000001/model")
    assert "\n" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
