"""The answers as a table and their summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corea.cascade.live_point import LivePoint, PointFile
from corea.collecting.plan import Tier
from corea.prices import total
from corea.runtime import atomic_write
from corea.serving.route import Route, TierAnswer
from corea.tasks.grading import grade_many
from corea.types import Parsed, Question, Status

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
TYPES = {
    "question_id": pa.string(),
    "dataset": pa.string(),
    "question": pa.string(),
    "answer": pa.string(),
    "text": pa.string(),
    "tier": pa.int64(),
    "model": pa.string(),
    "reason": pa.string(),
    "confidence": pa.float64(),
    "threshold": pa.float64(),
    "status": pa.string(),
    "error": pa.string(),
    "fallback": pa.bool_(),
    "unbound": pa.bool_(),
    **dict.fromkeys(TOKENS, pa.int64()),
    "cost_usd": pa.float64(),
}
"""Columns of every table, in order; see docs/answering.md."""
OF_A_TIER = {"confidence": pa.float64(), "threshold": pa.float64(), **dict.fromkeys(TOKENS, pa.int64())}
OF_A_TIER |= {"cost_usd": pa.float64(), "status": pa.string()}
"""Columns tierN_... of each tier that may be asked; null where it was not."""
GRADED = {"gold": pa.string(), "correct": pa.bool_(), "outcome": pa.string()}
"""Columns of a table with reference answers."""
NO_ANSWER = Parsed(answer=None, confidence=None, status=Status.ERROR, well_formed=False)


def answered_rows(routes: Sequence[Route], unbound: bool, fall_back: bool) -> list[dict[str, Any]]:
    """One row per route. `fall_back`: where the tier that should answer failed, the answer before it stands."""
    return [_row(route, unbound, fall_back) for route in routes]


def _row(route: Route, unbound: bool, fall_back: bool) -> dict[str, Any]:
    error = route.result.error if route.result is not None else ""
    fallen = fall_back and (route.result is None or route.result.failed) and route.fall_back()
    result, point = route.result, route.point
    parsed = NO_ANSWER if result is None else result.parsed
    decided = max(route.confidences, default=None)
    return {
        "question_id": route.question.id,
        "dataset": route.question.dataset,
        "question": route.question.text,
        "answer": parsed.answer,
        "text": "" if result is None else result.text,
        "tier": None if result is None else result.tier,
        "model": None if result is None else result.model,
        "reason": route.reason.value,
        "confidence": None if decided is None else route.confidences[decided],
        "threshold": None if decided is None else point.thresholds[decided],
        "status": parsed.status.value,
        "error": error or None,
        "fallback": fallen,
        "unbound": unbound,
        **{name: route.tokens(name) for name in TOKENS},
        "cost_usd": route.cost_usd,
        **{k: v for place, answer in route.answers.items() for k, v in _of_a_tier(route, place, answer).items()},
    }


def _of_a_tier(route: Route, place: int, answer: TierAnswer) -> dict[str, Any]:
    decided = place in route.confidences
    values = {
        "confidence": route.confidences.get(place),
        "threshold": route.point.thresholds[place] if decided else None,
        **answer.tokens,
        "cost_usd": answer.cost_usd,
        "status": answer.parsed.status.value,
    }
    return {f"tier{answer.tier}_{name}": value for name, value in values.items()}


def add_verdicts(rows: Sequence[dict[str, Any]], questions: Sequence[Question], routes: Sequence[Route]) -> None:
    """Grade the answers to questions with a reference answer, in place."""
    graded = [n for n, question in enumerate(questions) if question.gold]
    parsed = [r.parsed if (r := routes[n].result) is not None else NO_ANSWER for n in graded]
    for n, verdict in zip(graded, grade_many([questions[n] for n in graded], parsed, shown="grading"), strict=True):
        rows[n] |= {"gold": questions[n].gold, "correct": verdict.correct, "outcome": verdict.outcome.value}


def answer_table(rows: Sequence[Mapping[str, Any]], tiers: Iterable[int], graded: bool) -> pa.Table:
    """The rows as a table; `graded`: with verdicts."""
    types = dict(TYPES)
    types |= {f"tier{tier}_{name}": kind for tier in sorted(tiers) for name, kind in OF_A_TIER.items()}
    types |= GRADED if graded else {}
    return pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()})


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], tiers: Mapping[int, Tier]) -> None:
    """Write the rows as a Parquet file, atomically."""
    table = answer_table(rows, tiers, any("gold" in row for row in rows))
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


@dataclass(slots=True, kw_only=True)
class Summary:
    """Figures of all answers."""

    questions: int
    answered: dict[str, int]
    """Tier -> questions that it answered."""
    reasons: dict[str, int]
    deferred_share: float
    """Share of the questions that a tier after the first was asked."""
    expected_deferral: float | None
    """Share that the operating point expects."""
    cost_usd: float | None
    """Dollars of all answers; None: the price of a tier is unknown."""
    llm_alone_usd: float | None
    """Dollars that the last tier alone would cost."""
    llm_alone_basis: str
    """Where that figure comes from."""
    failed: int
    """Questions without an answer."""
    fallbacks: int
    unbound: bool
    operating_point: str
    """SHA-256 of its file."""
    correct: int | None = None
    graded: int | None = None
    """Answers with a verdict; None: no question has a reference answer."""

    @property
    def saved_usd(self) -> float | None:
        """Against the last tier alone; negative where the cascade costs more."""
        if self.cost_usd is None or self.llm_alone_usd is None:
            return None
        return self.llm_alone_usd - self.cost_usd

    def to_json(self) -> dict[str, Any]:
        """All figures."""
        return {**asdict(self), "saved_usd": self.saved_usd}


def summarise_rows(
    rows: Sequence[Mapping[str, Any]], file: PointFile, points: Mapping[str, LivePoint], repriced: bool
) -> Summary:
    """`repriced`: prices are not those of the operating point, so its costs are not used."""
    costs = [row["cost_usd"] for row in rows]
    alone, basis = LastTierAlone().add(rows, points, repriced).result()
    verdicts = [row["correct"] for row in rows if row.get("correct") is not None]
    expected = [points[row["dataset"]].expected.get("deferral_rate") for row in rows if row["dataset"] in points]
    deferral = total(expected) if len(expected) == len(rows) else None
    return Summary(
        questions=len(rows),
        answered={str(k): n for k, n in sorted(Counter(r["tier"] for r in rows if r["tier"] is not None).items())},
        reasons=dict(Counter(row["reason"] for row in rows)),
        deferred_share=sum(_deferred(row) for row in rows) / len(rows),
        expected_deferral=None if deferral is None else deferral / len(rows),
        cost_usd=None if None in costs else float(sum(costs)),
        llm_alone_usd=alone,
        llm_alone_basis=basis,
        failed=sum(row["status"] == Status.ERROR.value for row in rows),
        fallbacks=sum(row["fallback"] for row in rows),
        unbound=any(row["unbound"] for row in rows),
        operating_point=file.sha256,
        correct=sum(verdicts) if any("gold" in row for row in rows) else None,
        graded=len(verdicts) if any("gold" in row for row in rows) else None,
    )


def add_summaries(one: Summary, other: Summary, alone: LastTierAlone) -> Summary:
    """The figures of two tables with the same operating point together; `alone` has the rows of both."""
    n = one.questions + other.questions

    def mean(a: float, b: float) -> float:
        return (a * one.questions + b * other.questions) / n

    def both(name: str) -> Any:
        """Sum of a figure; None where one is unknown."""
        return total([getattr(one, name), getattr(other, name)])

    expected = one.expected_deferral, other.expected_deferral
    return Summary(
        questions=n,
        answered=dict(sorted((Counter(one.answered) + Counter(other.answered)).items())),
        reasons=dict(Counter(one.reasons) + Counter(other.reasons)),
        deferred_share=mean(one.deferred_share, other.deferred_share),
        expected_deferral=None if None in expected else mean(expected[0] or 0.0, expected[1] or 0.0),
        cost_usd=both("cost_usd"),
        llm_alone_usd=alone.result()[0],
        llm_alone_basis=alone.result()[1],
        failed=one.failed + other.failed,
        fallbacks=one.fallbacks + other.fallbacks,
        unbound=one.unbound or other.unbound,
        operating_point=one.operating_point,
        correct=both("correct"),
        graded=both("graded"),
    )


def _deferred(row: Mapping[str, Any]) -> bool:
    return sum(row.get(key) is not None for key in row if key.endswith("_status") and key.startswith("tier")) > 1


@dataclass(slots=True)
class LastTierAlone:
    """Dollars of the last tier alone, row by row.

    Where the last tier answered, its cost is known. For the other questions it is estimated: from the operating point,
    else from the questions that it answered here.
    """

    asked: int = 0
    asked_usd: float = 0.0
    others: int = 0
    others_usd: float | None = 0.0
    """From the operating point; None: it does not say."""

    def add(self, rows: Iterable[Mapping[str, Any]], points: Mapping[str, LivePoint], repriced: bool) -> LastTierAlone:
        """Take in rows; `repriced` as in `summarise_rows`. Returns itself."""
        primary = next(iter(points.values()))
        for row in rows:
            point = points.get(row["dataset"], primary)
            cost = row.get(f"tier{point.chain[-1]}_cost_usd")
            if cost is None:
                self.others += 1
                self.others_usd = total([self.others_usd, None if repriced else point.llm_cost_usd])
            else:
                self.asked += 1
                self.asked_usd += cost
        return self

    def result(self) -> tuple[float | None, str]:
        """(dollars for all rows, basis)."""
        if not self.others:
            return self.asked_usd, "its own answers"
        for_others = f"for the {self.others} questions that it did not answer, its mean cost"
        if self.others_usd is not None:
            return self.asked_usd + self.others_usd, f"{for_others} on the operating point's test questions"
        if not self.asked:
            return None, "unknown"
        mean = self.asked_usd / self.asked
        return self.asked_usd + mean * self.others, f"{for_others} of the {self.asked} that it answered"
