"""Values inside the records of other tools: parts by path, verdicts, numbers, chat texts, token probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from corea.answers.typed_columns import TRUTH
from corea.tabular_text import refuse

PERCENT = 100
"""Score of a right answer in percent. A column with 1 and 100 holds neither shares nor percentages."""
LEAVES = ("text", "content", "value", "message", "prompt")
"""Keys under which a nested text is looked for."""


def part(value: Any, path: str) -> Any:
    """The value at "a.0.b" of nested dicts and lists; None where there is none."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.lstrip("-").isdigit() and -len(value) <= int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def first(value: Any, *paths: str) -> Any:
    """The first of `paths` at which `value` holds something."""
    return next((found for path in paths if (found := part(value, path)) is not None), None)


def verdict(value: Any) -> bool | None:
    """True, false, 1, 0, 100 (a score in percent) and the words of TRUTH as a bool; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1, PERCENT) else None
    found = TRUTH.get(value.strip().lower()) if isinstance(value, str) else None
    return None if found is None else bool(found)


def one_scale(values: Iterable[Any]) -> bool:
    """False for verdicts that hold both 1 and 100."""
    plain = {value for value in values if isinstance(value, int | float) and not isinstance(value, bool)}
    return not {1, PERCENT} <= plain


def number(value: Any) -> float | None:
    """A finite number, also one written as text; None for anything else."""
    if value is None or isinstance(value, bool | list | dict):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> int | None:
    """A whole number >= 0; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found >= 0 and found.is_integer() else None


def plain_text(value: Any) -> str | None:
    """A text, a number as text, the last message of a chat, or the joined texts of a list of parts; None: no text."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, dict):
        return next((t for key in LEAVES if (t := plain_text(value.get(key))) is not None), None)
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[-1], dict) and "role" in value[-1]:
        return plain_text(value[-1])
    texts = [t for t in map(plain_text, value) if t is not None]
    return "".join(texts) if isinstance(value[0], dict) else (texts[0] if texts else None)


def mean_probability(logprobs: Any) -> float | None:
    """Mean probability of the tokens, from log-probabilities as numbers or as objects with `logprob`; None: none."""
    if not isinstance(logprobs, list):
        return None
    found = [number(item.get("logprob") if isinstance(item, dict) else item) for item in logprobs]
    known = [value for value in found if value is not None and value <= 0]
    return sum(map(math.exp, known)) / len(known) if known else None


def verdict_name(
    path: Path, values: Mapping[str, Sequence[Any]], preferred: Iterable[str], pick: str | None, what: str
) -> str:
    """The one of several metrics whose values are all right or wrong.

    Args:
        values: metric -> its values, None missing.
        preferred: metrics that are taken first; then the others, in their order.
        pick: the user's choice.
        what: "metric" or "scorer", for messages.

    Raises:
        UserError: `pick` is not there, or no metric qualifies.
    """
    if pick is not None:
        if pick not in values:
            raise refuse(path, f"pick={pick}: no such {what}; allowed is {', '.join(values) or 'none'}")
        return pick
    names = [name for name in preferred if name in values]
    for name in dict.fromkeys([*names, *values]):
        known = [value for value in values[name] if value is not None]
        if known and one_scale(known) and all(verdict(value) is not None for value in known):
            return name
    shown = next(
        (f"{n} holds {v!r}" for n, vs in values.items() for v in vs if v is not None and verdict(v) is None), ""
    )
    raise refuse(path, f"no {what} gives right or wrong{f': {shown[:60]}' if shown else ''}; allowed are 0 and 1")
