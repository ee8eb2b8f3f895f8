"""The systems of the main tables, measured on the answers of the finished runs.

A cascade is evaluated as corea.evaluate does it: the rules choose thresholds on the calibration questions, anew on each
of their resamples; all figures are those of the test questions. Every system uses the same resamples of the questions.
Legend: S seeds, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from corea.answers.pairs import Pairs
from corea.comparing.paired_figures import Draws, answers_of, draw_figures, require_same_questions
from corea.comparing.run_sources import ComparedRun
from corea.config import CascadeConfig, EvaluateConfig
from corea.errors import UserError
from corea.evaluation.question_sets import question_sets
from study.jobs import is_finished
from study.plan import Study, main_name
from study.recipes import BEFORE, REFERENCE, Recipe

RULES = ("llm_accuracy", "max_drop")
"""The paper's rule, and the one that bounds the loss of accuracy."""
ALONE, LLM, CASCADE, ROUTER, RANDOM, ORACLE = "alone", "llm", "cascade", "router", "random", "oracle"
"""Kinds of systems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One row of the main tables."""

    name: str
    recipe: str
    """Its SLM."""
    kind: str = CASCADE
    signal: str = "verbalized"

    @property
    def is_cascade(self) -> bool:
        """Whether it defers by a signal; the others are there for reference."""
        return self.kind in (CASCADE, ROUTER)


def systems_of(recipes: tuple[Recipe, ...]) -> list[System]:
    """Each SLM alone, the LLM alone, the cascades of each SLM, random and oracle deferral."""
    shown = {recipe.name: "before RL" if recipe.name == BEFORE else recipe.name for recipe in recipes}
    rows = [System(name=f"SLM alone, {shown[r.name]}", recipe=r.name, kind=ALONE) for r in recipes]
    rows.append(System(name="LLM alone", recipe=REFERENCE, kind=LLM))
    for recipe in recipes:
        rows.append(System(name=shown[recipe.name], recipe=recipe.name))
        for signal in recipe.signals:
            kind = ROUTER if signal == "router" else CASCADE
            rows.append(System(name=f"{shown[recipe.name]} + {signal}", recipe=recipe.name, kind=kind, signal=signal))
    rows.append(System(name="random deferral", recipe=REFERENCE, kind=RANDOM))
    rows.append(System(name="oracle deferral", recipe=REFERENCE, kind=ORACLE))
    return rows


@dataclass(slots=True, kw_only=True)
class Results:
    """All measured systems."""

    of: dict[str, dict[str, dict[int, Draws]]] = field(default_factory=dict)
    """Family -> system -> seed -> its figures; a system without a finished run is absent."""
    notes: list[str] = field(default_factory=list)
    """Systems that a finished run does not allow, with the reason."""
    unit: str = "usd"
    """Unit of cost."""


def measure_systems(study: Study, cfg: CascadeConfig) -> Results:
    """Measure every system whose runs are finished."""
    results = Results()
    first: dict[str, tuple[str, Pairs]] = {}
    for recipe in study.recipes:
        rows = [system for system in systems_of(study.recipes) if system.recipe == recipe.name]
        for seed in range(study.seeds):
            if not is_finished(study.main_job(recipe, seed), Path(study.root)):
                continue
            path = f"{study.root}/{main_name(recipe.name, seed)}/answers.parquet"
            for asked in _questions(path, rows, cfg, results.notes):
                name, reference = first.setdefault(asked.family, (path, asked.test))
                require_same_questions(reference, asked.test, (name, path), asked.family, "test")
                results.unit = asked.test.unit
                for system, found in asked.measure():
                    results.of.setdefault(asked.family, {}).setdefault(system.name, {})[seed] = found
    return results


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The questions of one run, one family and one signal, and the systems that are measured on them."""

    systems: list[System]
    family: str
    test: Pairs
    known: Pairs | None
    """Calibration questions."""
    cfg: CascadeConfig

    def measure(self) -> Iterator[tuple[System, Draws]]:
        """Each system with its figures; those that share the cascade's draws share the work."""
        shared: Draws | None = None
        for system in self.systems:
            if system.kind in (ORACLE, ROUTER):
                draws = drawn(system.kind, self.test, self.known, self.family, self.cfg)
            else:
                shared = draws = shared or drawn(CASCADE, self.test, self.known, self.family, self.cfg)
            yield system, in_standard(system.kind, draws, self.test.unit)


