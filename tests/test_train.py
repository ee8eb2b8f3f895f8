"""The command as a user starts it: interrupted, killed, resumed, on a full disk."""

import json
import random
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

STEPS = 10
OPTIONS = ["trainer=debug", f"trainer.steps={STEPS}", "trainer.questions=8", "trainer.save_every=3", "logger=none"]
TIMED = ("seconds/", "tokens_per_s", "speed/", "memory/")


@pytest.fixture
def start(warm_python):
    """`start(folder, ...)` starts a training run in the folder."""
    return lambda folder, *more: warm_python.start("-m", "corea.train", *OPTIONS, f"hydra.run.dir={folder}", *more)


def lines(folder):
    file = folder / "metrics.jsonl"
    return file.read_text().splitlines() if file.exists() else []


def wait_for(folder, count, process):
    """Until `count` steps are logged."""
    deadline = time.monotonic() + 120
    while len(lines(folder)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finish(process, seconds=120):
    """(exit code, stdout, stderr)"""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def assert_equal_runs(stopped, whole, steps):
    """The same figures but for the timings, and weights that are equal to the last bit."""
    one, other = (
        [{k: v for k, v in json.loads(text).items() if not k.startswith(TIMED)} for text in lines(folder)]
        for folder in (stopped, whole)
    )
    assert len(one) == steps
    assert one == other
    weights = [load_file(folder / "model" / "model.safetensors") for folder in (stopped, whole)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_interrupted_killed_and_resumed_it_ends_as_if_never_stopped(start, tmp_path):
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = start(stopped)
    wait_for(stopped, 2, process)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert err.count("\n") == 1
    assert "resume with the same command" in err
    process = start(stopped)
    wait_for(stopped, 5, process)
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    assert not (stopped / "model").exists()
    code, out, err = finish(start(stopped))
    assert (code, err) == (0, "")
    assert "continuing after step" in out
    assert finish(start(whole))[0] == 0
    assert_equal_runs(stopped, whole, STEPS)


ON_A_SMALL_DISK = """
import ctypes, os, subprocess, sys
from pathlib import Path
from corea.train import main

folder, NEW_NAMESPACE = sys.argv.pop(1), 0x20000
if ctypes.CDLL(None).unshare(NEW_NAMESPACE):
    sys.exit(77)
for command in (["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder]):
    if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
        sys.exit(77)
try:
    main()
finally:
    print(*sorted(path.name for path in Path(folder, "run", "checkpoints").iterdir()))
"""
"""Exit code 77: no mount namespace here, which needs root."""


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, warm_python):
    """A 40 MB tmpfs in a mount namespace of its own holds two checkpoints of 17 MB; skipped where that is forbidden."""
    options = [*OPTIONS, "trainer.save_every=1", "trainer.keep_last=9", f"hydra.run.dir={tmp_path / 'run'}"]
    done = warm_python.run("-c", ON_A_SMALL_DISK, tmp_path, *options)
    if done.returncode == 77:
        pytest.skip("no mount namespaces")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no space left" in done.stderr
    assert done.stdout.split()[-2:] == ["step-000001", "step-000002"]


@pytest.mark.slow
def test_killed_twenty_times_it_ends_as_if_never_stopped(start, tmp_path):
    """SIGKILL at random moments, every other time while a checkpoint is being written; a checkpoint every step."""
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    long = ("trainer.steps=60", "trainer.questions=2", "trainer.save_every=1")
    moments = random.Random(0)
    while_writing = 0
    for kill in range(20):
        process = start(stopped, *long)
        wait_for(stopped, len(lines(stopped)) + 1, process)
        if kill % 2:
            while not (writing := list((stopped / "checkpoints").glob(".step-*.tmp"))):
                assert process.poll() is None, process.communicate()
        else:
            time.sleep(moments.uniform(0, 0.1))
        process.kill()
        assert finish(process)[0] == -signal.SIGKILL
        while_writing += bool(kill % 2 and any(path.exists() for path in writing))
    assert while_writing > 0  # torn folders were left behind
    assert len(lines(stopped)) < 60
    assert finish(start(stopped, *long), 600)[0] == 0
    assert finish(start(whole, *long, "trainer.save_every=60"), 600)[0] == 0
    assert_equal_runs(stopped, whole, 60)


def test_sigterm_leaves_a_checkpoint_and_exit_code_0(start, tmp_path):
    process = start(tmp_path)
    wait_for(tmp_path, 1, process)
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert "stopped by SIGTERM after step" in out
    saved = max(path.name for path in (tmp_path / "checkpoints").glob("step-*"))
    assert saved == f"step-{len(lines(tmp_path)):06d}"
