"""A slice of the study from its first command to its tables, and its command line."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import run as paper
from study.jobs import run_jobs
from study.plan import Study
from study.recipes import chosen_recipes
from study.report import with_block
from study.scales import tiny

CHECKOUT = Path(__file__).parents[2]
FEW = " ".join(
    f"data.families.{family}.{split}={size}"
    for family in ("in_domain", "other_math", "non_math")
    for split, size in (("calibration", 116), ("test", 24))
)


@pytest.mark.slow
def test_a_slice_of_two_rewards_runs_to_its_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    slice_of = ["--part", "main", "--steps", "1", "--seeds", "1", "--only", "rlvr corea", "--data", FEW]
    assert paper.main([*slice_of, "--out", "study", "--jobs", "2", "--resamples", "40"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "3 jobs in study, 0 finished before"
    assert shown.splitlines()[-1] == "report: study/README.md"
    text = Path("study/README.md").read_text()
    assert "3 of 3 jobs are finished; 1 training steps instead of 320: **a shortened run**" in text
    table = text[text.index("| system |") : text.index("By `max_drop`")].splitlines()
    names = [line.split(" | ")[0].removeprefix("| ") for line in table if line.startswith("| ")][2:]
    assert names == [
        *("SLM alone, before RL", "SLM alone, rlvr", "SLM alone, corea", "LLM alone", "before RL", "rlvr"),
        *("rlvr + avg_prob", "rlvr + probe", "rlvr + router", "corea", "corea + expected", "corea + combined"),
        *("random deferral", "oracle deferral"),
    ]
    pictures = re.findall(r"\]\((tiny_\w+\.png)\)", text)
    assert len(pictures) == 4
    assert all((tmp_path / "study" / name).stat().st_size > 10_000 for name in pictures)
    recipes = chosen_recipes(["rlvr", "corea"])
    study = Study(scale=tiny(), root="study", seeds=1, steps=1, extra=tuple(FEW.split()), recipes=recipes)
    said = []
    assert run_jobs(study.jobs("main"), tmp_path / "study", say=said.append) == []
    assert said == []  # nothing runs twice


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--scale", "huge"], "SCALE=huge: allowed is tiny, broad, qwen7b"),
        (["--part", "x"], "PART=x: allowed is main, ablations, all, report"),
        (["--steps", "0"], "STEPS=0: allowed is a number from 1 on"),
        (["--only", "rlvr corae"], "ONLY=corae: allowed is before, rlvr, brier, l1_sample, corea"),
        (["--dry", "--gpu", "h1"], "GPU=h1: allowed is cpu, "),
    ],
)
def test_a_mistake_is_one_line(arguments, line, capsys):
    assert paper.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"paper: {line}")
    assert (shown.out, shown.err.count("\n")) == ("", 1)


def test_make_passes_its_variables_on():
    given = ["SCALE=qwen7b", "DRY=1", "RUN=outputs/short", "USD_HOUR=2.5", "ONLY=rlvr corea", "VENV=elsewhere"]
    make = ["make", "--no-print-directory", "--dry-run", "--assume-old", "elsewhere/.ready", "paper"]
    done = subprocess.run([*make, *given], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    words = re.sub(r"\s+", " ", done.stdout.replace("\\\n", " "))
    assert words.rstrip().endswith(
        "elsewhere/bin/python experiments/paper/run.py --scale qwen7b --part all --jobs 1 --seeds 3 "
        "--only 'rlvr corea' --dry --run outputs/short --usd-hour 2.5"
    )
    plain = subprocess.run([*make, "VENV=elsewhere"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "--run" not in plain.stdout.partition("run.py")[2]


def test_the_committed_readme_has_the_markers_of_the_tiny_scale():
    text = (CHECKOUT / "experiments" / "paper" / "README.md").read_text(encoding="utf-8")
    block = with_block(text, "tiny", "x")
    assert len(block) <= len(text)