def _questions(path: str, rows: list[System], cfg: CascadeConfig, notes: list[str]) -> Iterator[Asked]:
    """The questions of one run, signal by signal."""
    run = ComparedRun(path=path, evaluation=EvaluateConfig(answers=path, cascade=cfg))
    answers, cascade = answers_of(run, cfg)
    for signal in dict.fromkeys(system.signal for system in rows):
        own = replace(cascade, signal=signal, compare=False)
        try:
            sets = question_sets(answers, None, own)
        except UserError as error:  # too few questions to fit a signal on
            notes.append(str(error))
            continue
        systems = [system for system in rows if system.signal == signal]
        for family in sets.names:
            test, known, _ = sets.parts(family, own)
            yield Asked(systems=systems, family=family, test=test, known=known, cfg=own)


def drawn(kind: str, test: Pairs, known: Pairs | None, family: str, cfg: CascadeConfig) -> Draws:
    """Figures of one kind of system on the test questions of one family, as draw_figures names them."""
    if kind == ORACLE:
        only_llm = test.llm_correct & ~test.slm_correct
        perfect = replace(test, confidence=np.where(only_llm, 0.0, 1.0))
        return draw_figures(perfect, None, family, replace(cfg, rule="fixed", threshold=0.5), ())
    if kind == ROUTER:
        # It decides before the SLM answers, so a deferred question costs the LLM alone.
        test = replace(test, llm_cost=test.llm_cost - test.slm_cost)
        if known is not None:
            known = replace(known, llm_cost=known.llm_cost - known.slm_cost)
    return draw_figures(test, known, family, cfg, [f"{rule}/" for rule in RULES])


def in_standard(kind: str, draws: Draws, unit: str) -> Draws:
    """The same figures under the names of `standard`."""
    return replace(draws, of=standard(kind, draws.of, unit), values=standard(kind, draws.values, unit))


def measured(kind: str, test: Pairs, known: Pairs | None, family: str, cfg: CascadeConfig) -> Draws:
    """Figures of one kind of system under the names of `standard`."""
    return in_standard(kind, drawn(kind, test, known, family, cfg), test.unit)


def standard(kind: str, found: Mapping[str, Any], unit: str) -> dict[str, Any]:
    """The figures of a kind of system under common names, from values or draws [R] of draw_figures.

    A rule that finds no threshold on the calibration questions gives the LLM alone, without the SLM.
    RULE/accuracy, RULE/cost_change, RULE/deferral_rate of each rule; slm/ece, slm/auroc; areas/area, areas/area_gain.
    """
    slm_cost, llm_cost = found[f"slm/cost_{unit}"], found[f"llm/cost_{unit}"]
    with np.errstate(divide="ignore", invalid="ignore"):
        alone = np.divide(slm_cost, llm_cost) - 1
    none = 0 * found["slm/accuracy"]
    if kind == ALONE:
        point = {"accuracy": found["slm/accuracy"], "cost_change": alone, "deferral_rate": none}
        return _at_rules(point) | {name: found[name] for name in ("slm/ece", "slm/auroc") if name in found}
    llm_alone = _at_rules({"accuracy": found["llm/accuracy"], "cost_change": none, "deferral_rate": none + 1})
    if kind == LLM:
        return llm_alone
    if kind == RANDOM:
        gap, kept = found["llm/accuracy"] - found["slm/accuracy"], {}
        for rule in RULES:
            if f"{rule}/deferral_rate" in found:
                rate = found[f"{rule}/deferral_rate"]
                point = {"accuracy": found["slm/accuracy"] + rate * gap, "cost_change": alone + rate}
                kept |= {f"{rule}/{name}": value for name, value in (point | {"deferral_rate": rate}).items()}
        return llm_alone | kept | {"areas/area": found["areas/area_random"], "areas/area_gain": none}
    if kind == ORACLE:
        point = {name: found[f"fixed/{name}"] for name in ("accuracy", "cost_change", "deferral_rate")}
        return _at_rules(point) | {"areas/area": found["areas/area_oracle"], "areas/area_gain": none + 1}
    kept = llm_alone | dict(found)
    if kind == ROUTER:
        for rule in RULES:
            if f"{rule}/cost_{unit}" in found:
                kept[f"{rule}/cost_change"] = found[f"{rule}/cost_{unit}"] / (llm_cost + slm_cost) - 1
    return kept


def _at_rules(point: Mapping[str, Any]) -> dict[str, Any]:
    """A point that does not depend on a rule."""
    return {f"{rule}/{name}": value for rule in RULES for name, value in point.items()}
