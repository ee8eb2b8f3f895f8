"""Measure corea.serve: python benchmarks/serving.py [--runs 5] [--small] [parts ...]

Parts:
- added: time that the server adds to its upstream's at 100 requests per second, kept and deferred questions apart
- saturation: requests per second of 64 connections that always ask, compared with LiteLLM's proxy and cascadeflow
- memory: growth of the server's resident memory over 100,000 requests
- embedded: answers per second of the tiny pair in the server, compared with `transformers serve`, at 32 connections

Servers run on one core, client and mock upstream on another. All servers of a part run at the same time and are
measured in turn; figures are medians of the runs, with the lowest and the highest. LiteLLM and cascadeflow need
environments of their own (--litellm, --cascadeflow: their Python; `make bench-serve` makes them). Prints Markdown.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import serving_servers as servers
import uvloop
from serving_load import Target, WrongAnswer, arrive, saturate, texts
from serving_mock import HARD

PARTS = ("added", "saturation", "memory", "embedded")
LATENCY_MS = 20.0
RATE, CONNECTIONS, EMBEDDED_CONNECTIONS = 100, 64, 32
FEW = 4
"""Connections to cascadeflow: its gateway closes each after one answer, and lets at most five wait to be accepted."""
MAX_TOKENS = 24
"""Of an answer of the embedded pair."""
THEIRS = "transformers serve"
KINDS = ("kept", "deferred", "one call")
Ask = tuple[Target, Callable[[int], str]]


@dataclass(frozen=True, slots=True)
class Size:
    """How long the measurements take."""

    runs: int
    arrivals: int
    """Requests of each kind in a run of `added`."""
    seconds: float
    """Of one measurement at saturation."""
    warm_up: int
    memory: int
    """Requests between the two looks at the memory."""


def easy(n: int) -> str:
    """A question whose first answer is kept."""
    return f"{100_000 + n} plus one"


def hard(n: int) -> str:
    """A question that is deferred."""
    return f"{100_000 + n} plus one {HARD}"


def corea_asks(url: str, stream: bool) -> dict[str, Ask]:
    """Kind of a request -> how it is asked. "one call": the last tier alone, as a proxy would pass it on."""
    target = Target(url=url, model="corea", stream=stream)
    alone = Target(url=url, model="corea", stream=stream, system="Be brief.")
    return dict(zip(KINDS, ((target, easy), (target, hard), (alone, easy)), strict=True))


def row(name: str, figures: list[float], digits: int = 1, bar: str = "") -> str:
    """A line of the table."""
    shown = [f"{value:,.{digits}f}" for value in (median(figures), min(figures), max(figures))]
    return f"| {name} | {shown[0]} | {shown[1]} – {shown[2]} | {bar} |"


def added(folder: Path, size: Size, options: argparse.Namespace) -> list[str]:
    """Milliseconds of a request through the server, less those of its upstream calls in the same run."""
    found: dict[str, list[float]] = {}
    with servers.mock(folder, LATENCY_MS) as mock, servers.corea(folder, servers.server_tiers(mock.url)) as corea:
        asks = corea_asks(corea.url, stream=False)
        targets = [asks["kept"], asks["deferred"], (Target(url=mock.url, model="llm"), easy)]
        uvloop.run(saturate(targets, connections=8, number=size.warm_up))
        for seed in range(size.runs):
            rate = RATE * len(targets) / 2  # two of three requests go through the server
            began = corea.processor_s
            times = uvloop.run(arrive(targets, rate=rate, number=size.arrivals, seed=seed))
            spent = 1000 * (corea.processor_s - began) / (2 * size.arrivals)
            found.setdefault("processor time per request", []).append(spent)
            upstream = 1000 * median(times[-1])
            for kind, calls, seconds in zip(KINDS, (1, 2), times, strict=False):
                late = sorted(1000 * one - calls * upstream for one in seconds)
                for name, at in (("p50", 0.5), ("p99", 0.99)):
                    found.setdefault(f"{kind}, {name}", []).append(late[int(at * (len(late) - 1))])
            jitter = sorted(times[-1])
            found.setdefault("upstream alone, p99 over p50", []).append(
                1000 * jitter[int(0.99 * (len(jitter) - 1))] - upstream
            )
    bars = {f"{kind}, {name}": bar for kind in KINDS for name, bar in (("p50", "≤ 2"), ("p99", "≤ 10"))}
    return [row(f"added ms at {RATE} requests/s: {k}", v, 2, bars.get(k, "")) for k, v in found.items()]


def saturation(folder: Path, size: Size, options: argparse.Namespace) -> list[str]:
    """Requests per second of all sides in turn."""
    rows, notes = [], []
    with ExitStack() as stack:
        upstream = stack.enter_context(servers.mock(folder, LATENCY_MS))
        ours = stack.enter_context(servers.corea(folder, servers.server_tiers(upstream.url)))
        others: dict[str, tuple[servers.Server, str]] = {}
        for name, start, python, model in (
            ("litellm", servers.litellm, options.litellm, "llm"),
            ("cascadeflow", servers.cascadeflow, options.cascadeflow, "cascadeflow"),
        ):
            if python is None or not python.exists():
                notes.append(f"{name} is not installed and left out.")
            else:
                others[name] = (stack.enter_context(start(folder, python, upstream.url)), model)
        for stream in (False, True):
            sides = {f"corea, {k}": (ours, ask) for k, ask in corea_asks(ours.url, stream).items()}
            for name, (server, model) in others.items():
                sides[name] = (server, (Target(url=server.url, model=model, stream=stream), easy))
            rows += _compare(sides, size, "streaming" if stream else "whole", notes)
    return rows + [f"\n{note}" for note in notes]


def _compare(sides: dict[str, tuple[servers.Server, Ask]], size: Size, how: str, notes: list[str]) -> list[str]:
    """The sides in turn, after a warm-up that checks their answers."""
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    for name, (_, ask) in list(sides.items()):
        try:
            uvloop.run(saturate([ask], connections=FEW, number=size.warm_up))
        except (WrongAnswer, ConnectionError) as error:
            if name.startswith("corea"):
                raise
            notes.append(f"{name}, {how}: left out, it does not give right answers ({error}).")
            del sides[name]
    for _ in range(size.runs):
        for name, (server, ask) in sides.items():
            began = server.processor_s
            most = FEW if name == "cascadeflow" else CONNECTIONS
            rate, answers = uvloop.run(saturate([ask], connections=most, seconds=size.seconds))
            rates.setdefault(name, []).append(rate)
            costs.setdefault(name, []).append(1000 * (server.processor_s - began) / answers)
    rows = []
    for name, found in rates.items():
        rows.append(row(f"requests/s, {how}: {name}", found))
        rows.append(row(f"processor ms per request, {how}: {name}", costs[name], 2))
    if "litellm" in rates:
        for kind in KINDS:
            ratios = [a / b for a, b in zip(rates[f"corea, {kind}"], rates["litellm"], strict=True)]
            rows.append(row(f"corea, {kind} / litellm, {how}", ratios, 1, "≥ 2"))
    return rows


def memory(folder: Path, size: Size, options: argparse.Namespace) -> list[str]:
    """Resident memory after the warm-up and after many requests, with the served log."""
    with servers.mock(folder, 0) as mock:
        log = f"serve.log_folder={folder / 'served'}"
        with servers.corea(folder, servers.server_tiers(mock.url), log) as corea:
            whole, streamed = (corea_asks(corea.url, stream) for stream in (False, True))
            mix = [whole["kept"], whole["deferred"], whole["kept"], streamed["kept"]]
            uvloop.run(saturate(mix, connections=CONNECTIONS, number=max(size.warm_up, size.memory // 8)))
            before = corea.rss_mib
            uvloop.run(saturate(mix, connections=CONNECTIONS, number=size.memory))
            after = corea.rss_mib
    return [
        row("resident MiB after the warm-up", [before]),
        row(f"growth over {size.memory:,} requests, %", [100 * (after / before - 1)], 1, "< 5"),
    ]


def embedded(folder: Path, size: Size, options: argparse.Namespace) -> list[str]:
    """Answers per second with the tiny SLM on both sides, and with the pair."""
    from corea.engines.loading import model_location

    model = model_location("package:tiny_slm")
    rng = random.Random(0)
    sums = [" + ".join(str(rng.randint(1, 9)) for _ in range(3 + n % 3)) for n in range(500)]

    def question(n: int) -> str:
        return f"State the final answer to the following arithmetic problem: {sums[n % len(sums)]} ="

    targets: dict[str, Target] = {}
    with ExitStack() as stack:
        for name, threshold in (("SLM alone", 0.0), ("pair", 0.5)):
            own = folder / name.split()[0]
            own.mkdir()
            tiers = servers.embedded_tiers(MAX_TOKENS)
            server = stack.enter_context(servers.corea(own, tiers, threshold=threshold))
            targets[f"corea, {name}"] = Target(url=server.url, model="corea", checked=False, tags=True)
        # Without --continuous-batching, with which it gives no answer on a CPU.
        server = stack.enter_context(servers.transformers_serve(folder, model))
        asked = {"max_tokens": MAX_TOKENS, "temperature": 0.0, "checked": False}
        targets[THEIRS] = Target(url=server.url, model=model, **asked)
        sample = [question(n) for n in range(EMBEDDED_CONNECTIONS)]
        answers = {name: uvloop.run(texts(target, sample)) for name, target in targets.items()}
        rates: dict[str, list[float]] = {name: [] for name in targets}
        for _ in range(size.runs):
            for name, target in targets.items():
                asks = [(target, question)]
                rate, _ = uvloop.run(saturate(asks, connections=EMBEDDED_CONNECTIONS, seconds=2 * size.seconds))
                rates[name].append(rate)
    rows = [row(f"answers/s, at most {MAX_TOKENS} tokens: {name}", found) for name, found in rates.items()]
    for name in ("corea, SLM alone", "corea, pair"):
        ratios = [a / b for a, b in zip(rates[name], rates[THEIRS], strict=True)]
        rows.append(row(f"{name} / {THEIRS}", ratios, 1, "≥ 2"))
    equal = sum(a == b for a, b in zip(answers["corea, SLM alone"], answers[THEIRS], strict=True))
    return [*rows, f"\nThe SLM gives the same text on both sides for {equal} of {len(sample)} questions."]


def main() -> None:
    """Print one table."""
    from corea.provenance import cpu_name

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a few seconds: only shows that everything runs")
    parser.add_argument("--litellm", type=Path, help="Python of an environment with litellm[proxy]")
    parser.add_argument("--cascadeflow", type=Path, help="Python of an environment with cascadeflow[openai]")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; allowed is {', '.join(PARTS)}")
    size = Size(options.runs, 600, 3.0, 500, 100_000)
    if options.small:
        size = Size(1, 20, 0.3, 20, 400)
    servers.pin(servers.CLIENT_CORE)
    gc.freeze()
    print(f"{cpu_name()}, {os.cpu_count()} cores; {size.runs} runs\n")
    print("| | median | lowest – highest | bar |\n|---|---:|---:|---:|", flush=True)
    for part in options.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            print("\n".join(globals()[part](Path(folder), size, options)), flush=True)


if __name__ == "__main__":
    main()
