"""Prints the summary of the answers, and single answers with tier, confidence and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corea.cascade.decision import Reason
from corea.collecting.plan import Tier
from corea.serving.answered_table import Summary

SHOWN = 20
"""Answers that are printed one by one."""
WORDS = {
    Reason.LOW: "{first} was not sure enough",
    Reason.MISSING: "{first} stated no confidence",
    Reason.TRUNCATED: "the answer of {first} was cut off",
    Reason.SLM_ERROR: "{first} gave no answer",
    Reason.UNCALIBRATED: "the operating point does not hold for this question",
    Reason.BUDGET: "deferred, but the budget is reached",
}


def show_answers(rows: Sequence[Mapping[str, Any]], tiers: Mapping[int, Tier]) -> None:
    """Print each answer with its tier, reason and cost; of many rows the first SHOWN."""
    first = tiers[min(tiers)].name
    for row in rows[:SHOWN]:
        answer = row["answer"] if row["answer"] is not None else row["text"].strip() or "(no answer)"
        print(f"{row['question']}\n  {answer}")
        sure = "no confidence" if row["confidence"] is None else f"{row['confidence']:.3f}"
        limit = "" if row["threshold"] is None else f" against the threshold {row['threshold']:.3f}"
        if row["reason"] == Reason.KEPT:
            why = f"kept: confidence {sure}{limit}"
        else:
            why = WORDS[Reason(row["reason"])].format(first=first) + (f": {sure}{limit}" if limit else "")
        fallen = "; the larger model failed" if row["fallback"] else ""
        cost = "cost unknown" if row["cost_usd"] is None else f"${row['cost_usd']:.6f}"
        who = "nobody" if row["tier"] is None else f"tier {row['tier']}, {row['model']}"
        print(f"  {who} ({why}{fallen}); {cost}")
    if len(rows) > SHOWN:
        print(f"… {len(rows) - SHOWN} more in the table")


def show_summary(summary: Summary, tiers: Mapping[int, Tier]) -> None:
    """Print answers by tier, reasons of deferral, cost, saving and, with reference answers, pass@1."""
    n = summary.questions
    for number, tier in sorted(tiers.items()):
        count = summary.answered.get(str(number), 0)
        print(f"tier {number} ({tier.name}): {count} of {n} answers ({100 * count / n:.1f} %)")
    expected = "" if summary.expected_deferral is None else f"; expected {100 * summary.expected_deferral:.1f} %"
    reasons = ", ".join(f"{count} {name}" for name, count in summary.reasons.items() if name != Reason.KEPT)
    print(f"deferred: {100 * summary.deferred_share:.1f} %{f' ({reasons})' if reasons else ''}{expected}")
    print(_cost_line(summary))
    if summary.graded and summary.correct is not None:
        print(f"pass@1: {summary.correct / summary.graded:.3f} ({summary.correct} of {summary.graded})")
    if summary.failed:
        print(f"{summary.failed} questions have no answer; the same command asks them again")
    if summary.fallbacks:
        print(f"{summary.fallbacks} answers are those of the tier before, since the larger model failed")
    if summary.unbound:
        print("unbound: the operating point was not checked against these tiers; every row is marked")


def _cost_line(summary: Summary) -> str:
    if summary.cost_usd is None:
        return "cost: unknown; a tier has no price, or its server counts no tokens"
    line = f"cost: ${summary.cost_usd:.6f}"
    if summary.llm_alone_usd is None or summary.saved_usd is None:
        return line
    share = f" ({100 * abs(summary.saved_usd) / summary.llm_alone_usd:.1f} %)" if summary.llm_alone_usd else ""
    change = f"{'saved' if summary.saved_usd >= 0 else 'costs more:'} ${abs(summary.saved_usd):.6f}{share}"
    return f"{line}; the last tier alone ${summary.llm_alone_usd:.6f} ({summary.llm_alone_basis}); {change}"
