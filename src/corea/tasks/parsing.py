"""The parser: splits the text of a completion into answer, confidence and status. Reward and cascade both use it.

    <think>34+7 is 41</think> <answer>41</answer> <confidence>0.85</confidence>

- The last well-formed tag of each kind wins, at any position. Well-formed: opened and closed with no tag of the same
  kind between, and not empty; a confidence must also be a readable number in range.
- A missing or unreadable confidence is None, never 0.
- `60%` and `60` mean 0.6 only where the prompt asked for a percentage (`percent`); every number is then in 0..100.

A completion that reaches the token limit (finish reason "length"):
- It is never well formed. Its status is truncated, unless everything expected was written before the limit.
- Reward (rl/rollout/reward.py): no format reward; the worst calibration term, unless `reward.gate_calib=false`; an
  answer that was written is graded and counts, unless `reward.gate_correct=true`.
- Loss (rl/update/rows.py): it counts like any other, unless `trainer.loss.mask_truncated` leaves it out.
- Cascade (answers/table.py): its confidence is dropped if its status is truncated, so that it is always deferred.
  Evaluation: pass@1 counts its verdict; calibration figures leave it out, as every answer without a confidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from corea.types import Parsed, Status

_NUMBER = re.compile(r"\+?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TAGS = {name: re.compile(f"<(/?){name}>") for name in ("think", "answer", "confidence")}
_LAYOUT = {
    True: re.compile(r"\s*<think>.*</think>\s*<answer>.*</answer>\s*<confidence>.*</confidence>\s*", re.DOTALL),
    False: re.compile(r"\s*<think>.*</think>\s*<answer>.*</answer>\s*", re.DOTALL),
}


def tag_contents(text: str, name: str) -> list[str]:
    """Stripped contents of every closed, non-empty `<name>` tag, in order. Takes time linear in the text."""
    contents, start = [], None
    for match in _TAGS[name].finditer(text):
        if not match[1]:
            start = match.end()
        elif start is not None:
            contents.append(text[start : match.start()].strip())
            start = None
    return [c for c in contents if c]


def tag_span(text: str, name: str, readable: Callable[[str], bool]) -> tuple[int, int] | None:
    """Start and end, in `text`, of the contents of the last closed `<name>` tag whose contents are readable."""
    found, start = None, None
    for match in _TAGS[name].finditer(text):
        if not match[1]:
            start = match.end()
        elif start is not None:
            inside = text[start : match.start()]
            if inside.strip() and readable(inside):
                begin = start + len(inside) - len(inside.lstrip())
                found = (begin, begin + len(inside.strip()))
            start = None
    return found


def read_confidence(text: str, percent: bool = False) -> float | None:
    """A number in [0, 1], or with `percent` in [0, 100] with or without the sign; None for any other text."""
    text = text.strip()
    if percent:
        text = text.removesuffix("%").rstrip()
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text) / 100 if percent else float(text)
    return value if 0.0 <= value <= 1.0 else None


def is_well_formed(text: str, expect_confidence: bool = True) -> bool:
    """Whether the text has exactly the expected tags, each opened and closed once, in order, with only white space
    around them."""
    names = ("think", "answer", "confidence") if expect_confidence else ("think", "answer")
    for name, tag in _TAGS.items():
        if len(tag.findall(text)) != (2 if name in names else 0):
            return False
    return _LAYOUT[expect_confidence].fullmatch(text) is not None


def parse_completion(text: str, finish_reason: str, *, percent: bool = False, expect_confidence: bool = True) -> Parsed:
    """Parse one completion.

    Args:
        finish_reason: of the completion: "stop", "length" or "error".
        percent: the prompt asked for a confidence in percent.
        expect_confidence: False: a confidence is read if there is one, but may be absent.

    Returns:
        Parsed. Its status is the first that holds: error (the engine failed; nothing is read), truncated (cut off at
        max_tokens before everything expected was written; what was written is read), unparsed_answer,
        unparsed_confidence, ok. Text that was cut off is never well formed: the model did not stop.
    """
    if finish_reason == "error":
        return Parsed(answer=None, confidence=None, status=Status.ERROR, well_formed=False)
    answers = tag_contents(text, "answer")
    readable = [read_confidence(c, percent) for c in tag_contents(text, "confidence")]
    confidences = [c for c in readable if c is not None]
    answer = answers[-1] if answers else None
    confidence = confidences[-1] if confidences else None
    lacking = expect_confidence and confidence is None
    if finish_reason == "length" and (answer is None or lacking):
        status = Status.TRUNCATED
    elif answer is None:
        status = Status.UNPARSED_ANSWER
    elif lacking:
        status = Status.UNPARSED_CONFIDENCE
    else:
        status = Status.OK
    well_formed = status is Status.OK and finish_reason == "stop" and is_well_formed(text, expect_confidence)
    return Parsed(answer=answer, confidence=confidence, status=status, well_formed=well_formed)
