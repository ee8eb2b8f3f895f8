"""What the loggers leave behind, read back."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from corea.composition import compose
from corea.config import NoLoggerConfig, WandbConfig
from corea.logger import NoLogger, WandbLogger, build_logger, has_account, pick_mode
from wandb_file import read_run


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for key in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def logged(folder, config, steps, **options) -> WandbLogger:
    logger = build_logger(WandbConfig(), folder, config, **options)
    for step in steps:
        logger.log({"train/reward": step / 4, "train/auroc": math.nan if step == 0 else 0.5}, step)
    return logger


def test_an_offline_run_is_read_back(tmp_path, capfd):
    import openai  # noqa: F401  W&B has more to say where it is loaded

    config = compose("train", "seed=5")
    logger = logged(tmp_path, config, range(3))
    for percent in (0, 50, 100):
        logger.log({"cascade/accuracy": percent / 200}, percent, axis="cascade/deferral_percent")
    logger.table("cascade/rules", pd.DataFrame({"rule": ["fixed", "max_drop"], "threshold": [0.5, math.nan]}))
    matplotlib.image.imsave(tmp_path / "plot.png", np.zeros((4, 4)))
    logger.image("plot", tmp_path / "plot.png")
    (tmp_path / "report.html").write_text("<p>report</p>")
    logger.html("report", tmp_path / "report.html")
    logger.summary({"in_domain/ece": 0.07})
    logger.close()

    run = read_run(tmp_path)
    rows = run["history"]
    assert [(r["step"], r["train/reward"]) for r in rows if "train/reward" in r] == [(0, 0.0), (1, 0.25), (2, 0.5)]
    curve = [(r["cascade/deferral_percent"], r["cascade/accuracy"]) for r in rows if "cascade/accuracy" in r]
    assert curve == [(0, 0.0), (50, 0.25), (100, 0.5)]
    assert run["axes"] == {
        "train/reward": "step",
        "train/auroc": "step",
        "cascade/accuracy": "cascade/deferral_percent",
    }
    assert run["config"]["seed"] == 5
    assert run["config"]["reward"]["distance"] == "l1"
    assert run["summary"]["in_domain/ece"] == 0.07
    media = run["files"][0].parent / "files"
    (table,) = [r["cascade/rules"] for r in rows if "cascade/rules" in r]
    content = json.loads((media / table["path"]).read_text())
    assert content["columns"] == ["rule", "threshold"]
    assert content["data"][0] == ["fixed", 0.5]
    (plot,) = [r["plot"] for r in rows if "plot" in r]
    assert (media / plot["path"]).read_bytes()[:4] == b"\x89PNG"
    (page,) = [r["report"] for r in rows if "report" in r]
    assert (media / page["path"]).read_text() == "<p>report</p>"
    assert capfd.readouterr() == ("", "")


def test_a_resumed_run_keeps_its_id_and_logs_no_step_twice(tmp_path):
    config = compose("train")
    logged(tmp_path, config, range(4)).close()
    logged(tmp_path, config, range(2, 6)).close()  # resumed from the checkpoint of step 2
    run = read_run(tmp_path)
    assert len(run["files"]) == 2
    assert len(set(run["ids"])) == 1
    assert [r["step"] for r in run["history"] if "step" in r] == [0, 1, 2, 3, 4, 5]


def test_another_job_and_a_fresh_start_are_runs_of_their_own(tmp_path):
    config = compose("train")
    logged(tmp_path, config, range(1)).close()
    logged(tmp_path, config, range(1), job="evaluate", resume=False).close()
    logged(tmp_path, config, range(1), job="evaluate", resume=False).close()
    run = read_run(tmp_path)
    assert len(set(run["ids"])) == 3
    assert [r["step"] for r in run["history"]] == [0, 0, 0]


def test_a_failing_wandb_is_reported_once_and_stops_nothing(tmp_path, caplog):
    logger = logged(tmp_path, compose("train"), range(1))
    with caplog.at_level(logging.WARNING):
        logger.log({"bad": object()}, 1)
        logger.image("missing", tmp_path / "missing.png")
        logger.log({"good": 1.0}, 2)
        logger.close()
    (said,) = [r.getMessage() for r in caplog.records if r.name == "corea.logger"]
    assert "local files are still written" in said


def test_every_logger_has_a_run_of_its_own(tmp_path):
    """As in a multirun, where jobs share a process: neither an open nor a failed run takes what the next one logs."""
    config = compose("train")
    failed = logged(tmp_path / "failed", config, range(1))
    failed.log({"bad": object()}, 1)
    still_open = logged(tmp_path / "open", config, range(2))
    logged(tmp_path / "next", config, range(3)).close()
    still_open.log({"train/reward": 0.5}, 2)
    for logger in (failed, still_open):
        logger.close()
    runs = {name: read_run(tmp_path / name) for name in ("failed", "open", "next")}
    assert {name: len(run["files"]) for name, run in runs.items()} == {"failed": 1, "open": 1, "next": 1}
    steps = {name: [row["step"] for row in run["history"]] for name, run in runs.items()}
    assert steps == {"failed": [0], "open": [0, 1, 2], "next": [0, 1, 2]}


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path, caplog):
    (tmp_path / "wandb").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        logged(tmp_path, compose("train"), range(3)).close()
    assert [r.name for r in caplog.records].count("corea.logger") == 1


@pytest.mark.parametrize("logger", [NoLogger(), build_logger(NoLoggerConfig(), "x", NoLoggerConfig())])
def test_no_logger_does_nothing(tmp_path, monkeypatch, logger):
    monkeypatch.chdir(tmp_path)
    logger.log({"a": 1.0}, 0)
    logger.log({"a": 1.0}, 0, axis="b")
    logger.table("a", pd.DataFrame())
    logger.image("a", "b.png")
    logger.html("a", "b.html")
    logger.summary({})
    logger.close()
    assert list(tmp_path.glob("*")) == []


def test_no_logger_does_not_import_wandb(tmp_path):
    code = (
        "import sys; from corea.config import NoLoggerConfig; from corea.logger import build_logger; "
        "build_logger(NoLoggerConfig(), '.', NoLoggerConfig()); assert 'wandb' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_offline_unless_there_is_an_account(tmp_path, monkeypatch):
    assert pick_mode("auto") == "offline"
    assert [pick_mode(m) for m in ("online", "disabled")] == ["online", "disabled"]
    (tmp_path / "netrc").write_text("machine other.example login user password x\n")
    assert not has_account()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x\n")
    assert pick_mode("auto") == "online"
    (tmp_path / "netrc").write_text("not a netrc file {")
    assert not has_account()
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert pick_mode("auto") == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert pick_mode("auto") == "disabled"


TERMINAL = {b"\x1b[6n": b"\x1b[1;1R", b"\x1b[c": b"\x1b[?62;c", b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\"}
"""What a terminal answers when it is asked for its cursor, kind and background."""


@pytest.mark.slow
def test_wandbs_own_viewer_shows_the_run(tmp_path):
    """`wandb leet` is a terminal program: give it a terminal and look for what it draws."""
    logger = logged(tmp_path, compose("train"), range(3))
    logger.summary({"figure_of_merit": 12.5})
    logger.close()
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "wandb", "leet", "run", str(run)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
    wanted = {"train/reward", "figure_of_merit", "12.5", "Config"}
    drawn, deadline = b"", time.monotonic() + 60
    try:
        while wanted and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.2)[0]:
                piece = os.read(terminal, 65536)
                drawn += piece
                for question, answer in TERMINAL.items():
                    if question in piece:
                        os.write(terminal, answer)
            text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", drawn).decode(errors="replace")
            wanted = {word for word in wanted if word not in text}
    finally:
        os.killpg(child, signal.SIGKILL)  # asked to quit, it now and then stays
        os.waitpid(child, 0)
        os.close(terminal)
    assert wanted == set()
