"""Names that a configuration may give for graders, prompts and signals, read by the packages that implement them."""

from __future__ import annotations

from dataclasses import dataclass

from corea.config.checks import Allowed

LIGHT = ("exact", "numeric", "choice")
"""Graders that always run in the main process: linear in the answer, and nothing is evaluated."""
GRADERS = (*LIGHT, "math", "reasoning_gym")
_WITH_TOKENS = ("hf", "openai", "vllm_server", "recorded", "own")
"""Engines whose answers can hold token probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A confidence signal that corea.collect computes (collecting/confidence_signals.py)."""

    name: str
    live: tuple[str, ...] | None = ()
    """Engines that give it with an answer to a new question; servers, if their responses hold log-probabilities. None:
    every engine. Empty: it cannot be computed for a single new answer."""
    stacked: bool = True
    """Whether it is a feature of `combined`: a signal of the answer, not of the question alone."""
    fitted: bool = False
    """Whether it is fitted on verdicts."""
    sampled: bool = False
    """Whether it needs, and pays for, all samples of a question."""


KINDS = (
    Signal(name="verbalized", live=None),
    Signal(name="expected", live=_WITH_TOKENS),
    Signal(name="avg_prob", live=(*_WITH_TOKENS, "vllm")),
    Signal(name="vote", live=None, sampled=True),
    Signal(name="probe", fitted=True),
    Signal(name="router", stacked=False, fitted=True),
)
"""Every signal, with what the other packages must know of it."""
SIGNALS = tuple(kind.name for kind in KINDS)
DISPLAYS = ("auto", "plain", "rich", "none")
"""Values of the key `display` (corea.display)."""
PROMPT_NAMES = ("plain", "plain_answer", "answer", "confidence", "confidence_percent")


def is_own(name: str) -> bool:
    """Whether `name` has the form of the user's own function: "module:function" or "file.py:function"."""
    module, colon, function = name.rpartition(":")
    return bool(colon and module) and function.isidentifier()


def known_grader(name: str) -> bool:
    """Whether a question may name this grader."""
    return name in GRADERS or is_own(name)


def allowed_graders() -> str:
    """The allowed graders, for messages."""
    return f"{', '.join(GRADERS)}, or module:function"


GRADER = Allowed(allowed_graders(), known_grader, GRADERS)


def one_of_or_own(*options: str) -> Allowed:
    """One of a list of names, or the user's own: "module:name" or "file.py:name"."""
    words = f"{', '.join(options)}, module:name or file.py:name"
    return Allowed(words, lambda value: value in options or is_own(value), options)


PROMPT = one_of_or_own(*PROMPT_NAMES)
