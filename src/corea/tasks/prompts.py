"""Prompts by name: the messages of a question, and what the completion must contain."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from corea.errors import UserError
from corea.types import Message, Question
from corea.user_code import load_object

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
    """Messages that ask a question, and what the completion must contain."""

    system: str | None
    """System message; None: no system message."""
    expects_confidence: bool
    """True: a completion without a confidence is incomplete. False: a confidence is read if there is one."""
    percent: bool = False
    """The prompt asks for the confidence in percent."""
    examples: tuple[tuple[str, str], ...] = ()
    """(question, completion) pairs that come before the question, as turns of the conversation."""
    question: str = "{question}"
    """The user's turn; {question} stands for the text of the question."""


PROMPTS: dict[str, Prompt] = {
    "plain": Prompt(system=None, expects_confidence=True),
    "plain_answer": Prompt(system=None, expects_confidence=False),
    "answer": Prompt(system=_ANSWER, expects_confidence=False),
    "confidence": Prompt(system=_ANSWER + _CONFIDENCE, expects_confidence=True),
    "confidence_percent": Prompt(system=_ANSWER + _PERCENT, expects_confidence=True, percent=True),
}


def get_prompt(name: str) -> Prompt:
    """Prompt by name, or the user's own by "module:name" or "file.py:name".

    Raises:
        UserError: there is no such prompt, or the object is not a Prompt.
    """
    if name in PROMPTS:
        return PROMPTS[name]
    prompt = load_object("prompt", name, allowed=", ".join(PROMPTS))
    if not isinstance(prompt, Prompt):
        raise UserError(f"prompt={name}: is a {type(prompt).__name__}; a corea.tasks.prompts.Prompt is required")
    return prompt


def build_messages(name: str, question: Question) -> list[Message]:
    """Chat messages that ask the question."""
    prompt = get_prompt(name)
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    for asked, answered in prompt.examples:
        messages.append({"role": "user", "content": prompt.question.replace("{question}", asked)})
        messages.append({"role": "assistant", "content": answered})
    return [*messages, {"role": "user", "content": prompt.question.replace("{question}", question.text)}]


def prompt_hash(name: str) -> str:
    """First 16 hex digits of the SHA-256 of everything a prompt adds to a question; an operating point is bound to
    it."""
    prompt = get_prompt(name)
    text = f"{prompt.system!r}/{prompt.expects_confidence}/{prompt.percent}"
    if prompt.examples or prompt.question != "{question}":
        text += f"/{prompt.examples!r}/{prompt.question!r}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
