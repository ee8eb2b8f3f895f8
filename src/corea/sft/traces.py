"""Reference completions for procedural questions, which the cold start of the tiny pair imitates.

The large tiny model writes its intermediate steps. The small one answers directly and states a random confidence, so
that its confidence is uninformative before RL. There is one function per task. Each step is short enough for a small
network, and no step is skipped.

A small model trained only on random confidences learns no feature that predicts the confidence. Policy gradients then
have no feature to reinforce: the confidence moves to the right average and stays the same for every question.
`direct_two_sided` avoids this. The distance of its confidence from 0.5 depends on the length of the question; the
side is random, so that ranking answers by it is exactly random.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

CONFIDENCE_GRID = tuple(f"{k / 20:.2f}" for k in range(21))
"""The 21 confidences 0.00, 0.05, ..., 1.00 of the cold start."""


def _running(terms: list[str], operators: list[str]) -> str:
    """'34+7=41-12=29': each operator and term, followed by the running result."""
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

    total, steps = 0, list[str]()
    for animal, count in meta["animals"].items():
        legs = count * ANIMALS[animal]
        total += legs
        steps.append(f"{count}*{ANIMALS[animal]}={legs}" + (f",{total}" if steps else ""))
    return ";".join(steps)


def _letters(meta: dict[str, Any]) -> str:
    """'hundred na1mes': the text, with the running count after every match."""
    count, out = 0, ""
    for letter in " ".join(meta["span"]):
        out += letter
        if letter.lower() == meta["target_letter"]:
            count += 1
            out += str(count)
    return out


def _backward(meta: dict[str, Any]) -> str:
    """'s0u1n2': every letter with its index."""
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
    """All intermediate steps and no confidence: the large model of the tiny pair."""
    return f"<think>{_steps(entry)}</think> <answer>{entry['answer']}</answer>"


def _steps(entry: dict[str, Any]) -> str:
    from corea.sft.broad_traces import BROAD_TRACES

    task = entry["metadata"]["source_dataset"]
    return BROAD_TRACES[task](entry) if task in BROAD_TRACES else TRACES[task](entry["metadata"])


def steps_unsure(entry: dict[str, Any], rng: random.Random) -> str:
    """All intermediate steps and a random confidence: the cold start of a pretrained model."""
    return f"{written_steps(entry, rng)} <confidence>{rng.choice(CONFIDENCE_GRID)}</confidence>"


SIZES: dict[str, tuple[Callable[[dict[str, Any]], int], int, int]] = {
    "chain_sum": (lambda meta: meta["num_terms"], 3, 10),
    "leg_counting": (lambda meta: len(meta["animals"]), 1, 4),
    "letter_counting": (lambda meta: len(" ".join(meta["span"])), 4, 24),
    "spell_backward": (lambda meta: len(meta["word"]), 3, 10),
}
"""Task -> (length measure of a question, value for a short question, value for a long one)."""
CONTRAST = 1.6
"""Log-odds of the ends against the middle of the range for a short question; negated for a long one."""


def relative_size(meta: dict[str, Any]) -> float:
    """Relative length of a question within its task: 0 short, 1 long."""
    measure, short, long = SIZES[meta["source_dataset"]]
    return min(1.0, max(0.0, (measure(meta) - short) / (long - short)))


def two_sided_weights(size: float, contrast: float = CONTRAST) -> list[float]:
    """[21] weight of each confidence of the grid: symmetric about 0.5, concentrated at the ends for size 0, in the
    middle for size 1."""
    return [math.exp(contrast * (0.5 - size) * (2 * abs(2 * float(c) - 1) - 1)) for c in CONFIDENCE_GRID]


def _direct(entry: dict[str, Any], confidence: str) -> str:
    return f"<think></think> <answer>{entry['answer']}</answer> <confidence>{confidence}</confidence>"


def direct_answer(entry: dict[str, Any], rng: random.Random) -> str:
    """Direct answer without a confidence: pre-training of the small broad model."""
    return f"<think></think> <answer>{entry['answer']}</answer>"


def direct_unsure(entry: dict[str, Any], rng: random.Random) -> str:
    """Direct answer with a random confidence: pre-training of the small tiny model, cold start of the broad one."""
    return _direct(entry, rng.choice(CONFIDENCE_GRID))


def direct_two_sided(entry: dict[str, Any], rng: random.Random) -> str:
    """Direct answer with a confidence far from 0.5 for short questions and near it for long ones, above or below
    at random: the cold start of the small tiny model. Its AUROC is 0.5, whichever answers are right."""
    return _direct(entry, rng.choices(CONFIDENCE_GRID, two_sided_weights(relative_size(entry["metadata"])))[0])
