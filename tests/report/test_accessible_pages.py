"""The pages of corea.evaluate and corea.compare for keyboards, screen readers, dark screens and paper."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from answer_tables import config, simulated
from axe_checks import faults
from chromium_pipe import CHROMIUM, Chromium
from corea.comparing.comparison import compare_runs
from corea.comparing.comparison_files import write_comparison
from corea.comparing.former_report import against_former
from corea.config import CompareConfig
from corea.evaluation.pipeline import run_evaluation
from corea.report.write_results import write_outputs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; apt-get install chromium brings one"),
]
READY = "document.body.dataset.ready === 'true'"
KEY = """({ value: document.getElementById("slider").value, words: document.getElementById("slider").ariaValueText
  || document.getElementById("slider").getAttribute("aria-valuetext"), at: document.activeElement.id })"""
DRAWN = """Array.from(document.querySelectorAll(".chart:not([hidden]) .main-svg:first-child"), (e) =>
  [Number(e.getAttribute("width")), Number(e.getAttribute("height")), e.closest(".chart").clientHeight])"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """A report on three tiers with a former report, one on two tiers, and a comparison of both."""
    folder = tmp_path_factory.mktemp("pages")
    now, before = simulated()
    middle = now[now["tier"] == 0].assign(model="middle", correct=True, tier=1, cost_usd=3e-5)
    three = pd.concat([now.replace({"tier": {1: 2}}), middle], ignore_index=True)
    three["confidence_other"] = three["confidence"] ** 2
    found = {}
    for name, frame in (("pair", now), ("three", three)):
        answers = folder / name / "answers.parquet"
        answers.parent.mkdir()
        frame.to_parquet(answers, index=False)
        before.to_parquet(answers.with_name("answers_before.parquet"), index=False)
        cfg = replace(config(answers), plots=False, former=str(folder / "pair") if name == "three" else None)
        results = run_evaluation(cfg)
        former = against_former(results, cfg) if cfg.former else None
        found[name] = write_outputs(results, cfg, former).report
    runs = [str(folder / "pair"), str(folder / "three" / "answers.parquet")]
    compared = CompareConfig(runs=runs, plots=False, differences=False, cascade=config(folder).cascade)
    found["comparison"] = write_comparison(compare_runs(compared), compared, folder / "comparison").page
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", ["pair", "three", "comparison"])
def test_axe_finds_nothing(pages, browser, page, width, dark):
    browser.open(pages[page].as_uri(), width, dark)
    browser.until(READY, 60)
    assert faults(browser) == []
    assert browser.errors() == []
    assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0


def press(browser: Chromium, key: str, code: int, text: str = "") -> None:
    for kind in ("keyDown", "keyUp"):
        typed = {"text": text} if kind == "keyDown" and text else {}
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **typed)


def test_the_keyboard_moves_the_slider_chooses_a_dataset_and_sorts_a_table(pages, browser):
    browser.open(pages["pair"].as_uri(), 1280, False)
    browser.until(READY, 60)
    browser.run("document.getElementById('slider').focus()")
    before = browser.run(KEY)
    press(browser, "ArrowRight", 39)
    after = browser.run(KEY)
    assert after["at"] == "slider"
    assert int(after["value"]) == int(before["value"]) + 1
    assert after["words"] != before["words"]
    assert re.fullmatch(r"threshold [\d.]+|everything deferred", after["words"])
    browser.run("document.querySelectorAll('[data-show]')[1].focus()")
    press(browser, "Enter", 13, "\r")
    pressed = "Array.from(document.querySelectorAll('[data-show]'), (b) => b.getAttribute('aria-pressed'))"
    assert browser.run(pressed) == ["false", "true", "false", "false"]
    browser.run("Array.from(document.querySelectorAll('thead .sort')).find((b) => b.getClientRects().length).focus()")
    press(browser, "Enter", 13, "\r")
    assert browser.run("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"


def test_a_dark_narrow_page_prints_light_and_at_the_width_of_the_paper(pages, browser):
    browser.open(pages["three"].as_uri(), 390, True)
    browser.until(READY, 60)
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    drawn = browser.run(DRAWN)
    assert {width for width, _, _ in drawn} == {680}
    assert all(height == box for _, height, box in drawn), drawn
    assert browser.run("getComputedStyle(document.documentElement).getPropertyValue('--card').trim()") == "#ffffff"
    browser.call("Emulation.setEmulatedMedia", media="print")
    unseen = ".choice, .saves, .live"
    shown = f"Array.from(document.querySelectorAll('{unseen}')).filter((e) => e.getClientRects().length).length"
    assert browser.run(shown) == 0
    cut = "Array.from(document.querySelectorAll('.scroll')).map((e) => [e.scrollWidth, e.textContent.slice(0, 60)])"
    assert [table for table in browser.run(cut) if table[0] > 680] == []
    browser.call("Emulation.setEmulatedMedia", media="")
    browser.run("window.dispatchEvent(new Event('afterprint'))")
    assert max(width for width, _, _ in browser.run(DRAWN)) < 390
    pdf = base64.b64decode(browser.call("Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF")
    assert 5 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 14
    assert browser.errors() == []


def test_with_more_than_two_tiers_the_chains_are_the_first_figure(pages, browser):
    browser.open(pages["three"].as_uri(), 1280, False)
    browser.until(READY, 60)
    first = "Array.from(document.querySelectorAll('.chart'), (c) => c.id)[0]"
    assert browser.run(first) == "chart-tiers"
    heading = "Array.from(document.querySelectorAll('h2'), (h) => h.textContent)"
    assert browser.run(heading)[0] == "What to do"
    assert "Against the former report" in browser.run(heading)
