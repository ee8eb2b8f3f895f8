"""Rows of the answers table from completions: parsed, graded and priced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from corea.collecting.plan import Tier
from corea.config import PriceConfig
from corea.errors import UserError
from corea.prices import cost_usd
from corea.tasks.grading import final_answer, grade_many
from corea.tasks.parsing import parse_completion
from corea.tasks.prompts import prompt_hash
from corea.types import RETRIES, Completion, Parsed, Question, Status, Verdict

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
"""Fields of a completion, and columns of the table."""


@dataclass(slots=True, kw_only=True)
class Answered:
    """One completion with the question it answers."""

    question: Question
    sample: int
    completion: Completion


class Answerer(Protocol):
    """The properties of a tier that its rows depend on."""

    tier: int
    name: str
    price: PriceConfig
    expects_confidence: bool

    @property
    def percent(self) -> bool:
        """True if confidences are stated in percent."""
        ...


def table_rows(tier: Answerer, answers: Sequence[Answered]) -> list[dict[str, Any]]:
    """Rows of one tier's answers. Answers without a recorded verdict are graded in parallel.

    Raises:
        UserError: an answer has neither a recorded verdict nor a gold answer to grade by.
    """
    parsed = [parsed_answer(tier, a.question, a.completion) for a in answers]
    verdicts: list[Verdict | None] = [None] * len(answers)
    graded = [n for n, a in enumerate(answers) if "correct" not in _recorded(a.completion)]
    for n in graded:
        if not answers[n].question.gold and parsed[n].answer is not None:
            where = f"question {answers[n].question.id}"
            raise UserError(f"{where}: neither a recorded verdict nor a gold answer to grade by")
    found = grade_many([answers[n].question for n in graded], [parsed[n] for n in graded], shown="grading")
    for n, verdict in zip(graded, found, strict=True):
        verdicts[n] = verdict
    return [_row(tier, a, p, v) for a, p, v in zip(answers, parsed, verdicts, strict=True)]


def _recorded(completion: Completion) -> dict[str, Any]:
    """Recorded values of a completion (see ReplayEngine); they take precedence over parsing and grading."""
    return completion.extra.get("recorded", {})


def _row(tier: Answerer, answered: Answered, parsed: Parsed, verdict: Verdict | None) -> dict[str, Any]:
    """One row of the table."""
    question, completion = answered.question, answered.completion
    tokens = token_counts(completion)
    retries = {key: completion.extra.get(key) for key in RETRIES}
    signals = {k: v for k, v in completion.extra.items() if k.startswith("confidence_")}
    return {
        "dataset": question.dataset,
        "split": question.split or None,
        "question_id": question.id,
        "tier": tier.tier,
        "model": tier.name,
        "sample": answered.sample,
        "text": completion.text,
        "answer": parsed.answer,
        "correct": _recorded(completion)["correct"] if verdict is None else verdict.correct,
        "status": parsed.status.value,
        "outcome": None if verdict is None else verdict.outcome.value,
        "confidence": parsed.confidence,
        **tokens,
        **retries,
        "latency_s": None if tokens["prompt_tokens"] is None else completion.latency_s,
        "cost_usd": answer_cost(tier.price, completion),
        "source": question.source,
        "question": question.text or None,
        "gold": question.gold or None,
        "finish_reason": completion.finish_reason,
        "error": completion.error or None,
        **signals,
    }


def token_counts(completion: Completion) -> dict[str, int | None]:
    """Tokens of the answer itself, without failed attempts before it; None where the engine did not count."""
    known = completion.extra.get("tokens") != "unknown"
    return {name: getattr(completion, name) if known else None for name in TOKENS}


def answer_cost(price: PriceConfig, completion: Completion) -> float | None:
    """Dollars of an answer with the failed attempts before it, or as recorded; None: unknown."""
    recorded = _recorded(completion)
    if "cost_usd" in recorded or completion.extra.get("tokens") == "unknown":
        return recorded.get("cost_usd")
    prompt, new = (completion.extra.get(key) or 0 for key in RETRIES)
    return cost_usd(
        price, completion.prompt_tokens + prompt, completion.cached_tokens, completion.completion_tokens + new
    )


def parsed_answer(tier: Answerer, question: Question, completion: Completion) -> Parsed:
    """The parser's result; recorded values replace its values.

    If the recording has no answers (`extra["free_text"]`), the text is read as in the audit, with or without tags.
    """
    recorded = _recorded(completion)
    parsed = parse_completion(
        completion.text, completion.finish_reason, percent=tier.percent, expect_confidence=tier.expects_confidence
    )
    if "recorded" not in completion.extra or parsed.status is Status.ERROR:
        return parsed
    answer = recorded.get("answer", parsed.answer)
    if completion.extra.get("free_text"):
        answer = final_answer(completion.text, question.grader)
    confidence = recorded.get("confidence", parsed.confidence)
    if answer is None and completion.text:
        status = Status.UNPARSED_ANSWER
    elif confidence is None and tier.expects_confidence:
        status = Status.UNPARSED_CONFIDENCE
    else:
        status = Status.OK
    return Parsed(answer=answer, confidence=confidence, status=status, well_formed=parsed.well_formed)


def describe(tiers: list[Tier]) -> dict[str, Any]:
    """Metadata of the table by tier: models with revision, sampling and engine, prompts with hash, prices with date.

    It goes on into operating_point.json, from which a live cascade builds the same tiers.
    """
    models = {}
    for tier in tiers:
        live = {
            "engine_config": asdict(tier.engine),
            "samples": tier.samples,
            "expects_confidence": tier.expects_confidence,
        }
        models[str(tier.tier)] = {"name": tier.name, "path": tier.path, **tier.identity(), **live}
    return {
        "models": models,
        "prompts": {str(t.tier): {"name": t.prompt, "hash": prompt_hash(t.prompt)} for t in tiers},
        "prices": {str(t.tier): asdict(t.price) for t in tiers},
    }
