"""report.html in a real headless Chromium: no error, the slider moves the numbers, tables sort, nothing overlaps."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from answer_tables import config
from corea.evaluation.pipeline import run_evaluation
from corea.evaluation.regrade import regrader
from corea.report.write_results import write_outputs

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ERRORS = """<script>window.seen = []; addEventListener("error", (e) => seen.push(e.message));
addEventListener("unhandledrejection", (e) => seen.push(String(e.reason)));
console.error = (...a) => seen.push(a.join(" "));</script>"""
HARNESS = """<!doctype html><body><pre id="out">nothing</pre>
<iframe id="page" src="report_test.html" style="width:%dpx;height:900px;border:0"></iframe><script>
const frame = document.getElementById("page"), wait = (ms) => new Promise((r) => setTimeout(r, ms));
async function main() {
  let w = frame.contentWindow, tries = 0;
  while ((!w.document.body || w.document.body.dataset.ready !== "true") && tries++ < 600) await wait(100);
  await wait(500);
  const d = w.document, text = (id) => d.getElementById(id).textContent, out = { width: w.innerWidth };
  out.ready = d.body.dataset.ready;
  out.wider = d.documentElement.scrollWidth - w.innerWidth;
  out.start = [text("at-threshold"), text("at-deferral"), text("at-accuracy"), text("at-cost")];
  const slider = d.getElementById("slider");
  slider.value = slider.max;
  slider.dispatchEvent(new w.Event("input"));
  await wait(200);
  out.moved = [text("at-threshold"), text("at-deferral"), text("at-accuracy"), text("at-cost")];
  out.hands = [text("hands-words"), d.getElementById("hands-body").rows.length];
  const table = d.querySelector("#hands table"), head = table.tHead.rows[0].cells[1];
  head.click(); head.click();
  out.sorted = Array.from(table.tBodies[0].rows).map((r) => parseFloat(r.cells[1].textContent));
  out.charts = Array.from(d.querySelectorAll(".chart")).map((c) => [c.id, c.querySelectorAll(".main-svg").length]);
  const chart = d.getElementById("chart-pareto");
  out.csv = w.chartCsv(chart).split("\\n").slice(0, 2);
  out.files = {};
  for (const c of d.querySelectorAll(".chart")) {
    if (c.hidden) continue;
    out.files[c.id] = [(await w.chartSvg(c)).slice(0, 4), w.chartCsv(c).split("\\n").length];
  }
  out.saves = d.querySelectorAll("button.save").length;
  const blocks = d.querySelectorAll(".tile, .card, .tabs button, .save, h1, .lead");
  const boxes = Array.from(blocks).map((e) => [e, e.getBoundingClientRect()]);
  out.overlaps = [];
  boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
    if (a.contains(b) || b.contains(a) || !p.width || !q.width) return;
    if (p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 1 && q.top < p.bottom - 1)
      out.overlaps.push(a.className + " / " + b.className);
  }));
  out.legends = [];
  d.querySelectorAll(".chart").forEach((c) => {
    const texts = Array.from(c.querySelectorAll(".legendtext")).map((e) => [e.textContent, e.getBoundingClientRect()]);
    const edge = c.getBoundingClientRect().right;
    texts.forEach(([name, p], i) => {
      if (p.right > edge + 1) out.legends.push(c.id + ": " + name + " is cut");
      texts.slice(i + 1).forEach(([other, q]) => {
        if (p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3)
          out.legends.push(c.id + ": " + name + " / " + other);
      });
    });
  });
  const details = d.querySelector("details");
  if (details) { details.open = true; out.texts = details.textContent.length; }
  out.opened = d.documentElement.scrollWidth - w.innerWidth;
  out.background = w.getComputedStyle(d.body).backgroundColor;
  const tab = d.querySelectorAll("[data-show]")[1];
  if (tab) tab.click();
  await wait(300);
  out.errors = w.seen;
  document.getElementById("out").textContent = JSON.stringify(out);
}
main().catch((e) => { document.getElementById("out").textContent = JSON.stringify({ failed: String(e) }); });
</script></body>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; apt-get install chromium brings one"),
]


@pytest.fixture
def page(run_folder: Path) -> Path:
    """A report with everything in it: a third tier, a further signal, and recorded verdicts to disagree with."""
    answers = run_folder / "answers.parquet"
    frame = pd.read_parquet(answers)
    middle = frame[frame["tier"] == 0].assign(model="middle", correct=True)
    frame = pd.concat([frame.replace({"tier": {1: 2}}), middle.assign(tier=1, cost_usd=3e-5)], ignore_index=True)
    frame["confidence_other"] = frame["confidence"] ** 2
    frame["question"], frame["gold"] = "A question with a long_word_" + "x" * 60, "\\frac{1}{2}"
    frame["text"] = np.where(frame["correct"], "<answer>0.5</answer>", "<answer>3</answer>")
    frame.loc[:40, "correct"] = False
    frame.to_parquet(answers, index=False)
    cfg = config(answers)
    cfg.plots, cfg.audit = False, "numeric"
    report = write_outputs(run_evaluation(cfg, regrader("numeric")), cfg).report
    assert report is not None
    text = report.read_text(encoding="utf-8")
    (run_folder / "report_test.html").write_text(text.replace("<head>", "<head>" + ERRORS, 1), encoding="utf-8")
    return run_folder


def browse(folder: Path, width: int, *flags: str) -> dict[str, Any]:
    (folder / "harness.html").write_text(HARNESS % width, encoding="utf-8")
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         f"--user-data-dir={folder / 'profile'}", "--window-size=1300,1000", "--virtual-time-budget=60000",
         *flags, "--dump-dom", (folder / "harness.html").as_uri()],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    match = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stderr[-500:]
    return json.loads(html.unescape(match[1]))


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_works_in_a_browser(page: Path, width: int) -> None:
    seen = browse(page, width)
    assert "failed" not in seen, seen
    assert seen["errors"] == []
    assert (seen["ready"], seen["width"]) == ("true", width)
    assert seen["wider"] <= 0, "the page is wider than the window"
    assert seen["overlaps"] == []
    assert seen["start"] != seen["moved"]
    assert seen["moved"][:2] == ["above 1", "100.0 %"]
    assert re.match(r"\d+ questions go to the large model: \d+ become right, \d+ become wrong", seen["hands"][0])
    assert seen["hands"][1] > 0
    assert seen["sorted"] == sorted(seen["sorted"], reverse=True)
    assert all(drawn > 0 for _, drawn in seen["charts"]), seen["charts"]
    assert seen["legends"] == []
    named = {"pareto", "prices", "reliability", "histogram", "thresholds", "signals", "tiers", "audit", "training"}
    assert set(seen["files"]) == {f"chart-{name}" for name in named}
    assert all(svg == "<svg" and lines > 2 for svg, lines in seen["files"].values()), seen["files"]
    assert seen["texts"] > 60
    assert seen["opened"] <= 0
    assert seen["csv"][0] == "series,x,y,low,high"
    assert seen["saves"] > 10


def test_dark(page: Path) -> None:
    light = browse(page, 1280)["background"]
    dark = browse(page, 1280, "--blink-settings=preferredColorScheme=0")
    assert dark["errors"] == []
    assert dark["background"] != light
