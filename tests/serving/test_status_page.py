"""The page of a server in a real headless Chromium: it answers, its figures are right, and everything is readable."""

from __future__ import annotations

import pytest
from serve_helpers import StreamServer, echo_tier, running, server_tier
from test_watched_server import SLM, WATCHED

from axe_checks import faults
from chromium_pipe import CHROMIUM, Chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; apt-get install chromium brings one"),
]

ASK = """(async () => {
  document.getElementById("question").value = %r;
  document.getElementById("send").click();
  while (!document.getElementById("send").disabled) await new Promise((r) => setTimeout(r, 5));
})()"""
STATE = """({
  answer: document.getElementById("answer").textContent,
  costs: document.getElementById("costs").textContent,
  steps: Array.from(document.querySelectorAll(".step"), (s) => [s.className, s.querySelector(".verdict").textContent]),
  gauge: Array.from(document.querySelectorAll(".step svg")).map((s) => s.getAttribute("aria-label")),
  trouble: document.getElementById("trouble").textContent,
  saved: document.getElementById("saved").textContent,
  tiers: Array.from(document.querySelectorAll("#tiers tr")).map((r) => Array.from(r.cells).map((c) => c.textContent)),
  bars: Array.from(document.querySelectorAll("#histogram .served")).map((r) => Number(r.getAttribute("height"))),
  wider: document.documentElement.scrollWidth - innerWidth,
})"""
CONTRAST = """(() => {
  const parts = (c) => c.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (c) => { const [r, g, b] = parts(c).map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$|transparent/.test(c)) return c; } return "rgb(255, 255, 255)"; };
  const low = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.textContent.trim()) || e.value;
    if (!own || !e.getClientRects().length || /SCRIPT|STYLE/.test(e.tagName)) continue;
    const style = getComputedStyle(e), ink = e.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) low.push([e.tagName, e.textContent.slice(0, 40), ink, behind(e)]);
  }
  return low;
})()"""
UNLABELLED = """Array.from(document.querySelectorAll("input, textarea, select, button, svg[role=img]")).filter((e) =>
  !(e.labels && e.labels.length) && !e.textContent.trim() && !e.getAttribute("aria-label")).map((e) => e.id)"""
OUTSIDE = """Array.from(document.querySelectorAll("main *")).filter((e) => { const box = e.getBoundingClientRect();
  return e.getClientRects().length && (box.right > innerWidth + 1 || box.left < -1); }).map((e) => e.tagName + e.id)"""


@pytest.fixture(scope="module")
def upstream():
    with StreamServer(step=6) as server:
        yield server


@pytest.fixture(scope="module")
def server(upstream, tmp_path_factory):
    tiers = [echo_tier(0), server_tier(1, upstream.url)]
    with running(tmp_path_factory.mktemp("page"), tiers, "budget_usd=100", point=WATCHED) as one:
        yield one


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("browser")) as one:
        yield one


def ask(browser: Chromium, text: str) -> dict:
    browser.run(ASK % text)
    browser.until("!document.getElementById('send').disabled")
    return browser.run(STATE)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_question_and_the_figures(server, upstream, browser, tmp_path_factory, width, dark):
    browser.open(f"{server.url}/", width, dark)
    browser.until("document.body.dataset.ready === 'true'")
    kept = ask(browser, "41 sure")
    assert kept["answer"] == "41"
    assert kept["steps"] == [["step kept", "kept"], ["step unused", "not asked"]]
    assert kept["gauge"] == ["confidence 0.90, threshold 0.50"]
    assert kept["costs"] == "This question cost $0.000013. The last tier alone costs $0.00040 on average."
    ask(browser, "42 unsure")
    browser.until("document.getElementById('deferral').textContent === '50.0 %'")  # the next figures
    low = browser.run(STATE)
    assert low["answer"] == "42"
    assert low["steps"] == [["step deferred", "passed on"], ["step kept", "answered"]]
    assert low["gauge"] == ["confidence 0.10, threshold 0.50"]
    assert "Why it was passed on: confidence below the threshold." in low["costs"]
    assert low["trouble"] == ""
    assert low["saved"].startswith("$0.00")
    assert [row[:2] for row in low["tiers"]] == [["model0", "ready"], ["model1", "ready"]]
    first, ninth = low["bars"][0], low["bars"][8]
    assert first == ninth > 0
    assert sum(low["bars"]) == first + ninth
    browser.screenshot(tmp_path_factory.getbasetemp() / f"page-{width}-{'dark' if dark else 'light'}.png")
    assert low["wider"] <= 0
    assert browser.run(OUTSIDE) == []
    assert browser.run(CONTRAST) == []
    assert browser.run(UNLABELLED) == []
    assert faults(browser) == []
    assert browser.errors() == []
    assert {address.rsplit("/", 1)[0] for address in browser.requested() if not address.startswith("data:")} <= {
        *(server.url, f"{server.url}/v1/corea", f"{server.url}/v1/chat")
    }
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(18, 24, 30)" if dark else "rgb(245, 247, 249)")


def test_the_work_of_a_slow_tier_is_seen_while_it_lasts(server, upstream, browser):
    browser.open(f"{server.url}/", 1280, False)
    browser.until("document.body.dataset.ready === 'true'")
    browser.run(ASK % "43 sure slow 1 ")
    assert browser.run(STATE)["steps"] == [["step busy", "works …"], ["step unused", "waits"]]
    browser.until("!document.getElementById('send').disabled")
    text, pause = upstream.text, upstream.pause
    upstream.text, upstream.pause = (lambda question: "<answer>" + "word " * 40 + "</answer>"), 0.05
    try:
        browser.run(ASK % "44 unsure")
        browser.until("document.getElementById('answer').textContent.length > 20")
        assert browser.run(STATE)["steps"] == [["step deferred", "passed on"], ["step busy", "answers …"]]
        browser.until("!document.getElementById('send').disabled")
    finally:
        upstream.text, upstream.pause = text, pause


def test_failures_alarms_and_missing_keys_are_shown(upstream, browser, tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "drift_alarm.json").write_text('{"reason": "sums: deferral rate 0.9", "time_s": 1}')
    (tmp_path / "keys").write_text("sk-one\n")
    options = [f"serve.log_folder={tmp_path / 'log'}", f"serve.keys_file={tmp_path / 'keys'}", "serve.tries=1"]
    tiers = [echo_tier(0), server_tier(1, upstream.url)]
    with running(tmp_path, tiers, *options, "serve.unbound=true", point=WATCHED) as server:
        browser.open(f"{server.url}/", 390, True)
        browser.until("!document.getElementById('key-box').hidden")
        assert browser.run(STATE)["trouble"] == "This server asks for an API key."
        browser.run("$('key').value = 'sk-one'; $('key').dispatchEvent(new Event('change'))")
        browser.until("document.body.dataset.ready === 'true'")
        assert browser.run(STATE)["trouble"] == ""
        assert browser.run("$('alarm').textContent") == "Drift alarm: sums: deferral rate 0.9"
        assert browser.run("$('unbound').hidden") is False
        assert ask(browser, "41 sure")["answer"] == "41"
        upstream.fault = lambda key, attempt: "500"
        try:
            failed = ask(browser, "42 unsure")
        finally:
            upstream.fault = lambda key, attempt: None
        assert failed["steps"] == [["step deferred", "passed on"], ["step failed", "no answer"]]
        assert "model1: HTTP 500" in failed["trouble"]
        assert failed["answer"] == ""
        assert browser.run(CONTRAST) == []
        assert browser.run(OUTSIDE) == []
        assert f"cost ${SLM:.6f}" in browser.run("document.querySelector('.step').textContent")
