"""The dry run of the study: hours and dollars by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from corea.composition import compose
from corea.errors import UserError
from corea.plan.training_plan import plan_training
from study import costs
from study.costs import Hardware, JobCost, Measured, Planned, Throughput, job_costs, show_costs
from study.plan import Job, Study
from study.scales import qwen7b


@pytest.fixture(scope="module")
def cfg():
    """10 steps of 4 x 8 completions, on average 100 + 300 tokens, on 2 GPUs."""
    own = ["trainer.steps=10", "trainer.questions=4", "trainer.group_size=8", "plan.search=false"]
    return compose(
        "plan", "experiment=paper_rlcc", "gpus=2", *own, "plan.prompt_tokens=100", "plan.completion_tokens=300"
    )


def test_hours_from_a_throughput(cfg):
    """320 completions of 400 tokens at 1,000 tokens per second are 128 s on 2 GPUs."""
    basis = Throughput(tokens_per_s=1000)
    assert basis.training(cfg, 1.0) == pytest.approx(2 * 128 / 3600)
    assert basis.training(cfg, 4.0) == pytest.approx(4 * 2 * 128 / 3600)
    assert basis.answers(cfg, 50, 1.0) == pytest.approx(2 * 20 / 3600)
    with pytest.raises(UserError, match=r"^THROUGHPUT=0: allowed is"):
        Throughput(tokens_per_s=0)


def test_hours_from_a_short_run_leave_out_its_first_step(cfg, tmp_path):
    """Steps of 16 completions take 4 and 6 s, of which the rollouts 1 and 3 s."""
    rows = [(90, 50), (4, 1), (6, 3)]
    lines = [{"step": n, "seconds/step": s, "seconds/rollout": r} for n, (s, r) in enumerate(rows, 1)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "config.yaml").write_text("trainer: {questions: 2, group_size: 8}\n")
    basis = Measured(folder=tmp_path)
    assert basis.training(cfg, 1.0) == pytest.approx(2 * 10 * (32 / 16) * 5 / 3600)
    assert basis.answers(cfg, 160, 3.0) == pytest.approx(3 * 2 * 10 * 2 / 3600)
    assert "2 measured steps" in basis.words
    with pytest.raises(UserError, match=r"^RUN=.*: not the folder of a training run"):
        Measured(folder=tmp_path / "none")


def test_hours_from_corea_plan(cfg):
    assert Planned().training(cfg, 1.0) == plan_training(cfg).estimate.gpu_hours
    assert Planned().answers(cfg, 100, 2.0) == pytest.approx(2 * Planned().answers(cfg, 100, 1.0))
    assert Planned().training(replace(cfg, gpu="cpu"), 1.0) is None


def test_the_first_job_also_pays_for_the_llm(cfg, monkeypatch):
    monkeypatch.setattr(costs, "compose", lambda *_: cfg)  # the configuration of every job
    scale = replace(qwen7b(2), held_out=50, llm_relative=5.0)
    study = Study(scale=scale, root="out", seeds=2)
    found = job_costs(study, study.jobs("main"), Throughput(tokens_per_s=1000), Hardware(gpu="h100", gpus=2))
    by_name = {cost.job.name: cost for cost in found}
    answers, training = 2 * 20 / 3600, 2 * 128 / 3600
    assert by_name["main/before/seed0"].hours == pytest.approx(6 * answers)
    assert by_name["main/before/seed1"].hours == pytest.approx(answers)
    assert by_name["main/corea/seed1"].hours == pytest.approx(training + answers)


def test_what_is_printed(capsys):
    job = Job(name="main/corea/seed0", commands=(("python", "-m", "corea.train", "signals=[a,b]"),))
    listed = [
        JobCost(job=job, training=10.0, answers=2.0, unknown=False),
        JobCost(job=replace(job, name="x/cold"), training=0.0, answers=0.0, unknown=True),
    ]
    show_costs(listed, Throughput(tokens_per_s=2e4), Hardware(gpu="h100", gpus=8, usd_hour=2.5))
    assert capsys.readouterr().out.splitlines() == [
        "# main/corea/seed0: 12.00 GPU hours, 30.00 USD",
        "python -m corea.train 'signals=[a,b]'",
        "# x/cold: no estimate",
        "python -m corea.train 'signals=[a,b]'",
        "# 2 jobs on 8 x h100: 12.00 GPU hours, 30.00 USD and a part without an estimate",
        "# training 10.00 GPU hours, 25.00 USD; answers 2.00 GPU hours, 5.00 USD",
        "# from the given throughput of 20,000 tokens per second",
    ]


def test_an_unknown_gpu_is_named():
    with pytest.raises(UserError, match=r"^GPU=h1000: allowed is cpu, "):
        Hardware(gpu="h1000")
