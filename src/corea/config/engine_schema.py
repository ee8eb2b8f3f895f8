"""Schemas of the group `engine`: what answers prompts. One dataclass per engine; `_target_` picks the class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import urlsplit

from omegaconf import MISSING

from corea.config.allowed_names import GRADER
from corea.config.answer_columns import RECORDED_COLUMNS
from corea.config.checks import above, at_least, check, checked, one_of, require, require_keys, within
from corea.config.price_schema import PriceConfig


@dataclass
class EngineConfig:
    """Fields of every engine."""

    _target_: str = MISSING
    """Class of the engine: package.module.Class, module:Class or file.py:Class."""
    name: str = MISSING
    """Name of the choice."""

    def identity(self) -> dict[str, Any]:
        """Settings that answers depend on besides the model's files; {} if there are none."""
        return {}


@dataclass
class HFEngineConfig(EngineConfig):
    """corea's own decode loop on a transformers model."""

    _target_: str = "corea.engines.local.hf.HFEngine"
    name: str = "hf"
    batch_rows: int = checked(256, at_least(1))
    """Completions decoded together."""
    device: Optional[str] = None
    """torch device; null: cuda if available, else cpu."""
    graphs: bool = False
    """Use a cache of fixed size, so that a GPU replays each decoding step as one captured CUDA graph; for models with
    full attention in every layer."""

    def __post_init__(self) -> None:
        check(self, "engine")


@dataclass
class VLLMEngineConfig(EngineConfig):
    """vLLM in this process, for collecting and for rollouts in training; each update sends it the new weights."""

    _target_: str = "corea.engines.vllm.in_process.VLLMEngine"
    name: str = "vllm"
    max_model_len: Optional[int] = checked(None, at_least(2))
    """Maximum tokens of prompt and completion together; null: what the model allows."""
    max_rows: int = checked(256, at_least(1))
    """Maximum completions decoded together."""
    gpu_share: float = checked(0.4, within(0.05, 1))
    """Share of the GPU's memory for weights and cache; the rest is for training."""
    sleep: bool = True
    """Free that GPU memory during the update."""
    cpu_cache_gib: int = checked(1, at_least(1))
    """Size of the key/value cache on a CPU; the environment variable VLLM_CPU_KVCACHE_SPACE takes precedence."""
    tensor_parallel: int = checked(1, at_least(1))
    """Processes (GPUs) that hold one copy of the model together, in training under torchrun or deepspeed; the number of
    processes is a multiple of it."""
    eager: Optional[bool] = None
    """Run without compiled graphs, which starts faster and samples more slowly; null: on a CPU only."""
    max_logprob_gap: Optional[float] = checked(0.05, above(0))
    """Maximum mean |difference| between sampled and recomputed log-probabilities of a step; the run stops above it.
    null: no check."""

    def __post_init__(self) -> None:
        check(self, "engine")


@dataclass
class AutoEngineConfig(EngineConfig):
    """vLLM if it is installed and there is a GPU, else corea's own decode loop; a log line says which."""

    _target_: str = "corea.engines.build.resolve_engine"
    name: str = "auto"


@dataclass
class OwnEngineConfig(EngineConfig):
    """The user's own engine (docs/extending.md); to train, it needs the methods of corea.engines.TrainingEngine."""

    name: str = "own"
    params: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the class."""


def check_url(key: str, address: str) -> None:
    """Check the address of a server. Raises ValueError, without the secrets that an address may hold."""
    url = urlsplit(address)
    hidden = url.username or url.password or url.query
    shown = f"{url.scheme}://…{url.hostname}/…" if hidden else address
    ok = url.scheme in ("http", "https") and bool(url.hostname) and not hidden
    require(ok, key, shown, "http(s)://HOST[:PORT]/PATH, without a name, password or query")


@dataclass
class OpenAIEngineConfig(EngineConfig):
    """Any server with OpenAI's chat completions API. The key is read from the environment and never written."""

    _target_: str = "corea.engines.remote.openai_chat.OpenAIEngine"
    name: str = "openai"
    base_url: str = "https://api.openai.com/v1"
    """Address of the server: http(s)://HOST[:PORT]/PATH."""
    key_env: Optional[str] = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; null: the server needs none."""
    concurrency: int = checked(16, at_least(1))
    """Maximum simultaneous calls."""
    timeout_s: float = checked(300.0, above(0))
    """Seconds that one call may take, from its start to the last byte."""
    tries: int = checked(8, at_least(1))
    """Calls for one answer before it counts as failed."""
    max_wait_s: float = checked(120.0, at_least(0))
    """Maximum wait between two tries; the question fails if the server asks for more."""
    cache: Optional[str] = "~/.cache/corea/responses"
    """Folder that caches responses, keyed by the whole request, so that none is paid twice; null: no cache."""
    token_limit: str = checked("max_tokens", one_of("max_tokens", "max_completion_tokens"))
    """Name of the request field that limits new tokens; reasoning models take max_completion_tokens."""
    send_seed: bool = True
    """Put a seed into each request."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the request body, e.g. {reasoning_effort: low}; {temperature: null} leaves that field out."""

    def __post_init__(self) -> None:
        check(self, "engine")
        check_url("engine.base_url", self.base_url)

    def identity(self) -> dict[str, Any]:
        """The server and the other fields of a request."""
        return {"base_url": self.base_url, "extra": self.extra, "send_seed": self.send_seed}


