"""From an answers table to all results of an evaluation; reads files, writes none.

configuration ──► Reader ──► Inputs: the tables         (inputs.py)
Inputs ──► Evaluator ──► QuestionSets: SLM beside LLM   (question_sets.py)
    datasets ──► figures, curve and operating points    (dataset.py)
    signals  ──► the signals side by side               (signal_comparison.py)
    chains   ──► more than two tiers                    (cascade/chain_results.py)
    audit    ──► recorded verdicts against a grader's   (audit.py)
Results: all of them; report/ writes and draws them     (results.py)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from corea.answers.pairs import Pairs, pair
from corea.answers.served_answers import SERVED
from corea.answers.table import Answers
from corea.cascade.chain_results import TierResults, measure_tiers
from corea.cascade.combined import COMBINED, Stacks
from corea.config.cascade_schema import RECALIBRATIONS, RULES, CascadeConfig
from corea.config.roots import EvaluateConfig
from corea.display import progress, tick
from corea.evaluation.audit import Audit, Regrader, moves
from corea.evaluation.dataset import Evaluation, evaluate_dataset
from corea.evaluation.inputs import Inputs, Reader
from corea.evaluation.points import Point
from corea.evaluation.question_sets import POOLED, QuestionSets, add_combined, maps_of, question_sets, with_splits
from corea.evaluation.results import FINDS, AnswersFile, Results, models_of
from corea.evaluation.served_log_point import comparison, with_split
from corea.evaluation.signal_comparison import SignalRow, compare, variants
from corea.evaluation.tier_stacks import tier_stacks
from corea.tabular_arrow import file_hash

CHAIN_PARTS = 3
"""Parts of the progress bar for the chains of one dataset."""


def run_evaluation(cfg: EvaluateConfig, regrade: Regrader | None = None) -> Results:
    """Read `cfg.answers` (and the tables beside it) and measure every dataset. Raises UserError for a bad table.

    `regrade` grades the recorded answers again, as `cfg.audit` asks.
    """
    cfg = with_split(cfg)
    reader = Reader(cfg)
    evaluator = Evaluator(inputs=reader.read(regrade), cfg=cfg.cascade)
    with progress("evaluate", evaluator.parts, rate=False):
        return evaluator.results()


@dataclass(slots=True, kw_only=True)
class Evaluator:
    """The questions of one evaluation and the settings that measure them; each method measures one thing."""

    inputs: Inputs
    cfg: CascadeConfig
    answers: Answers = field(init=False)
    """The answers table with the signal `combined`."""
    stacks: Stacks = field(init=False)
    """Fitted maps of `combined`."""
    questions: QuestionSets = field(init=False)

    def __post_init__(self) -> None:
        inputs, cfg = self.inputs, self.cfg
        self.answers, self.stacks = add_combined(inputs.answers, None, cfg)
        before = None if inputs.before is None else add_combined(self.answers, inputs.before, cfg)[0]
        self.questions = question_sets(self.answers, before, cfg)

    @property
    def names(self) -> list[str]:
        """Each dataset, and POOLED if there are several."""
        names = self.questions.names
        return [*names, *([POOLED] if len(names) > 1 else [])]

    @property
    def parts(self) -> int:
        """What a progress bar counts: each takes about as long as the choice of one threshold with its resamples."""
        own = len(RULES) + 1
        compared = len(self.answers.signals) * len(RECALIBRATIONS) if self.cfg.compare else 0
        chains = CHAIN_PARTS if self.answers.frame["tier"].nunique() > 2 else 0
        audited = own if self.inputs.regraded is not None else 0
        return len(self.names) * (own + compared + chains + audited)

    def results(self) -> Results:
        """All of them."""
        datasets, signals = self.datasets(), self.signals()
        pooled = datasets.get(POOLED, datasets[self.names[0]])
        everything = {**datasets, POOLED: pooled}
        _name_signals_that_pass(everything, signals)
        results = Results(
            answers=_describe(self.answers),
            cfg=self.cfg,
            datasets={name: datasets[name] for name in self.questions.names},
            pooled=pooled,
            primary=self.names[0],
            notes=[*self.questions.notes, *_without_ece_interval(everything)],
            tiers=self.chains(),
            audit=self.audit(),
            signals=signals,
            training=self.inputs.training,
            maps=maps_of(self.questions, self.stacks, self.cfg),
        )
        results.notes += comparison(results)
        return results

    def datasets(self) -> dict[str, Evaluation]:
        """Each of `names`. The point of the first dataset is also tried on the other datasets."""
        found: dict[str, Evaluation] = {}
        transferred: Point | None = None
        for name in self.names:
            tried = None if name == POOLED else transferred
            found[name] = evaluate_dataset(name, *self.questions.parts(name, self.cfg), self.cfg, tried)
            tick()
            if len(found) == 1 and found[name].point(self.cfg.rule).figures:
                transferred = found[name].point(self.cfg.rule)
        return found

    def signals(self) -> dict[str, list[SignalRow]]:
        """All signals of the table on the same questions, raw and recalibrated; the configured one first."""
        cfg = self.cfg
        if not cfg.compare:
            return {}
        raw = {cfg.signal: self.questions.raw}
        for signal in self.answers.signals:
            if signal != cfg.signal:
                raw[signal] = with_splits(pair(self.answers, signal, cfg.large), cfg, self.answers, [], signal)
        found = variants(raw, cfg)
        if len(found) < 2:
            return {}
        return {name: compare(found, self.questions.inside(name), name, cfg) for name in self.names}

    def chains(self) -> dict[str, TierResults]:
        """Chains of the datasets that have more than two tiers, and of all together, by the raw signal."""
        measured = {}
        for name, tiers in tier_stacks(self.answers, self.questions.names, self.cfg).items():
            measured[name] = measure_tiers(tiers.stack, tiers.split, self.cfg)
            tick(CHAIN_PARTS)
        return {name: found for name, found in measured.items() if found is not None}

    def audit(self) -> Audit | None:
        """Every dataset with both verdicts and the raw signal; None without an audit."""
        inputs, cfg = self.inputs, self.cfg
        if inputs.regraded is None or inputs.findings is None:
            return None
        now, old = (self._verdicts_of(table) for table in (inputs.regraded, inputs.recorded))
        both = QuestionSets(now=now, raw=now, before=old, names=self.questions.names, notes=[])
        evaluations, moved = {}, []
        for name in self.names:
            test, known, recorded = both.parts(name, cfg)
            assert recorded is not None, "evaluated with both verdicts"
            evaluations[name] = evaluate_dataset(name, test, known, recorded, cfg)
            tick()
            moved.append(moves(name, evaluations[name], recorded, cfg))
        return Audit(
            grader=str(inputs.grader),
            graded=len(inputs.recorded.frame),
            findings=inputs.findings,
            evaluations=evaluations,
            moves=pd.concat(moved, ignore_index=True),
        )

    def _verdicts_of(self, table: Answers) -> Pairs:
        """The questions of a table with its own verdicts; the signal `combined` is fitted with them."""
        if self.cfg.signal == COMBINED:
            table = add_combined(table, None, self.cfg)[0]
        return with_splits(pair(table, self.cfg.signal, self.cfg.large), self.cfg, table, [])


def _without_ece_interval(evaluations: dict[str, Evaluation]) -> list[str]:
    """Why datasets have no interval of ECE, where some of their answers state a confidence."""
    stated = [e.small for e in evaluations.values() if e.small.figures["missing_confidence"].value < 1]
    reasons = [small.no_interval for small in stated if small.no_interval]
    return list(dict.fromkeys(reasons))


def _name_signals_that_pass(evaluations: dict[str, Evaluation], signals: dict[str, list[SignalRow]]) -> None:
    """Where a rule finds no threshold, its note names the signals of which it finds one."""
    for name, rows in signals.items():
        for kind in ("point", "safe"):
            own, *others = (getattr(row, kind) for row in rows)
            passing = {row.name: p for row, p in zip(rows[1:], others, strict=True) if p.choice.threshold is not None}
            choice = evaluations[name].point(own.choice.rule).choice
            if choice.threshold is None and passing and FINDS not in choice.note:
                best = min(passing, key=lambda signal: passing[signal].pick.cost_change)
                more = f" and {len(passing) - 1} others" if len(passing) > 1 else ""
                choice.note += f"{FINDS}{best}{more}"


def _describe(answers: Answers) -> AnswersFile:
    return AnswersFile(
        path=answers.path,
        sha256=answers.meta[SERVED]["sha256"] if SERVED in answers.meta else file_hash(answers.path),
        rows=len(answers.frame),
        models=models_of(answers),
        meta=answers.meta,
    )
