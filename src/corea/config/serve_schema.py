"""Schema of corea.serve: the live cascade behind an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from omegaconf import MISSING

from corea.config.allowed_names import DISPLAYS
from corea.config.checks import above, at_least, check, checked, existing, nested, one_of, require, within
from corea.config.live_schema import LiveTierConfig, unchanged_tiers
from corea.config.serve_watch_schema import ServeWatchConfig


@dataclass
class ServeOptionsConfig(ServeWatchConfig):
    """The server: address, limits, what happens where the cascade cannot answer as it was calibrated, and what is
    watched."""

    host: str = "127.0.0.1"
    """Address to listen on. Any other than loopback needs keys."""
    port: int = checked(8000, within(0, 65535))
    """Port; 0: any free one."""
    workers: int = checked(1, at_least(1))
    """Processes that answer. Each loads the local models, and has an equal share of budget_usd."""
    model: str = "corea"
    """Name of the cascade in requests and in /v1/models; MODEL/DATASET applies the thresholds of another dataset."""
    unbound: bool = False
    """Run although weights, prompt, temperature or token limit differ from those of the operating point, or cannot be
    compared; every response is marked."""
    on_llm_failure: str = checked("error", one_of("error", "slm"))
    """Where the tier that should answer fails: status 502, 503 or 504, or the answer of the tier before, marked as
    fallback."""
    on_budget: str = checked("reject", one_of("reject", "slm"))
    """When the budget is reached: status 429, or the answer of the tier before."""
    uncalibrated: str = checked("reject", one_of("reject", "llm"))
    """Requests that the operating point does not hold for (several turns, tools, images, n > 1, other sampling): status
    400, or the last tier answers them."""
    deadline_s: float = checked(60.0, above(0))
    """Seconds that a request may take."""
    slm_timeout_s: Optional[float] = checked(None, above(0))
    """Seconds that a tier before the last may take, all its attempts together; then the question goes on. null: an
    equal share of deadline_s for every tier."""
    tries: Optional[int] = checked(2, at_least(1))
    """Calls of a server for one answer; null: as the tier's engine has it."""
    concurrency: int = checked(256, at_least(1))
    """Simultaneous calls of each server."""
    queue_size: int = checked(1024, at_least(1))
    """Requests that may wait for each tier; beyond, status 429 with Retry-After."""
    batch_size: int = checked(64, at_least(1))
    """Questions that a local model answers together."""
    ping_s: float = checked(5.0, above(0))
    """Seconds without a byte after which a stream gets a comment, so that no connection times out."""
    ready_s: float = checked(15.0, above(0))
    """Seconds for which /health/ready keeps what it knows of a tier."""
    keys_file: Optional[str] = existing()
    """File with one API key a line; lines that start with # are comments."""
    keys_env: Optional[str] = "COREA_SERVE_KEYS"
    """Environment variable with API keys, separated by commas or white space; it may be unset."""
    requests_per_minute: Optional[float] = checked(None, above(0))
    """Requests per minute and key, in each process of serve.workers; null: no limit."""
    tokens_per_minute: Optional[float] = checked(None, above(0))
    """Tokens per minute and key, of all tiers, prompt and answer, in each process of serve.workers; null: no limit."""
    max_body_bytes: int = checked(2**20, at_least(1))
    """Size of a request's body."""
    max_prompt_chars: int = checked(100_000, at_least(1))
    """Characters of a request's messages together."""
    log_text: bool = False
    """Write questions and answers to log lines and served records; otherwise they are nowhere kept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = bool(self.model) and "/" not in self.model and self.model.isprintable() and self.model.isascii()
        require(plain, "serve.model", self.model, "a name of printable ASCII characters without /")


@dataclass
class ServeConfig:
    """python -m corea.serve"""

    operating_point: str = existing(MISSING)
    """operating_point.json of corea.evaluate: tiers, signal and thresholds."""
    dataset: Optional[str] = None
    """Dataset whose thresholds apply to requests that name none; null: the operating point's primary dataset."""
    tiers: dict[str, LiveTierConfig] = field(default_factory=unchanged_tiers)
    """Number of a tier -> its changes, e.g. tiers.1.model=outputs/llm; +engine@tiers.1.engine=openai gives it another
    engine, and a tier above 3 its keys."""
    budget_usd: Optional[float] = checked(None, at_least(0))
    """Maximum dollars that all calls of paid servers for this run folder may cost; null: no limit."""
    serve: ServeOptionsConfig = nested(ServeOptionsConfig)
    """The server."""
    display: str = checked("auto", one_of(*DISPLAYS))
    """Form of progress: rich is live bars, plain is lines, none prints only results and errors; auto chooses."""

    def __post_init__(self) -> None:
        check(self, "")
        for name in self.tiers:
            require(name.isdigit(), "tiers", name, "numbers of tiers, as the operating point has them")