@dataclass
class VLLMServerEngineConfig(OpenAIEngineConfig):
    """A vLLM server that runs elsewhere; in training it samples the rollouts and loads the weights of each update."""

    _target_: str = "corea.engines.vllm.served.VLLMServer"
    name: str = "vllm_server"
    base_url: str = "http://127.0.0.1:8000/v1"
    key_env: Optional[str] = None
    cache: Optional[str] = None
    base_urls: list[str] = field(default_factory=list)
    """Several servers for training, which share the prompts; empty: base_url alone."""
    weights: Optional[str] = None
    """Folder through which the servers receive weights and adapters; null: served_weights in the run folder."""
    transfer: str = checked("auto", one_of("auto", "nccl", "ipc", "file"))
    """How weights reach the servers: nccl and ipc are vLLM's weight transfer from GPU to GPU (ipc on the same GPU),
    file is a file in `weights`; auto is nccl where trainer and servers allow it, else file, as a log line says."""
    max_logprob_gap: Optional[float] = checked(0.05, above(0))
    """Maximum mean |difference| between sampled and recomputed log-probabilities of a step; the run stops above it.
    null: no check."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for address in self.base_urls:
            check_url("engine.base_urls", address)


@dataclass
class RecordedEngineConfig(EngineConfig):
    """One tier from a file of recorded answers, by the question's text; the model's name is the file's path."""

    _target_: str = "corea.engines.replay.RecordedFile"
    name: str = "recorded"
    tier: Optional[int] = None
    """Tier whose rows are read, in a table that holds several; null: the highest."""


QUESTION_COLUMNS = {"question_id": "question_id", "question": "question", "gold": "gold", "split": "split"}


@dataclass
class ReplayEngineConfig(EngineConfig):
    """Recorded answers instead of a model. Recorded verdicts and confidences are used unchanged."""

    _target_: str = "corea.engines.replay.ReplayEngine"
    name: str = "replay"
    questions: Optional[str] = None
    """Table with question_id, question, gold; null: the questions are those of the first tier."""
    tiers: list[str] = field(default_factory=list)
    """One table (JSONL, Parquet or CSV), or file of another tool, per tier, smallest model first. A file with several
    models stands for all of them, or is named once for each."""
    names: list[str] = field(default_factory=list)
    """Model names of the tiers; empty: the file names."""
    dataset: str = "replay"
    """Name of the dataset in the answers table."""
    columns: dict[str, str] = field(default_factory=lambda: dict(RECORDED_COLUMNS))
    """Field of a recorded answer -> its column in the tables of the tiers; a part of a nested column is named by dots:
    response.0.text."""
    pick: Optional[str] = None
    """Filter, scorer or metric that gives the verdicts where a file of another tool has several; null: the one that the
    log line names."""
    confidence_scale: float = checked(1.0, above(0))
    """Recorded confidence that means certain: 1, or 100 for percentages."""
    question_columns: dict[str, str] = field(default_factory=lambda: dict(QUESTION_COLUMNS))
    """Field of a question -> its column in the table of the questions."""
    grader: str = checked("math", GRADER)
    """Grader of answers without a recorded verdict; needs `questions` with gold."""
    prices: list[PriceConfig] = field(default_factory=list)
    """One price per tier; empty: costs are unknown unless recorded."""
    tokenizer: Optional[str] = None
    """Hub id, local folder or "package:NAME" of a tokenizer that counts tokens if none were recorded (only those of
    question and text)."""

    def __post_init__(self) -> None:
        check(self, "engine")
        require_keys("engine.columns", self.columns, RECORDED_COLUMNS, "a column")
        require_keys("engine.question_columns", self.question_columns, QUESTION_COLUMNS, "a column")
        for key, values in (("names", self.names), ("prices", self.prices)):
            ok = not values or len(values) == len(self.tiers)
            require(ok, f"engine.{key}", values, f"none, or one for each of the {len(self.tiers)} engine.tiers")
