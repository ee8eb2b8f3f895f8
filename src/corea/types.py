"""The dataclasses that the stages hand to one another. Imports no torch.

Training: Question -> prompt -> Completion -> Rollout -> Group -> Batch.
Evaluation: Question -> Completion of each tier -> one row of the answers table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

Message = dict[str, str]
"""One chat message: {"role": "system" | "user" | "assistant", "content": text}."""


class Status(StrEnum):
    """What became of a completion (DESIGN section 4)."""

    OK = "ok"
    UNPARSED_ANSWER = "unparsed_answer"
    UNPARSED_CONFIDENCE = "unparsed_confidence"
    TRUNCATED = "truncated"
    ERROR = "error"


class Outcome(StrEnum):
    """What grading made of an answer."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNPARSED = "unparsed"
    """There is no answer, or none that the grader can read."""
    TIMEOUT = "timeout"
    """Grading took longer than its limit and was killed."""
    ERROR = "error"
    """The engine or the grader failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What grading made of one answer, and what that counts as."""

    outcome: Outcome
    correct: bool | None
    """True for the outcome correct; None where there was nothing to judge (the engine failed); else False."""
    note: str = ""
    """Why, in one line, where the outcome does not say it."""


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
    """The question as the user would ask it, without instructions on the format."""
    gold: str
    """The reference answer."""
    grader: str = "exact"
    """Name of the grader: "exact", "numeric", "choice", "math", "reasoning_gym", or "module:function" of the user's."""
    meta: dict[str, Any] = field(default_factory=dict)
    """What the grader and plots need besides, e.g. the reasoning-gym entry and the difficulty."""


DISTRIBUTIONS, STATES = "distributions", "states"
"""What Sampling.record may ask for."""


RETRIES = ("retry_prompt_tokens", "retry_completion_tokens")
"""Keys of Completion.extra: tokens of earlier attempts at the same answer that failed and are paid as well."""


@dataclass(slots=True, kw_only=True)
class Sampling:
    """How completions are drawn."""

    temperature: float = 1.0
    """0 is greedy decoding."""
    max_tokens: int = 256
    """Most new tokens of one completion."""
    n: int = 1
    """Completions per prompt (the group size G in training)."""
    seed: int = 0
    """Seed of the draw: same seed, prompts and weights give the same completions."""
    record: tuple[str, ...] = ()
    """What an engine that can adds to Completion.extra; it changes no token. DISTRIBUTIONS: extra["tail"], the last
    tokens as [text, probability, [[other text, its probability], ...]]; STATES: extra["state"], the last hidden state
    (float16 in base64)."""


@dataclass(slots=True, kw_only=True)
class Completion:
    """One answer of one engine to one prompt."""

    text: str
    finish_reason: str
    """"stop", "length" or "error"."""
    prompt_tokens: int
    completion_tokens: int
    """New tokens, reasoning and end-of-sequence included."""
    cached_tokens: int = 0
    prompt_ids: list[int] = field(default_factory=list)
    """Token ids of the prompt; empty where the engine does not know them."""
    token_ids: list[int] = field(default_factory=list)
    """[T] ids of the completion, the end-of-sequence token included."""
    logprobs: list[float] = field(default_factory=list)
    """[T] rollout_logprobs: log-probability of each sampled token under the sampler's processed distribution."""
    latency_s: float = 0.0
    model: str = ""
    error: str = ""
    """Why finish_reason is "error", in one line."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further signals of the engine, e.g. {"confidence_expected": 0.71}."""


@dataclass(slots=True, kw_only=True)
class Parsed:
    """A completion taken apart by the one parser (tasks/parsing.py)."""

    answer: str | None
    confidence: float | None
    """In [0, 1]; None is missing, which is not 0."""
    status: Status
    well_formed: bool
    """True when the text holds exactly the expected tags in order (the format reward)."""


@dataclass(slots=True, kw_only=True)
class Rollout:
    """Prompt and completion with their verdict and reward."""

    question: Question
    completion: Completion
    parsed: Parsed
    correct: float
    """1.0 or 0.0."""
    outcome: Outcome = Outcome.WRONG
    """What grading made of the answer."""
    rewards: dict[str, float] = field(default_factory=dict)
    """Each component unweighted: "correct", "format", "calib"."""
    reward: float = 0.0
    """Weighted total."""
    advantage: float = 0.0


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
        """True when every advantage is 0, so that the group carries no gradient."""
        return all(r.advantage == 0.0 for r in self.rollouts)


@runtime_checkable
class Engine(Protocol):
    """Whatever answers prompts: a local model, a server, a recording. Every tier of a cascade is one."""

    model_name: str

    def generate(
        self,
        prompts: Sequence[Sequence[Message]],
        sampling: Sampling,
        progress: Callable[[int], None] | None = None,
    ) -> list[list[Completion]]:
        """Answer each prompt `sampling.n` times; the outer list follows the order of `prompts`.

        `progress` is told of every few prompts that are finished. A failure of one prompt is a Completion with
        finish_reason "error", not an exception.
        """
        ...

    def close(self) -> None:
        """Free devices, connections and processes."""
        ...
