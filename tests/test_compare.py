"""The verb corea.compare, as a user starts it, its page in a browser, and the line at the end of a sweep."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from command_line import shell
from compared_tables import random_table, run_folder
from corea.compare import main
from corea.composition import compose
from corea.config import CascadeConfig, CompareConfig, NoLoggerConfig, WandbConfig
from corea.run_folder import use_run_dir
from corea.sweep_ends import compare_line
from wandb_file import read_run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ERRORS = """<script>window.seen = []; addEventListener("error", (e) => seen.push(e.message));
addEventListener("unhandledrejection", (e) => seen.push(String(e.reason)));</script>"""


def test_the_results_of_a_sweep_go_beside_its_jobs(tmp_path, capsys):
    for number, reward in enumerate(("corea", "rlvr")):
        run_folder(tmp_path / str(number), reward)
    cfg = compose("compare", f"sweep={tmp_path}", "plots=false", "report=false", "logger=none", "metrics=[ece]")
    with use_run_dir(tmp_path / "comparison"):
        main(cfg)
    shown = capsys.readouterr().out
    assert re.search(r"reward=rlvr +1 +0\.100", shown)
    assert f"comparison: {tmp_path}/comparison/comparison.csv" in shown
    assert {"compare.yaml", "comparison.csv", "differences.csv"} <= {
        p.name for p in (tmp_path / "comparison").iterdir()
    }


def test_the_line_at_the_end_of_a_sweep(tmp_path):
    """tests/test_jobs.py reads it from a sweep."""
    assert compare_line(tmp_path / "none") == ""
    run_folder(tmp_path / "0")
    assert compare_line(tmp_path) == ""
    run_folder(tmp_path / "1")
    assert compare_line(tmp_path) == f"compare: python -m corea.compare sweep={tmp_path}"


def test_odd_paths_of_a_sweep_are_quoted_for_shell_and_hydra(tmp_path):
    odd = tmp_path / "it's (one), a=b"
    odd.mkdir()
    for name in ("0", "1"):
        run_folder(odd / name)
    *_, argument = shlex.split(compare_line(odd))
    assert compose("compare", argument).sweep == str(odd)


@pytest.mark.slow
def test_tables_on_the_command_line(tmp_path):
    a, b = (random_table(tmp_path / name, seed) for seed, name in enumerate(("a.jsonl", "b.jsonl")))
    options = ["runs=[a.jsonl,b.jsonl]", "logger=none", "cascade.resamples=100"]
    done = shell("-m", "corea.compare", *options, "out=both", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sums: difference from a.jsonl" in done.stdout
    assert done.stdout.splitlines()[-1] == "comparison: both/comparison.html"
    assert {p.name for p in (tmp_path / "both" / "plots").iterdir()} == {"pareto.png", "pareto.svg"}
    assert a.exists()
    b.write_text("".join(line for line in b.read_text().splitlines(keepends=True) if '"test7"' not in line))
    done = shell("-m", "corea.compare", *options, "out=other", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "corea.compare: b.jsonl: dataset sums: lacks 1 of the 80 test questions of a.jsonl (test7); differences=false "
        "compares the figures alone\n"
    )
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_wandb_gets_everything(tmp_path):
    tables = [random_table(tmp_path / name, seed) for seed, name in enumerate(("a.jsonl", "b.jsonl"))]
    main(
        CompareConfig(
            runs=[str(table) for table in tables],
            out=str(tmp_path / "out"),
            cascade=CascadeConfig(name="test", resamples=50),
            logger=WandbConfig(mode="offline"),
        )
    )
    run = read_run(tmp_path / "out")
    logged = {key: value for row in run["history"] for key, value in row.items()}
    assert logged["compare/comparison"]["_type"] == logged["compare/differences"]["_type"] == "table-file"
    assert logged["compare/pareto"]["_type"] == "image-file"
    assert logged["compare/page"]["_type"] == "html-file"
    chart = run["config"]["_wandb"]["visualize"]["compare/sums/accuracy_over_cost"]["panel_config"]
    assert chart["panelDefId"] == "wandb/lineseries/v0"
    assert 0 < run["summary"]["sums/a.jsonl/slm/accuracy"] < 1


PROBE = """<script>addEventListener("load", async () => {
  for (let i = 0; i < 300 && document.body.dataset.ready !== "true"; i++) await new Promise((r) => setTimeout(r, 50));
  document.querySelectorAll("[data-show]")[1].click();
  document.querySelectorAll("[data-show]")[0].click();
  const charts = Array.from(document.querySelectorAll(".chart")).map((c) => c.querySelectorAll(".main-svg").length);
  const fits = document.documentElement.scrollWidth <= innerWidth;
  const out = [document.body.dataset.ready, fits, charts.every(Boolean), charts.length,
    seen.length, document.querySelectorAll("tbody tr").length];
  document.title = "seen " + JSON.stringify(out);
});</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; apt-get install chromium brings one")
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_works_in_a_browser(tmp_path: Path, width: int):
    runs = [run_folder(tmp_path / f"{r}{s}", r, s, steps=30) for r in ("corea", "rlvr") for s in (0, 1)]
    cfg = CompareConfig(
        runs=[str(run) for run in runs],
        out=str(tmp_path / "out"),
        metrics=["slm/ece", "training/reward"],
        logger=NoLoggerConfig(),
        plots=False,
    )
    main(cfg)
    page = tmp_path / "page.html"
    text = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    page.write_text(text.replace("<head>", "<head>" + ERRORS + PROBE, 1), encoding="utf-8")
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         f"--window-size={width},1000", "--virtual-time-budget=60000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    seen = re.search(r"<title>seen (.*?)</title>", done.stdout)
    assert seen, done.stderr[-500:]
    # 2 groups in 2 tables for each of 2 datasets less the row of the reference, and 4 runs
    assert seen[1] == '["true",true,true,2,0,10]'
