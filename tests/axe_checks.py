"""axe-core on an open page, and what it cannot see: names, headers of tables."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from chromium_pipe import Chromium

RUN = """axe.run({ resultTypes: ["violations"] }).then((found) => JSON.stringify(
  found.violations.map((v) => [v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160))])))"""
PLAIN = 'document.querySelectorAll(".scroll").forEach((e) => { e.style.background = "none"; })'
"""Without the shadow of a table's edge, so that axe can tell the colour behind its text."""
WITHOUT_SCOPE = 'Array.from(document.querySelectorAll("th:not([scope])"), (th) => th.textContent)'
UNNAMED = """Array.from(document.querySelectorAll("input, textarea, select, button, [role=img]")).filter((e) =>
  !(e.labels && e.labels.length) && !e.textContent.trim() && !e.getAttribute("aria-label")).map((e) => e.outerHTML)"""


def axe_source() -> str:
    """axe.min.js of the newest package that is installed; skips the test without one."""
    for package in ("axe_playwright_python", "axe_core_python"):
        found = importlib.util.find_spec(package)
        if found is not None and found.submodule_search_locations:
            return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")
    pytest.skip("no axe-core; pip install axe-core-python brings one")


def faults(browser: Chromium) -> list:
    """What axe finds on the open page, tables without scopes, and controls and pictures without names."""
    browser.run(PLAIN)
    browser.run(axe_source() + ";0")
    return [*json.loads(browser.run(RUN)), *browser.run(WITHOUT_SCOPE), *browser.run(UNNAMED)]
