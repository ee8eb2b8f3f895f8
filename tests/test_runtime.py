"""Metrics files, provenance, and writes that survive errors and full disks."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from corea.errors import UserError
from corea.provenance import git_revision, package_versions, provenance
from corea.runtime import MetricsWriter, atomic_folder, atomic_write, read_metrics


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_atomic_write_replaces_and_leaves_nothing_behind(tmp_path):
    file = tmp_path / "deep" / "a.txt"
    for text in ("one", "two"):
        with atomic_write(file) as temporary:
            temporary.write_text(text)
    assert file.read_text() == "two"
    assert names(file.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_atomic_write_keeps_the_old_file_on_any_error(tmp_path, error):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(type(error)), atomic_write(file) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "x"), RuntimeError("IoError: No space left on device")])
def test_a_full_disk_is_the_users_to_mend(tmp_path, error):
    file = tmp_path / "a.txt"
    file.write_text("old")
    line = r"a\.txt: no space left on the disk; existing files are unchanged"
    with pytest.raises(UserError, match=line), atomic_write(file):
        raise error
    assert file.read_text() == "old"


def test_atomic_folder(tmp_path):
    folder = tmp_path / "model"
    for text in ("one", "two"):
        with atomic_folder(folder) as temporary:
            (temporary / "sub").mkdir()
            (temporary / "sub" / f"{text}.txt").write_text(text)
    assert [p.name for p in folder.rglob("*.txt")] == ["two.txt"]
    with pytest.raises(ValueError, match="half"), atomic_folder(folder) as temporary:
        (temporary / "three.txt").write_text("half")
        raise ValueError("half")
    assert [p.name for p in folder.rglob("*.txt")] == ["two.txt"]
    assert names(tmp_path) == ["model"]


FILL = """
import sys
import numpy as np
from corea.errors import UserError
from corea.runtime import MetricsWriter, atomic_folder, atomic_write

root = sys.argv[1]

def pandas(path):
    import pandas as pd
    pd.DataFrame({"x": np.random.default_rng(0).random(1_000_000)}).to_parquet(path)

def safetensors(path):
    from safetensors.numpy import save_file
    save_file({"x": np.zeros(2_000_000)}, path)

def plain(path):
    path.write_bytes(b"x" * 8_000_000)

for write in (plain, pandas, safetensors):
    with atomic_write(f"{root}/{write.__name__}") as temporary:
        temporary.write_text("old")
    try:
        with atomic_write(f"{root}/{write.__name__}") as temporary:
            write(temporary)
    except UserError as error:
        print(str(error).removeprefix(root), "|", open(f"{root}/{write.__name__}").read())
try:
    with atomic_folder(f"{root}/folder") as temporary:
        plain(temporary / "a")
except UserError as error:
    print(str(error).removeprefix(root))
writer = MetricsWriter(f"{root}/metrics.jsonl")
try:
    for step in range(100_000):
        writer.write({"step": step, "x": "x" * 1000})
except UserError as error:
    print(str(error).removeprefix(root))
"""


def test_on_a_disk_that_is_really_full(tmp_path):
    """A 2 MB tmpfs in a mount namespace of its own; skipped where the system does not allow one."""
    script = f'mount -t tmpfs -o size=2m tmpfs {tmp_path} && exec {sys.executable} -c "$FILL" {tmp_path}'
    for start in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        try:
            probe = subprocess.run(
                [*start, "sh", "-c", f"mount -t tmpfs tmpfs {tmp_path}"], capture_output=True, check=False
            )
        except FileNotFoundError:
            pytest.skip("no unshare")
        if probe.returncode == 0:
            break
    else:
        pytest.skip("no mount namespaces")
    environment = {**os.environ, "FILL": FILL, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, "sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    message = "no space left on the disk; existing files are unchanged"
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"/plain: {message} | old",
        f"/pandas: {message} | old",
        f"/safetensors: {message} | old",
        f"/folder: {message}",
        f"/metrics.jsonl: {message}",
    ]


def test_provenance_holds_no_secrets(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "s3cret-key")
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret-key")
    assert "s3cret-key" not in json.dumps(provenance())


def test_git_revision(tmp_path):
    def git(*arguments):
        options = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *options, *arguments], check=True, capture_output=True)

    assert git_revision(tmp_path) is None
    git("init", "-q")
    (tmp_path / "__init__.py").write_text("")
    assert git_revision(tmp_path) is None  # not tracked: a package installed inside another project's checkout
    git("add", ".")
    git("commit", "-qm", "x")
    found = git_revision(tmp_path)
    assert len(found["revision"]) == 40
    assert found["changed"] is False
    (tmp_path / "__init__.py").write_text("x = 1")
    assert git_revision(tmp_path)["changed"] is True


def test_versions_are_of_the_named_dependencies():
    versions = package_versions()
    assert {"hydra-core", "numpy", "wandb"} <= versions.keys()
    assert "corea" not in versions


def test_metrics_are_one_line_a_step(tmp_path):
    writer = MetricsWriter(tmp_path / "m" / "metrics.jsonl")
    writer.write({"step": 0, "reward": np.float32(0.5), "auroc": math.nan, "note": "x", "n": np.int64(3), "ok": True})
    assert (tmp_path / "m" / "metrics.jsonl").read_text() == (
        '{"step": 0, "reward": 0.5, "auroc": null, "note": "x", "n": 3, "ok": true}\n'
    )


def test_resuming_cuts_the_steps_after_the_checkpoint(tmp_path):
    file = tmp_path / "metrics.jsonl"
    writer = MetricsWriter(file)
    for step in range(5):
        writer.write({"step": step})
    with open(file, "a") as torn:
        torn.write('{"step": 5, "rew')
    assert [m["step"] for m in read_metrics(file)] == [0, 1, 2, 3, 4]
    MetricsWriter(file, resume_step=3).write({"step": 3, "again": 1})
    assert read_metrics(file) == [{"step": 0}, {"step": 1}, {"step": 2}, {"step": 3, "again": 1}]
    MetricsWriter(file)
    assert len(read_metrics(file)) == 4
    MetricsWriter(file, resume_step=0)
    assert file.read_text() == ""
