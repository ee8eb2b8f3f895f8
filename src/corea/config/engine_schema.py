"""Schemas of the group `engine`: what answers prompts. One dataclass an engine; `_target_` picks the class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import urlsplit

from omegaconf import MISSING

from corea.config.checks import above, at_least, one_of, require, within
from corea.config.price_schema import PriceConfig
from corea.tasks.grading.names import allowed_graders, known_grader


@dataclass
class EngineConfig:
    """What every engine has."""

    _target_: str = MISSING
    """Class of the engine: package.module.Class, module:Class or file.py:Class."""
    name: str = MISSING

    def identity(self) -> dict[str, Any]:
        """What answers depend on besides the model's files; {} where those files are all."""
        return {}


@dataclass
class HFEngineConfig(EngineConfig):
    """Our decode loop on the transformers model."""

    _target_: str = "corea.engines.local.hf.HFEngine"
    name: str = "hf"
    batch_rows: int = 256
    """Completions decoded together."""
    device: Optional[str] = None
    """None: cuda where there is one, else cpu."""
    graphs: bool = False
    """A cache of fixed size, so that a GPU replays each step as one captured graph
    (corea.engines.local.cuda_graphs); for models
    with full attention in every layer."""

    def __post_init__(self) -> None:
        at_least("engine.batch_rows", self.batch_rows, 1)


@dataclass
class VLLMEngineConfig(EngineConfig):
    """vLLM in this process: rollouts while training, with weights handed over after each update, and collecting."""

    _target_: str = "corea.engines.vllm.in_process.VLLMEngine"
    name: str = "vllm"
    max_model_len: Optional[int] = None
    """Tokens of prompt and completion together; null: what the model allows."""
    max_rows: int = 256
    """Completions decoded at a time."""
    gpu_share: float = 0.4
    """Of the GPU's memory for weights and cache, while training beside it."""
    sleep: bool = True
    """On a GPU, give that memory back while the update runs."""
    cpu_cache_gib: int = 1
    """Key/value cache on a CPU; the environment variable VLLM_CPU_KVCACHE_SPACE goes before."""
    eager: bool = True
    """Without compiled graphs: starts faster."""
    max_logprob_gap: Optional[float] = 0.05
    """Largest mean |difference| between sampled and recomputed log-probabilities of a step; beyond it the run stops."""

    def __post_init__(self) -> None:
        at_least("engine.max_model_len", self.max_model_len, 2)
        at_least("engine.max_rows", self.max_rows, 1)
        within("engine.gpu_share", self.gpu_share, 0.05, 1)
        at_least("engine.cpu_cache_gib", self.cpu_cache_gib, 1)
        above("engine.max_logprob_gap", self.max_logprob_gap, 0)


@dataclass
class AutoEngineConfig(EngineConfig):
    """vLLM where it is installed and there is a GPU, else our own decode loop; a line says which."""

    _target_: str = "corea.engines.build.resolve_engine"
    name: str = "auto"


@dataclass
class OwnEngineConfig(EngineConfig):
    """An engine of the user's own (docs/extending.md); one that trains has the methods of
    corea.engines.TrainingEngine."""

    name: str = "own"
    params: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the class."""


@dataclass
class OpenAIEngineConfig(EngineConfig):
    """Any server that speaks OpenAI's chat completions. The key comes from the environment and is written nowhere."""

    _target_: str = "corea.engines.remote.openai_chat.OpenAIEngine"
    name: str = "openai"
    base_url: str = "https://api.openai.com/v1"
    key_env: Optional[str] = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; null: the server wants none."""
    concurrency: int = 16
    """Most calls under way at a time."""
    timeout_s: float = 300.0
    """Of one call, from its start to the last byte."""
    tries: int = 8
    """Calls for one answer before it counts as failed."""
    max_wait_s: float = 120.0
    """Longest wait between two tries; a server that asks for more has failed the question."""
    cache: Optional[str] = "~/.cache/corea/responses"
    """Folder of the responses, by the whole request: none is paid for twice. null: none are kept."""
    token_limit: str = "max_tokens"
    """Name of the field that limits new tokens: max_tokens, or max_completion_tokens for models that reason."""
    send_seed: bool = True
    """Put a seed into each request."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the request body, e.g. {reasoning_effort: low}; {temperature: null} leaves that field out."""

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        hidden = url.username or url.password or url.query
        shown = f"{url.scheme}://…{url.hostname}/…" if hidden else self.base_url
        ok = url.scheme in ("http", "https") and bool(url.hostname) and not hidden
        require(ok, "engine.base_url", shown, "http(s)://HOST[:PORT]/PATH, without a name, password or query")
        for key in ("concurrency", "tries"):
            at_least(f"engine.{key}", getattr(self, key), 1)
        above("engine.timeout_s", self.timeout_s, 0)
        at_least("engine.max_wait_s", self.max_wait_s, 0)
        one_of("engine.token_limit", self.token_limit, ("max_tokens", "max_completion_tokens"))

    def identity(self) -> dict[str, Any]:
        """The server and whatever else a request holds."""
        return {"base_url": self.base_url, "extra": self.extra, "send_seed": self.send_seed}


