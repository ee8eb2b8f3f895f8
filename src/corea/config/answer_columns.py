"""The columns of the answers table: the one list that configuration, reader, collector and docs use.

The table holds one row per (dataset, question, tier, sample). This module is pure data; `corea.answers.schema` turns
the kinds into Arrow types. Besides these columns a table may hold one column `confidence_<signal>` per further signal
(a number in [0, 1]), and any other column, which is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("text", "integer", "number", "verdict")
"""Kinds of values: text; a whole number; a number; true or false."""


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """One column of the answers table."""

    name: str
    kind: str
    """One of KINDS."""
    meaning: str
    required: bool = False
    """True: a table without it cannot be evaluated."""
    optional: bool = False
    """True: the collector leaves the column out if no row has a value."""
    evaluated: bool = True
    """True: `corea.evaluate` reads it, and `columns` may give it another name."""
    recorded: str | None = None
    """Default name in a table of recorded answers (engine=replay); None: not read from there."""


COLUMNS = (
    AnswerColumn("dataset", "text", "data family or set; a table without it is one dataset"),
    AnswerColumn("split", "text", "calibration, test, or fit (only fits signals)", optional=True),
    AnswerColumn("question_id", "text", "unique within its dataset", required=True, recorded="question_id"),
    AnswerColumn("tier", "integer", "0 is the small model, 1 and above are larger ones", required=True),
    AnswerColumn("model", "text", "name of the model that answered"),
    AnswerColumn("sample", "integer", "number of the sample; the lowest is the answer that counts", recorded="sample"),
    AnswerColumn("text", "text", "the whole completion", recorded="text"),
    AnswerColumn("answer", "text", "the answer as parsed from the text", recorded="recorded_answer"),
    AnswerColumn("correct", "verdict", "null: not graded", required=True, recorded="recorded_correct"),
    AnswerColumn("status", "text", "ok, unparsed_answer, unparsed_confidence, truncated or error"),
    AnswerColumn("confidence", "number", "stated confidence in [0, 1]; null: missing", recorded="recorded_confidence"),
    AnswerColumn("prompt_tokens", "integer", "tokens of the prompt", optional=True, recorded="prompt_tokens"),
    AnswerColumn(
        "cached_tokens",
        "integer",
        "tokens of the prompt that the server had cached",
        optional=True,
        recorded="cached_tokens",
    ),
    AnswerColumn(
        "completion_tokens", "integer", "new tokens, reasoning included", optional=True, recorded="completion_tokens"
    ),
    AnswerColumn(
        "retry_prompt_tokens",
        "integer",
        "prompt tokens of earlier attempts, paid",
        optional=True,
        recorded="retry_prompt_tokens",
    ),
    AnswerColumn(
        "retry_completion_tokens",
        "integer",
        "new tokens of earlier attempts, paid",
        optional=True,
        recorded="retry_completion_tokens",
    ),
    AnswerColumn("latency_s", "number", "seconds from request to answer", optional=True, recorded="latency_s"),
    AnswerColumn("cost_usd", "number", "dollars that the answer cost", optional=True, recorded="cost_usd"),
    AnswerColumn("source", "text", "source of the question within its dataset", evaluated=False),
    AnswerColumn("question", "text", "text of the question", optional=True),
    AnswerColumn("gold", "text", "reference answer", optional=True),
    AnswerColumn("finish_reason", "text", "why the completion ended: stop, length or error", evaluated=False),
    AnswerColumn("error", "text", "why the engine failed", optional=True, evaluated=False),
    AnswerColumn("outcome", "text", "outcome of grading; questions with unreadable_gold are left out", optional=True),
)
"""In the order in which the collector writes them."""

ANSWER_COLUMNS = tuple(c.name for c in COLUMNS if c.evaluated)
"""Names of the columns that `corea.evaluate` reads."""
RECORDED_COLUMNS = {c.name: c.recorded for c in COLUMNS if c.recorded is not None}
"""Column -> its default name in a table of recorded answers. Only question_id and one of text, answer and correct are
needed there."""
