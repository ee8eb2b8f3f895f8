"""Which path of unknown records holds which column: by the names that tools use, checked against the values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from corea.answers.importers.record_parts import LEAVES, mean_probability, number, one_scale, plain_text, verdict
from corea.answers.importers.record_search import GROUP, KEY, Record, is_chat


def _names(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


ID = (
    "question_id",
    KEY,
    *_names(
        "id qid uid doc_id sample_id problem_id task_id example_id instance_id item_id query_id prompt_id custom_id"
    ),
    *_names("idx index doc_index test_idx row number key _id uuid hash name case_id test_id question"),
    *_names("case request_id conversation_id session_id ticket_id ticket"),
)
VERDICT = (
    *_names("correct recorded_correct is_correct is_right right passed pass success acc accuracy exact_match em"),
    *_names("match matched pass@1 correctness score reward grade verdict judgement judgment label result status"),
    *_names("thumbs feedback"),
)
TEXT = (
    *_names("text recorded_text response output completion generation generated_text model_output model_outputs"),
    *_names("model_response model_completion raw_output raw_response output_text actual_output generated reply"),
    *_names("content prediction predicted_text pred predicted predictions outputs responses generations hypothesis"),
    *_names("candidate model_answer output_list code_list messages convo conversation conversations result"),
)
CONFIDENCE = _names(
    "confidence recorded_confidence conf confidence_pct conf_pct certainty "
    "probability prob p_true p_correct max_prob avg_prob mean_prob"
)
LOGPROB = _names("avg_logprob mean_logprob logprob log_prob logprobs token_logprobs log_probs")
GOLD = (
    *_names("gold target gold_answer reference references ground_truth expected expected_output expected_answer"),
    *_names("correct_answer reference_answer answer_key ideal gts solution golden targets gold_target"),
    *_names("reference_outputs answer label"),
)
ANSWER = (
    *_names("answer recorded_answer extracted_answer final_answer parsed_answer parsed extracted pred prediction"),
    *_names("predicted predicted_answer model_answer picked choice"),
)
QUESTION = (
    *_names("question problem query prompt input origin_prompt instruction user_input full_prompt question_content"),
    *_names("messages convo conversation conversations"),
)
MODEL = ("model", GROUP, *_names("model_name model_id tier provider system engine llm variant arm generator name"))
SAMPLE = _names("sample epoch attempt trial repeat repetition rollout run seed")
NUMBERS = {
    "prompt_tokens": _names("prompt_tokens input_tokens tokens_in num_prompt_tokens"),
    "completion_tokens": _names("completion_tokens output_tokens tokens_out generated_tokens num_output_tokens"),
    "cost_usd": _names("cost_usd cost total_cost usd price"),
    "latency_s": _names("latency_s latency duration_s elapsed_s latency_ms duration_ms"),
}
"""Column -> its names, most likely first."""
WRAPPERS = ("choices", "message", "messages", "parsed", "0", *LEAVES)
"""Parts of a path that say nothing about its meaning, so that the part before them counts."""


JUDGED = frozenset(VERDICT[:14])
"""Names that mean a verdict and nothing else."""


HALF = ("score", "result", "answer", "output", "response")
"""Parts of a path whose meaning depends on the part before as well: `reference_outputs.answer`."""


def plain(name: str) -> str:
    """A name without case, spaces and separators."""
    return re.sub(r"[\s_\-.]+", "", name.casefold())


def meanings(path: str) -> set[str]:
    """What a path may be called: its last part, and where that is a wrapper, also the part before."""
    parts = [p for p in path.split(".") if not p.isdigit()] or [path]
    found = {plain(parts[-1])}
    while len(parts) > 1 and (parts[-1] in WRAPPERS or plain(parts[-1]) in HALF):
        parts.pop()
        found.add(plain(parts[-1]))
    return found


def guess(
    flats: list[Record], paths: Iterable[str], names: Iterable[str], fits: Callable[[list[Any]], bool]
) -> str | None:
    """The path with the likeliest name whose values fit; at the same name the one nearest to the record's root."""
    rank = {plain(name): place for place, name in reversed(list(enumerate(names)))}
    candidates = []
    for order, path in enumerate(paths):
        places = [rank[m] for m in meanings(path) if m in rank]
        if places:
            candidates.append((min(places), path.count("."), order, path))
    for *_, path in sorted(candidates):
        values = [record.get(path) for record in flats]
        known = [value for value in values if value is not None]
        if 2 * len(known) >= len(values) and fits(known):
            return path
    return None


def are_verdicts(values: list[Any]) -> bool:
    """All right or wrong."""
    return bool(values) and one_scale(values) and all(verdict(v) is not None for v in values)


def are_texts(values: list[Any]) -> bool:
    """Texts, numbers, or lists that hold one; not only true and false."""
    return bool(values) and all(plain_text(v) is not None for v in values)


def are_written(values: list[Any]) -> bool:
    """Texts, chats that end with an assistant's message, or numbers; not a column of true and false."""
    if any(is_chat(v) and str(v[-1]["role"]).casefold() not in ("assistant", "bot", "gpt") for v in values):
        return False
    return are_texts(values)


def are_ids(values: list[Any]) -> bool:
    """Plain values."""
    return bool(values) and all(isinstance(v, str | int) or (isinstance(v, float) and v == v) for v in values)


def are_numbers(values: list[Any]) -> bool:
    """Numbers >= 0."""
    return bool(values) and all((found := number(v)) is not None and found >= 0 for v in values)


def are_confidences(values: list[Any]) -> bool:
    """Numbers from 0 to 100; the reader checks the scale."""
    return are_numbers(values) and all(float(v) <= 100 for v in values)


def are_logprobs(values: list[Any]) -> bool:
    """Numbers <= 0, or lists of them."""
    known = [mean_probability(v if isinstance(v, list) else [v]) for v in values]
    return bool(values) and all(v is not None for v in known)


def question_text(value: Any) -> str | None:
    """A text, or the last message of the user in a chat."""
    if isinstance(value, list):
        asked = [m for m in value if isinstance(m, dict) and str(m.get("role")).casefold() in ("user", "human")]
        return plain_text(asked[-1:] or value)
    return plain_text(value)