@dataclass
class VLLMServerEngineConfig(OpenAIEngineConfig):
    """A vLLM server run elsewhere; in training it draws the rollouts and follows the weights."""

    _target_: str = "corea.engines.vllm.served.VLLMServer"
    name: str = "vllm_server"
    base_url: str = "http://127.0.0.1:8000/v1"
    key_env: Optional[str] = None
    cache: Optional[str] = None
    weights: Optional[str] = None
    """Folder that this process writes and the server reads weights in; null: served_weights in the run folder."""
    max_logprob_gap: Optional[float] = 0.05
    """As that of engine=vllm."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above("engine.max_logprob_gap", self.max_logprob_gap, 0)


@dataclass
class RecordedEngineConfig(EngineConfig):
    """One tier from a file of recorded answers, found by the question's text; the model's name is the file's path."""

    _target_: str = "corea.engines.replay.RecordedFile"
    name: str = "recorded"
    tier: Optional[int] = None
    """Rows of this tier, in a table that holds several; null: the highest."""


RECORDED_COLUMNS = {
    "question_id": "question_id",
    "sample": "sample",
    "text": "text",
    "answer": "recorded_answer",
    "correct": "recorded_correct",
    "confidence": "recorded_confidence",
    "prompt_tokens": "prompt_tokens",
    "cached_tokens": "cached_tokens",
    "completion_tokens": "completion_tokens",
    "retry_prompt_tokens": "retry_prompt_tokens",
    "retry_completion_tokens": "retry_completion_tokens",
    "latency_s": "latency_s",
    "cost_usd": "cost_usd",
}
"""What a recorded answer may hold -> the column that holds it. Only question_id and one of text, answer, correct are
needed."""
QUESTION_COLUMNS = {"question_id": "question_id", "question": "question", "gold": "gold", "split": "split"}


@dataclass
class ReplayEngineConfig(EngineConfig):
    """Recorded answers instead of a model. Recorded verdicts and confidences are used as they are."""

    _target_: str = "corea.engines.replay.ReplayEngine"
    name: str = "replay"
    questions: Optional[str] = None
    """Table with question_id, question, gold; None: the questions are those of the first tier."""
    tiers: list[str] = field(default_factory=list)
    """One table (JSONL, Parquet or CSV) a tier, smallest model first."""
    names: list[str] = field(default_factory=list)
    """Model names of the tiers; empty: the file names."""
    dataset: str = "replay"
    """Name of the dataset in the answers table."""
    columns: dict[str, str] = field(default_factory=lambda: dict(RECORDED_COLUMNS))
    """Where the tables of the tiers hold what."""
    question_columns: dict[str, str] = field(default_factory=lambda: dict(QUESTION_COLUMNS))
    """Where the table of the questions holds what."""
    grader: str = "math"
    """Judges answers without a recorded verdict; needs `questions` with gold."""
    prices: list[PriceConfig] = field(default_factory=list)
    """One a tier; empty: costs are unknown unless recorded."""
    tokenizer: Optional[str] = None
    """Hub id, local folder or "package:NAME": counts tokens where none were recorded (question and text alone)."""

    def __post_init__(self) -> None:
        require(known_grader(self.grader), "engine.grader", self.grader, allowed_graders())
        _known_keys("engine.columns", self.columns, RECORDED_COLUMNS)
        _known_keys("engine.question_columns", self.question_columns, QUESTION_COLUMNS)
        for key, values in (("names", self.names), ("prices", self.prices)):
            ok = not values or len(values) == len(self.tiers)
            require(ok, f"engine.{key}", values, f"none, or one for each of the {len(self.tiers)} engine.tiers")


def _known_keys(key: str, given: dict[str, str], allowed: dict[str, str]) -> None:
    unknown = sorted(given.keys() - allowed.keys())
    require(not unknown, key, unknown, "a column for " + ", ".join(allowed))
