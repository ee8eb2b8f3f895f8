"""The launcher's variables in a process that was started without a launcher."""

from __future__ import annotations

import os

import pytest

from corea.rl.run.distributed import NEEDED, set_environment, shutdown_together


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in NEEDED:
        monkeypatch.delenv(key, raising=False)


def test_a_run_leaves_no_variables_for_commands_that_start_later() -> None:
    set_environment()
    assert os.environ["WORLD_SIZE"] == "1"
    with shutdown_together():
        pass
    assert not [key for key in NEEDED if key in os.environ]


def test_the_variables_of_a_launcher_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29512"}
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    set_environment()
    with shutdown_together():
        pass
    assert {key: os.environ[key] for key in NEEDED} == given


ON_A_TAKEN_PORT = """
import os, socket
import torch.distributed as dist
from corea.rl.run import distributed
distributed.set_environment()
with socket.socket() as other:
    other.bind(("127.0.0.1", int(os.environ["MASTER_PORT"])))
    other.listen()
    distributed.join_alone()
print(dist.get_world_size())
"""


def test_a_single_process_needs_no_port(warm_python):
    done = warm_python.run("-c", ON_A_TAKEN_PORT)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
