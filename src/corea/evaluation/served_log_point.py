"""Evaluating a served log: its settings, its folder, and the proposed operating point beside the running one.

Nothing swaps the two: the proposed point is a file, which takes effect when a server is started with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from corea.answers.pairs import Pairs
from corea.answers.served_answers import SERVED
from corea.answers.served_format import is_served_log
from corea.config.roots import EvaluateConfig
from corea.errors import UserError
from corea.evaluation.dataset import Evaluation
from corea.evaluation.results import Results
from corea.prices import USD

HALF = 0.5
"""Share of the questions on which thresholds are chosen, unless cascade.split_fraction says otherwise."""


def with_split(cfg: EvaluateConfig) -> EvaluateConfig:
    """The configuration, with calibration questions set aside: a served log has no split of its own."""
    if not is_served_log(cfg.answers) or cfg.cascade.split_fraction is not None:
        return cfg
    return replace(cfg, cascade=replace(cfg.cascade, split_fraction=HALF))


def results_folder(cfg: EvaluateConfig) -> Path:
    """Where results go: `out`, or the folder of the answers table, or FOLDER/evaluation for a served log.

    Raises UserError if the operating point that is running would be overwritten.
    """
    served = is_served_log(cfg.answers)
    folder = Path(cfg.out or (Path(cfg.answers) / "evaluation" if served else Path(cfg.answers).parent))
    point = folder / "operating_point.json"
    if served and point.exists():
        sha256 = hashlib.sha256(point.read_bytes()).hexdigest()
        if (Path(cfg.answers) / "operating_points" / f"{sha256}.json").exists():
            raise UserError(f"out={folder}: holds an operating point that served; allowed is another folder")
    return folder


def comparison(results: Results) -> list[str]:
    """For each dataset one line on the running point and one on the proposed one; empty for other tables."""
    served = results.answers.meta.get(SERVED)
    if served is None:
        return []
    lines = []
    if results.cfg.rule == "llm_accuracy" and all(e.large["accuracy"].value == 1 for e in results.everything.values()):
        lines.append(
            "without feedback the LLM is never wrong, so the rule llm_accuracy defers all that is not certain; "
            "cascade=max_drop chooses by agreement"
        )
    for name, evaluation in results.datasets.items():
        lines += _lines(name, evaluation, results, served)
    return [*lines, "the proposed operating point is not in use: a server is started with it by operating_point=FILE"]


def _lines(name: str, evaluation: Evaluation, results: Results, served: dict) -> list[str]:
    assert evaluation.test is not None
    before = ((served["document"] or {}).get("datasets") or {}).get(name) or {}
    deferral, accuracy, cost = _running(evaluation.test, served["deferred"])
    old = before.get("thresholds") or []
    where = f"{name}: running point {served['point'][:12]}"
    words = f"{_point_words(before.get('signal'), old)}: on {evaluation.questions:,} served test questions "
    running = f"{where}, {words}{_figures(deferral, accuracy, cost, evaluation.unit)}"
    chain, point = results.chain(name), evaluation.point(results.cfg.rule)
    choice = point.choice if chain is None else chain.choice
    figures = point.figures if chain is None else chain.figures
    threshold = point.choice.threshold
    new = chain.thresholds if chain is not None else [] if threshold is None else [threshold]
    if not new or not figures:
        return [running, f"{name}: proposed: none, the rule {choice.rule} finds no threshold: {choice.note}"]
    values = [figures[key].value for key in ("deferral_rate", "accuracy", "cost")]
    changes = [f"threshold {new[0] - old[0]:+.3g}"] if old and before.get("signal") == results.cfg.signal else []
    changes += [
        f"deferral {100 * (values[0] - deferral):+.1f} points",
        f"pass@1 {100 * (values[1] - accuracy):+.1f} points",
    ]
    changes += [f"cost {100 * (values[2] / cost - 1):+.1f} %"] if cost > 0 else []
    shown = _figures(values[0], values[1], values[2], evaluation.unit)
    proposed = f"{name}: proposed, {_point_words(results.cfg.signal, new)}: {shown}"
    return [running, f"{proposed}; {', '.join(changes)}"]


def _running(test: Pairs, deferred: frozenset[str]) -> tuple[float, float, float]:
    """Deferral rate, pass@1 and mean cost of the decisions that were taken."""
    passed = np.isin(test.question_id.astype(str), list(deferred))
    right = np.where(passed, test.llm_correct, test.slm_correct)
    return float(passed.mean()), float(right.mean()), float((test.slm_cost + passed * test.llm_cost).mean())


def _point_words(signal: str | None, thresholds: list[float]) -> str:
    found = ", ".join(f"{value:.3g}" for value in thresholds) or "unknown"
    return f"{signal or 'signal unknown'}, threshold {found}"


def _figures(deferral: float, accuracy: float, cost: float, unit: str) -> str:
    price = f"${1000 * cost:.4g} per 1,000" if unit == USD else f"{cost:.3f} LLM calls per question"
    return f"deferral {100 * deferral:.1f} %, pass@1 {accuracy:.3f}, {price}"
