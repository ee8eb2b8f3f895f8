"""OpenAIEngine: answers from a server that speaks OpenAI's chat completions.

One call per answer. A call is reserved in the ledger before it is made, and a response is written to disk first, so a
killed process loses at most the calls in progress, and those count as spent.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corea.config.engine_schema import OpenAIEngineConfig
from corea.config.price_schema import PriceConfig
from corea.engines.remote.attempts import Failure
from corea.engines.remote.chat_format import completion_of, holds_answer, most_prompt_tokens, request_body
from corea.engines.remote.ledger import Ledger
from corea.engines.remote.paid_calls import PaidCalls
from corea.engines.remote.response_cache import ResponseCache, request_key
from corea.engines.remote.usage import usage_of
from corea.errors import UserError
from corea.prices import cost_usd
from corea.surrogates import without_surrogates
from corea.types import DISTRIBUTIONS, LOGPROBS, Completion, Message, Progress, Prompts, Sampling

TOP_LOGPROBS = 20
"""Alternatives of each token; the most that servers give."""


class OpenAIEngine:
    """Engine on a server (see corea.types.Engine)."""

    paid = True
    """See corea.engines.PaidEngine."""

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        template: Mapping[str, Any] | None = None,
        price: PriceConfig | None = None,
        budget_usd: float | None = None,
        ledger: Path | Ledger | None = None,
        **options: Any,
    ):
        """
        Args:
            model: the server's name of the model; `revision` and `dtype` are ignored.
            template: variables of the chat template, for servers that support chat_template_kwargs.
            ledger: file of the expenses, or one that several engines share, which holds the budget of all.
            price: None or empty: costs are unknown, and no budget is possible.
            options: fields of OpenAIEngineConfig.

        Raises:
            UserError: the environment has no key, or there is a budget without a price.
        """
        if template:
            options["extra"] = {"chat_template_kwargs": dict(template), **options.get("extra", {})}
        self.cfg = OpenAIEngineConfig(**options)
        self.model_name = model
        self.price = price or PriceConfig()
        self.key = read_key(self.cfg)
        if budget_usd is not None and cost_usd(self.price, 1, 0, 1) is None:
            raise UserError(f"llm.budget_usd={budget_usd}: needs llm.price.input and llm.price.output")
        self.ledger: Ledger = ledger if isinstance(ledger, Ledger) else Ledger(ledger, budget_usd)
        self.owns_ledger = self.ledger is not ledger
        self.cache = ResponseCache(self.cfg.cache)
        self.stopped: UserError | None = None
        self.most_prompt = 1.0  # factor that grows if a server counts more prompt tokens than our bound

    @property
    def spent_usd(self) -> float | None:
        """Dollars spent so far by this run folder; None if prices are unknown."""
        return self.ledger.spent if cost_usd(self.price, 1, 0, 1) is not None else None

    def masked(self, text: str) -> str:
        """The text with *** in the place of the key."""
        return text if self.cfg.key_env is None else text.replace(self.key, "***")

    def close(self) -> None:
        """Close the ledger, unless others use it."""
        if self.owns_ledger:
            self.ledger.close()

    def generate(
        self,
        prompts: Prompts,
        sampling: Sampling,
        progress: Progress = None,
    ) -> list[list[Completion]]:
        """Answer each prompt `sampling.n` times, with at most cfg.concurrency calls at a time.

        If no further call makes sense (the budget is reached, the server rejects the key or the model), `stopped` holds
        the reason, and prompts that were not sent get completions with finish_reason "error".
        """
        plain = without_surrogates([list(messages) for messages in prompts])
        return asyncio.run(_Batch(self, plain, sampling, progress).run())

    def request(self, messages: Sequence[Message], sampling: Sampling, sample: int) -> dict[str, Any]:
        """Everything that a response depends on."""
        body = request_body(self.cfg, self.model_name, messages, sampling, sample)
        if {DISTRIBUTIONS, LOGPROBS} & set(sampling.record):
            body = {"logprobs": True, "top_logprobs": TOP_LOGPROBS, **body}
        return {"url": self.cfg.base_url.rstrip("/"), "body": body, "sample": sample}

    def most_usd(self, messages: Sequence[Message], sampling: Sampling) -> float:
        """Maximum cost of one call; 0 if prices are unknown."""
        prompt = int(most_prompt_tokens(messages) * self.most_prompt)
        return cost_usd(self.price, prompt, 0, sampling.max_tokens) or 0.0

    def charge(self, usage: tuple[int, ...] | None, most: float, messages: Sequence[Message]) -> float:
        """Cost of a call; `most` if the server does not report its tokens."""
        if usage is None:
            return most
        self.most_prompt = max(self.most_prompt, usage[0] / most_prompt_tokens(messages))
        return cost_usd(self.price, *usage[:3]) or 0.0

    def charge_answer(self, response: dict[str, Any], most: float, messages: Sequence[Message]) -> float:
        """Cost of a call by its response."""
        return self.charge(usage_of(response), most, messages)

    def completion(self, response: dict[str, Any], latency_s: float, retries: Mapping[str, int]) -> Completion:
        """Completion of a response; `retries`: tokens of failed attempts before it."""
        return completion_of(response, model=self.model_name, latency_s=latency_s, retries=retries)


def read_key(cfg: OpenAIEngineConfig) -> str:
    """The API key from the environment.

    Raises:
        UserError: the variable is not set.
    """
    if cfg.key_env is None:
        return "none"
    key = os.environ.get(cfg.key_env, "").strip()
    if not key:
        raise UserError(
            f"engine.key_env={cfg.key_env}: this environment variable is not set; export the server's key there, or "
            "give key_env=null for a server without a key"
        )
    return key


class _Batch:
    """The calls of one `generate`."""

    def __init__(self, engine: OpenAIEngine, prompts: Prompts, sampling: Sampling, progress: Progress) -> None:
        self.engine, self.cfg = engine, engine.cfg
        self.prompts, self.sampling, self.progress = prompts, sampling, progress
        self.answers: list[list[Completion | None]] = [[None] * sampling.n for _ in prompts]
        self.todo = [(i, k) for i in range(len(prompts)) for k in range(sampling.n)][::-1]
        self.calls: dict[str, asyncio.Future[Completion]] = {}
        """Calls by request, so that equal requests are made once."""

    async def run(self) -> list[list[Completion]]:
        from openai import AsyncOpenAI

        async with AsyncOpenAI(
            api_key=self.engine.key, base_url=self.cfg.base_url, max_retries=0, timeout=self.cfg.timeout_s
        ) as client:
            self.paid = PaidCalls(self.engine, client)
            workers = min(self.cfg.concurrency, len(self.todo))
            # Every worker finishes by itself: a call in progress is paid for and is not cancelled when another fails.
            outcomes = await asyncio.gather(*(self._work() for _ in range(workers)), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        not_asked = Failure(reason="not asked")
        return [[c or self._failed(not_asked, 0) for c in group] for group in self.answers]

    async def _work(self) -> None:
        while self.todo and self.engine.stopped is None:
            i, k = self.todo.pop()
            try:
                self.answers[i][k] = await self._answer(self.prompts[i], k)
            except UserError as error:
                self.engine.stopped = self.engine.stopped or error
                return
            if self.progress is not None and None not in self.answers[i]:
                self.progress(1)

    async def _answer(self, messages: Sequence[Message], sample: int) -> Completion:
        request = self.engine.request(messages, self.sampling, sample)
        key = request_key(request)
        if key in self.calls:
            return await asyncio.shield(self.calls[key])
        kept = self.engine.cache.get(request)
        if kept is not None and holds_answer(kept["response"]):
            again = {"latency_s": kept["latency_s"], "retries": kept.get("retries", {})}
            return self.engine.completion(kept["response"], **again)
        future = self.calls[key] = asyncio.get_running_loop().create_future()
        try:
            completion = await self._persist(request, messages)
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # mark as retrieved, also if no equal request waits
            raise
        future.set_result(completion)
        return completion

    async def _persist(self, request: dict[str, Any], messages: Sequence[Message]) -> Completion:
        try:
            return await self.paid.persist(request, messages, self.engine.most_usd(messages, self.sampling))
        except Failure as failure:
            if failure.hopeless:
                raise UserError(self._refused(failure)) from None
            return self._failed(failure, failure.tries, request_key(request))

    def _refused(self, failure: Failure) -> str:
        where = f"llm.engine.base_url={self.cfg.base_url}, model {self.engine.model_name}"
        hint = f"; is the key in ${self.cfg.key_env} the right one?" if "401" in failure.reason else ""
        return self.engine.masked(f"{where}: {failure.reason}{hint}")

    def _failed(self, failure: Failure, tries: int, key: str = "") -> Completion:
        return Completion(
            text="",
            finish_reason="error",
            prompt_tokens=0,
            completion_tokens=0,
            model=self.engine.model_name,
            error=self.engine.masked(f"{failure.reason} (after {tries} tries)"),
            extra={"tokens": "unknown", **self.engine.ledger.retries(key)},
        )
