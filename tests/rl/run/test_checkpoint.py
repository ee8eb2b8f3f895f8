"""Checkpoints: whole or not there, on a real file system."""

import errno
import json
import logging

import pytest

from corea.errors import UserError
from corea.rl.run.checkpoint import MANIFEST, Checkpoints, find_damage


def write(content):
    def into(folder):
        (folder / "state").mkdir()
        (folder / "state" / "weights.bin").write_bytes(content)

    return into


@pytest.fixture
def checkpoints(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints", keep_last=2)
    for step in (10, 20, 30):
        store.save(step, {"seed": 7}, write(b"weights of step %d" % step))
    return store


def test_the_newest_is_found_and_the_oldest_dropped(checkpoints):
    assert sorted(p.name for p in checkpoints.folder.iterdir()) == ["step-000020", "step-000030"]
    found = checkpoints.latest()
    assert (found.step, found.progress["seed"]) == (30, 7)
    assert (found.path / "state" / "weights.bin").read_bytes() == b"weights of step 30"
    assert list(json.loads((found.path / MANIFEST).read_text())) == ["progress.json", "state/weights.bin"]


@pytest.mark.parametrize("damage", ["torn", "flipped", "missing", "no manifest", "torn manifest"])
def test_a_damaged_newest_is_named_and_the_one_before_used(checkpoints, damage, caplog):
    newest = checkpoints.folder / "step-000030"
    file = newest / "state" / "weights.bin"
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:5])
    elif damage == "flipped":
        file.write_bytes(b"W" + file.read_bytes()[1:])
    elif damage == "missing":
        file.unlink()
    elif damage == "no manifest":
        (newest / MANIFEST).unlink()
    else:
        (newest / MANIFEST).write_text((newest / MANIFEST).read_text()[:20])
    with caplog.at_level(logging.WARNING):
        assert checkpoints.latest().step == 20
    assert str(newest) in caplog.text
    assert find_damage(newest) in caplog.text
    checkpoints.save(30, {"seed": 8}, write(b"again"))  # the resumed run writes it anew
    assert checkpoints.latest().progress["seed"] == 8


def test_without_a_whole_checkpoint_nothing_starts_anew(checkpoints):
    for path in checkpoints.folder.iterdir():
        (path / "state" / "weights.bin").write_bytes(b"torn")
    with pytest.raises(
        UserError, match=r"step-000030: damaged, and no older checkpoint is intact; remove .* to start over"
    ):
        checkpoints.latest()


def test_what_a_killed_conversion_leaves_is_removed(checkpoints):
    for name in ("universal-000030", ".universal-000030.123.tmp", ".step-000040.123.tmp"):
        (checkpoints.folder / name / "zero").mkdir(parents=True)
    Checkpoints(checkpoints.folder, keep_last=2)
    assert sorted(p.name for p in checkpoints.folder.iterdir()) == ["step-000020", "step-000030"]


def test_a_full_disk_during_a_conversion_is_one_line_and_leaves_nothing(checkpoints):
    def full(folder):
        (folder / "zero").mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    with (
        pytest.raises(UserError, match=r"universal-000030: no space left on the disk; existing files are unchanged$"),
        checkpoints.converted(checkpoints.latest(), full),
    ):
        raise AssertionError("must not run")
    assert sorted(p.name for p in checkpoints.folder.iterdir()) == ["step-000020", "step-000030"]


def test_no_checkpoint(tmp_path):
    assert Checkpoints(tmp_path / "none", keep_last=2).latest() is None


def test_a_write_that_fails_leaves_the_previous_ones(checkpoints):
    def torn(folder):
        (folder / "state").mkdir()
        (folder / "state" / "weights.bin").write_bytes(b"half")
        raise OSError("something broke")

    with pytest.raises(OSError, match="something broke"):
        checkpoints.save(40, {}, torn)
    assert sorted(p.name for p in checkpoints.folder.iterdir()) == ["step-000020", "step-000030"]
    assert checkpoints.latest().step == 30


def test_what_a_killed_process_left_is_cleared(checkpoints):
    (checkpoints.folder / ".step-000040.4711.tmp").mkdir()
    again = Checkpoints(checkpoints.folder, keep_last=2)
    assert sorted(p.name for p in again.folder.iterdir()) == ["step-000020", "step-000030"]
