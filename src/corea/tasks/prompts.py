"""Named prompts: how a question is put to a model, and what the answer is expected to hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from corea.errors import UserError
from corea.types import Message, Question

_ANSWER = (
    "Reason step by step inside <think> and </think>. Then give only the final answer inside <answer> and </answer>."
)
_CONFIDENCE = (
    " Last, state inside <confidence> and </confidence> the probability that your answer is correct, as a number from "
    "0 (certainly wrong) to 1 (certainly right). Use the whole range: of the answers you give 0.7 to, seven in ten "
    "should be right."
)
_PERCENT = (
    " Last, state inside <confidence> and </confidence> the probability that your answer is correct in percent, from 0 "
    "(certainly wrong) to 100 (certainly right)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One way of asking."""

    system: str | None
    """System message; None: the bare question."""
    expects_confidence: bool
    """A completion without a confidence lacks something; False: one is read where there is one."""
    percent: bool = False
    """The confidence is asked for in percent."""


PROMPTS: dict[str, Prompt] = {
    "plain": Prompt(system=None, expects_confidence=True),
    "plain_answer": Prompt(system=None, expects_confidence=False),
    "answer": Prompt(system=_ANSWER, expects_confidence=False),
    "confidence": Prompt(system=_ANSWER + _CONFIDENCE, expects_confidence=True),
    "confidence_percent": Prompt(system=_ANSWER + _PERCENT, expects_confidence=True, percent=True),
}


def get_prompt(name: str) -> Prompt:
    """Prompt by name.

    Raises:
        UserError: no such prompt.
    """
    if name not in PROMPTS:
        raise UserError(f"prompt={name}: allowed is {', '.join(PROMPTS)}")
    return PROMPTS[name]


def build_messages(name: str, question: Question) -> list[Message]:
    """Chat messages that put the question."""
    prompt = get_prompt(name)
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": question.text}]


def prompt_hash(name: str) -> str:
    """First 16 hex digits of the SHA-256 of everything a prompt adds to a question: what an operating point binds."""
    prompt = get_prompt(name)
    text = f"{prompt.system!r}/{prompt.expects_confidence}/{prompt.percent}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
