"""The command as a user starts it: interrupted, killed, resumed, on a full disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from corea.rl.distributed import NEEDED

STEPS = 10
OPTIONS = ["trainer=debug", f"trainer.steps={STEPS}", "trainer.questions=16", "trainer.save_every=3", "logger=none"]
TIMED = ("seconds/", "tokens_per_s")


def start(folder, *overrides, prefix=()):
    command = [*prefix, sys.executable, "-m", "corea.train", *OPTIONS, f"hydra.run.dir={folder}", *overrides]
    # Tests of the trainer in this process have described themselves as rank 0 with a port of their own.
    environment = {**{k: v for k, v in os.environ.items() if k not in NEEDED}, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


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


def finish(process):
    """(exit code, stdout, stderr)"""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_interrupted_killed_and_resumed_it_ends_as_if_never_stopped(tmp_path):
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
    assert "going on after step" in out
    assert finish(start(whole))[0] == 0
    one, other = (
        [{k: v for k, v in json.loads(text).items() if not k.startswith(TIMED)} for text in lines(folder)]
        for folder in (stopped, whole)
    )
    assert len(one) == STEPS
    assert one == other
    weights = [load_file(folder / "model" / "model.safetensors") for folder in (stopped, whole)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    """A 40 MB tmpfs in a mount namespace of its own holds two checkpoints of 17 MB; skipped where that is forbidden."""
    for namespace in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        probe = [*namespace, "sh", "-c", f"mount -t tmpfs tmpfs {tmp_path}"]
        if shutil.which("unshare") and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            break
    else:
        pytest.skip("no mount namespaces")
    show = f"ls {tmp_path}/run/checkpoints; exit $code"
    script = f'mount -t tmpfs -o size=40m tmpfs {tmp_path} && "$@"; code=$?; {show}'
    process = start(
        tmp_path / "run", "trainer.save_every=1", "trainer.keep_last=9", prefix=[*namespace, "sh", "-c", script, "sh"]
    )
    code, out, err = finish(process)
    assert code == 2
    assert err.count("\n") == 1
    assert "no space left" in err
    assert out.split()[-2:] == ["step-000001", "step-000002"]
