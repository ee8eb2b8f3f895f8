"""Several processes as docs/training.md starts them: torchrun on one and two machines, DeepSpeed's launcher."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from corea.rl.run.distributed import NEEDED
from test_train import OPTIONS, assert_equal_runs, finish, lines, wait_for
from warm_python import free_port

pytestmark = pytest.mark.slow
STEPS = 6
BIN = Path(sys.executable).parent
TORCHRUN = [BIN / "torchrun", "--nproc-per-node", "2", "-m"]


def launch(folder, *overrides, launcher=TORCHRUN, logger="none"):
    """corea.train by a launcher, each process with one thread."""
    options = [o for o in OPTIONS if not o.startswith(("trainer.steps", "logger"))]
    last = [f"trainer.steps={STEPS}", f"logger={logger}", f"hydra.run.dir={folder}", *overrides]
    return start("corea.train", *options, *last, launcher=launcher)


def start(module, *overrides, launcher=TORCHRUN):
    environment = {k: v for k, v in os.environ.items() if k not in NEEDED and not k.startswith("WANDB")}
    environment |= {"OMP_NUM_THREADS": "1", "MASTER_PORT": str(free_port()), "WANDB_MODE": "offline"}
    if launcher is TORCHRUN:
        launcher = [*TORCHRUN[:-1], "--master-port", environment["MASTER_PORT"], "-m"]
    command = [*map(str, launcher), module, *overrides]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def worker(process, rank, module="corea.train"):
    """The process of a rank, somewhere below its launcher."""
    for child in psutil.Process(process.pid).children(recursive=True):
        if child.environ().get("RANK") == str(rank) and module in child.cmdline():
            return child
    raise AssertionError(f"no process of rank {rank}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launched") / "whole"
    code, out, err = finish(launch(folder, "trainer.zero_stage=3", logger="wandb"), 300)
    assert code == 0, err
    return folder, out, err


def test_two_processes_leave_one_run(whole):
    folder, out, err = whole
    assert err == ""
    assert out.count("model: ") == 1  # the first process alone speaks
    assert [json.loads(line)["step"] for line in lines(folder)] == list(range(1, STEPS + 1))
    assert len(json.loads((folder / "provenance.json").read_text())["starts"]) == 1
    assert len(list((folder / "wandb").glob("offline-run-*"))) == 1


def test_the_weights_of_zero_3_are_whole_and_loadable(whole):
    folder = whole[0]
    newest = folder / "checkpoints" / f"step-{STEPS:06d}"
    parts = sorted(p.name for p in (newest / "state").glob("*optim_states.pt"))
    assert len(parts) == 2  # each process has written its own
    final, saved = (load_file(f / "model" / "model.safetensors") for f in (folder, newest))
    assert all(torch.equal(final[name], saved[name]) for name in final)
    model, report = AutoModelForCausalLM.from_pretrained(newest / "model", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, weight in model.state_dict().items():
        assert name not in final or torch.equal(weight, final[name])


def test_sigterm_to_one_process_stops_all_and_they_go_on_to_the_same_bits(whole, tmp_path):
    """Then the newest checkpoint is torn: all of them take the one before."""
    process = launch(tmp_path, "trainer.zero_stage=3")
    wait_for(tmp_path, 4, process)
    worker(process, 1).send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    done = len(lines(tmp_path))
    assert out.count(f"stopped by SIGTERM after step {done}; a checkpoint was saved") == 1
    assert done < STEPS
    newest = tmp_path / "checkpoints" / f"step-{done:06d}"
    part = newest / "state" / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    part.write_bytes(part.read_bytes()[:1000])
    code, out, err = finish(launch(tmp_path, "trainer.zero_stage=3"))
    assert (code, err) == (0, "")
    assert f"{newest} is damaged (state/{part.name} has 1000 bytes" in out
    assert "continuing after step 3" in out
    assert_equal_runs(tmp_path, whole[0], STEPS)


def test_sigterm_to_the_launcher_leaves_a_checkpoint(whole, tmp_path):
    """As a cluster sends it: torchrun hands it on and calls that a failure of its own, whatever the processes say."""
    process = launch(tmp_path, "trainer.zero_stage=3")
    wait_for(tmp_path, 2, process)
    process.send_signal(signal.SIGTERM)
    _, out, _ = finish(process)
    done = len(lines(tmp_path))
    assert f"stopped by SIGTERM after step {done}" in out
    assert (tmp_path / "checkpoints" / f"step-{done:06d}").is_dir()
    code, out, err = finish(launch(tmp_path, "trainer.zero_stage=3"))
    assert (code, err) == (0, ""), out
    assert_equal_runs(tmp_path, whole[0], STEPS)


def test_one_process_continues_at_another_stage_with_the_same_rollouts(whole, tmp_path):
    """From step 3 of two processes: the same questions and completions, and equal figures but for rounding."""
    folder = tmp_path / "alone"
    shutil.copytree(whole[0], folder)
    for name in (f"checkpoints/step-{STEPS:06d}", "model"):
        shutil.rmtree(folder / name)
    code, out, err = finish(launch(folder, "trainer.zero_stage=1", launcher=[sys.executable, "-m"]))
    assert (code, err) == (0, "")
    assert "has processes=2 trainer.zero_stage=3, this run processes=1 trainer.zero_stage=1: converting" in out
    assert "continuing after step 3" in out
    one, two = ([json.loads(line) for line in lines(path)] for path in (folder, whole[0]))
    assert one[:3] == two[:3]
    for alone, both in zip(one[3:], two[3:], strict=True):
        for key in ("step", "lr", "tokens", "reward", "questions/read"):
            assert alone[key] == pytest.approx(both[key], rel=1e-12), key
        assert alone["grad_norm"] == pytest.approx(both["grad_norm"], rel=1e-4)  # 1e-7 in the first step after it
    assert not list((folder / "checkpoints").glob("*universal*"))


def test_deepspeeds_launcher(whole, tmp_path):
    """It gives every process an argument of its own, --local_rank."""
    launcher = [BIN / "deepspeed", "--num_gpus", "2", "--master_port", free_port(), "--module"]
    code, out, err = finish(launch(tmp_path, "trainer.zero_stage=3", launcher=launcher))
    assert code == 0, out + err
    assert_equal_runs(tmp_path, whole[0], STEPS)


def test_two_machines(whole, tmp_path):
    port = free_port()
    nodes = []
    for rank in (0, 1):
        place = ["--nnodes", 2, "--node-rank", rank, "--nproc-per-node", 1, "--master-addr", "127.0.0.1"]
        launcher = [BIN / "torchrun", *place, "--master-port", port, "-m"]
        nodes.append(launch(tmp_path, "trainer.zero_stage=3", launcher=launcher))
    ends = [finish(node) for node in nodes]
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert_equal_runs(tmp_path, whole[0], STEPS)


def test_the_cold_start_on_two_processes_is_that_of_one(tmp_path):
    options = ["sft.steps=3", "sft.eval_every=3", "sft.eval_questions=4", "sft.batch_size=7", "logger=none"]
    out = {}
    for name, launcher in (("two", TORCHRUN), ("one", [sys.executable, "-m"])):
        code, out[name], err = finish(
            start("corea.sft", *options, f"hydra.run.dir={tmp_path / name}", launcher=launcher), 300
        )
        assert (code, err) == (0, "")
    assert out["two"].count("model: ") == 1
    one, two = ([json.loads(line) for line in lines(tmp_path / name)] for name in ("one", "two"))
    assert [line["step"] for line in two] == [0, 1, 2]
    for a, b in zip(one, two, strict=True):
        assert (a["tokens"], a["loss"], a["grad_norm"]) == pytest.approx(
            (b["tokens"], b["loss"], b["grad_norm"]), rel=1e-5
        )
    weights = [load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=0, atol=1e-6)


def test_a_stopped_cold_start_continues_on_another_number_of_processes(tmp_path):
    """SIGTERM to one of two processes of DeepSpeed's launcher, then one process to the end."""
    options = ["sft.steps=40", "sft.eval_every=40", "sft.eval_questions=4", "sft.batch_size=7", "logger=none"]
    launcher = [BIN / "deepspeed", "--num_gpus", "2", "--master_port", free_port(), "--module"]
    folder = tmp_path / "stopped"
    process = start("corea.sft", *options, f"hydra.run.dir={folder}", launcher=launcher)
    wait_for(folder, 2, process)
    worker(process, 1, "corea.sft").send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert code == 0, out + err
    done = len(lines(folder))
    assert done < 40
    assert f"stopped by SIGTERM after step {done - 1}; the same command continues from there" in out
    assert not (folder / "model").exists()
    whole = tmp_path / "whole"
    for path in (folder, whole):
        code, out, err = finish(start("corea.sft", *options, f"hydra.run.dir={path}", launcher=[sys.executable, "-m"]))
        assert (code, err) == (0, "")
    losses = [[json.loads(line)["loss"] for line in lines(path)] for path in (folder, whole)]
    assert len(losses[0]) == 40
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
