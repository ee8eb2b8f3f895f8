"""The dataclasses that one stage hands to the next. Imports no torch.

Training: Question -> prompt -> Completion -> Rollout -> Group -> Batch.
Evaluation: Question -> Completion of each tier -> one row of the answers table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from corea.surrogates import without_surrogates

Message = dict[str, str]
"""One chat message: {"role": "system" | "user" | "assistant", "content": text}."""
Prompts = Sequence[Sequence[Message]]
"""[P] conversations, each of which ends with the message to answer."""
Progress = Callable[[int], None] | None
"""Function to call with the number of newly finished prompts, every few prompts; or None."""


class Status(StrEnum):
    """Parse status of a completion."""

    OK = "ok"
    UNPARSED_ANSWER = "unparsed_answer"
    UNPARSED_CONFIDENCE = "unparsed_confidence"
    TRUNCATED = "truncated"
    ERROR = "error"


class Outcome(StrEnum):
    """Outcome of grading an answer."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNPARSED = "unparsed"
    """No answer was found, or the grader cannot read it."""
    TIMEOUT = "timeout"
    """Grading exceeded its time limit and was killed."""
    UNREADABLE_GOLD = "unreadable_gold"
    """The grader cannot read the gold answer, so nothing is known about this answer."""
    ERROR = "error"
    """The engine or the grader failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Outcome of grading one answer, and how it counts."""

    outcome: Outcome
    correct: bool | None
    """True for the outcome correct; None if the engine failed or the gold answer cannot be read; else False."""
    note: str = ""
    """The reason in one line, if the outcome does not give it."""


@dataclass(slots=True, kw_only=True)
class Question:
    """One question with its gold answer."""

    id: str
    """Stable identifier, unique within its dataset."""
    dataset: str
    """Name of the data family or set, e.g. "in_domain"."""
    source: str
    """Name of the source within the mix, e.g. "chain_sum"."""
    split: str
    """"pretrain", "train", "calibration" or "test"."""
    text: str
    """The question as a user would ask it, without format instructions."""
    gold: str
    """The reference answer."""
    grader: str = "exact"
    """Name of the grader: "exact", "numeric", "choice", "math", "reasoning_gym", or your own "module:function"."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Further data for graders and plots, e.g. the reasoning-gym entry and the difficulty."""


ROUNDING = 1e-9
"""Rewards and advantages of one group that differ by less count as equal: sums of the same terms differ by about
1e-16."""

DISTRIBUTIONS, STATES, LOGPROBS = "distributions", "states", "logprobs"
"""Allowed values of Sampling.record."""


RETRIES = ("retry_prompt_tokens", "retry_completion_tokens")
"""Keys of Completion.extra: tokens of earlier failed attempts at the same answer, which are also paid."""


@dataclass(slots=True, kw_only=True)
class Sampling:
    """Sampling parameters."""

    temperature: float = 1.0
    """0 is greedy decoding."""
    max_tokens: int = 256
    """Maximum number of new tokens per completion."""
    n: int = 1
    """Completions per prompt (the group size G in training)."""
    seed: int = 0
    """The same seed, prompts and weights give the same completions."""
    record: tuple[str, ...] = ()
    """What the engine adds to Completion.extra if it can; it changes no token. DISTRIBUTIONS: extra["tail"], the last
    tokens as [text, probability, [[other text, its probability], ...]]; STATES: extra["state"], the last hidden state
    (float16 in base64). LOGPROBS: `logprobs`, which only servers must be asked for."""


@dataclass(slots=True, kw_only=True)
class Completion:
    """One answer of one engine to one prompt."""

    text: str
    finish_reason: str
    """"stop", "length" or "error"."""
    prompt_tokens: int
    completion_tokens: int
    """Number of new tokens, including reasoning and end of sequence."""
    cached_tokens: int = 0
    prompt_ids: list[int] = field(default_factory=list)
    """Token ids of the prompt; empty if the engine does not know them."""
    token_ids: list[int] = field(default_factory=list)
    """[T] ids of the completion, including the end-of-sequence token."""
    logprobs: list[float] = field(default_factory=list)
    """[T] rollout_logprobs: log-probability of each token under the distribution it was sampled from."""
    latency_s: float = 0.0
    model: str = ""
    error: str = ""
    """The reason for finish_reason "error", in one line."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further signals of the engine, e.g. {"confidence_expected": 0.71}."""

    def __post_init__(self) -> None:
        self.text = without_surrogates(self.text)  # else the answers table could not be written
        self.error = without_surrogates(self.error)


@dataclass(slots=True, kw_only=True)
class Parsed:
    """The parts of a completion, from the parser in tasks/parsing.py."""

    answer: str | None
    confidence: float | None
    """In [0, 1]; None if missing, which is different from 0."""
    status: Status
    well_formed: bool
    """True if the text holds exactly the expected tags in order (the format reward)."""


@dataclass(slots=True, kw_only=True)
class Rollout:
    """A completion with its question, verdict and reward."""

    question: Question
    completion: Completion
    parsed: Parsed
    correct: float
    """1.0 or 0.0."""
    outcome: Outcome = Outcome.WRONG
    """Outcome of grading the answer."""
    rewards: dict[str, float] = field(default_factory=dict)
    """The unweighted components: "correct", "format", "calib", and the user's own."""
    reward: float = 0.0
    """Weighted total."""
    advantage: float = 0.0
    """Advantage of the total reward."""
    segment_advantages: tuple[float, float] | None = None
    """With a stated confidence, unless trainer.credit=whole: advantages of the tokens up to the confidence, and of
    those after. None: every token has `advantage`."""


@dataclass(slots=True, kw_only=True)
class Group:
    """The G rollouts of one question."""

    question: Question
    rollouts: list[Rollout]

    @property
    def pass_rate(self) -> float:
        """Mean correctness of the group."""
        return sum(r.correct for r in self.rollouts) / len(self.rollouts)

    @property
    def degenerate(self) -> bool:
        """True if the advantage of every token is 0 up to rounding, so that the group carries no gradient."""
        used = [a for r in self.rollouts for a in r.segment_advantages or (r.advantage,)]
        return max(map(abs, used)) <= ROUNDING


@runtime_checkable
class Engine(Protocol):
    """Answers prompts: a local model, a server, or recorded answers. Every tier of a cascade is an engine.

    Engines that sample from a model in training: corea.engines.TrainingEngine.
    """

    model_name: str

    def generate(self, prompts: Prompts, sampling: Sampling, progress: Progress = None) -> list[list[Completion]]:
        """Answer each prompt `sampling.n` times; the outer list follows the order of `prompts`.

        `progress` is called with the number of newly finished prompts, every few prompts. A failed prompt gives a
        Completion with finish_reason "error", not an exception.
        """
        ...

    def close(self) -> None:
        """Free devices, connections and processes."""
        ...
