"""Reference completions for the procedural questions: what the cold start of the tiny pair imitates.

The large tiny model writes its intermediate steps; the small one answers directly and states a confidence drawn at
random, so that its confidence says nothing before RL. One function a task; each step is short enough to be looked up
by a small network, and no step is skipped.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

CONFIDENCE_GRID = tuple(f"{k / 20:.2f}" for k in range(21))
"""The 21 confidences 0.00, 0.05, ..., 1.00 of the cold start."""


def _running(terms: list[str], operators: list[str]) -> str:
    """'34+7=41-12=29': every operator and term is copied, then the running result."""
    apply = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}
    total = Decimal(terms[0])
    steps = terms[0]
    for operator, term in zip(operators, terms[1:], strict=True):
        total = apply[operator](total, Decimal(term))
        steps += f"{operator}{term}={total}"
    return steps


def _expression(meta: dict[str, Any]) -> str:
    parts = meta["expression"].split(" ")
    return _running(parts[0::2], parts[1::2])


def _legs(meta: dict[str, Any]) -> str:
    """'5*14=70;2*6=12,82': legs of each animal, then the running total."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    total, steps = 0, []
    for animal, count in meta["animals"].items():
        legs = count * ANIMALS[animal]
        total += legs
        steps.append(f"{count}*{ANIMALS[animal]}={legs}" + (f",{total}" if steps else ""))
    return ";".join(steps)


def _letters(meta: dict[str, Any]) -> str:
    """'hundred na1mes': the text again, with the running count behind every match."""
    count, out = 0, ""
    for letter in " ".join(meta["span"]):
        out += letter
        if letter.lower() == meta["target_letter"]:
            count += 1
            out += str(count)
    return out


def _backward(meta: dict[str, Any]) -> str:
    """'s0u1n2': every letter with its place."""
    return "".join(f"{letter}{place}" for place, letter in enumerate(meta["word"]))


TRACES: dict[str, Callable[[dict[str, Any]], str]] = {
    "chain_sum": _expression,
    "decimal_chain_sum": _expression,
    "products": _expression,
    "leg_counting": _legs,
    "letter_counting": _letters,
    "spell_backward": _backward,
}


def written_steps(entry: dict[str, Any], rng: random.Random) -> str:
    """Completion with every intermediate step and no confidence: the large model of the tiny pair."""
    meta = entry["metadata"]
    return f"<think>{TRACES[meta['source_dataset']](meta)}</think> <answer>{entry['answer']}</answer>"


def direct_unsure(entry: dict[str, Any], rng: random.Random) -> str:
    """Direct answer with a confidence that carries no information: the small model of the tiny pair."""
    confidence = rng.choice(CONFIDENCE_GRID)
    return f"<think></think> <answer>{entry['answer']}</answer> <confidence>{confidence}</confidence>"
