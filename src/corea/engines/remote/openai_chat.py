"""OpenAIEngine: answers from a server that speaks OpenAI's chat completions.

One call per answer. A call is reserved in the ledger before it is made, and a response is written to disk first, so a
killed process loses at most the calls in progress, and those count as spent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from corea.config.engine_schema import OpenAIEngineConfig
from corea.config.price_schema import PriceConfig
from corea.engines.remote.attempts import Failure, answer_failure, status_failure, wait_s
from corea.engines.remote.chat_format import completion_of, holds_answer, most_prompt_tokens, request_body
from corea.engines.remote.error_text import parsed
from corea.engines.remote.ledger import Ledger
from corea.engines.remote.response_cache import ResponseCache, request_key
from corea.engines.remote.usage import usage_of
from corea.errors import UserError
from corea.prices import cost_usd
from corea.surrogates import without_surrogates
from corea.types import Completion, Message, Sampling

SHARED_WAIT_S = 0.1
"""Seconds between two looks at a full budget."""


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
        self.own_ledger = None if isinstance(ledger, Ledger) else Ledger(ledger, budget_usd)
        self.ledger = self.own_ledger or ledger
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
        if self.own_ledger is not None:
            self.own_ledger.close()

    def generate(
        self,
        prompts: Sequence[Sequence[Message]],
        sampling: Sampling,
        progress: Callable[[int], None] | None = None,
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

    def __init__(self, engine: OpenAIEngine, prompts, sampling: Sampling, progress):
        self.engine, self.cfg = engine, engine.cfg
        self.prompts, self.sampling, self.progress = prompts, sampling, progress
        self.answers: list[list[Completion | None]] = [[None] * sampling.n for _ in prompts]
        self.todo = [(i, k) for i in range(len(prompts)) for k in range(sampling.n)][::-1]
        self.calls: dict[str, asyncio.Future[Completion]] = {}
        """Calls by request, so that equal requests are made once."""
        self.not_before = 0.0
        """Time before which no call starts: when a server asks to wait, all calls wait."""

    async def run(self) -> list[list[Completion]]:
        from openai import AsyncOpenAI

        self.settled = asyncio.Condition()
        async with AsyncOpenAI(
            api_key=self.engine.key, base_url=self.cfg.base_url, max_retries=0, timeout=self.cfg.timeout_s
        ) as self.client:
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
            return completion_of(kept["response"], model=self.engine.model_name, **again)
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
        """Call until there is an answer, or no further attempt makes sense."""
        for tries in range(1, self.cfg.tries + 1):
            await asyncio.sleep(max(0.0, self.not_before - time.monotonic()))
            try:
                return await self._paid_call(request, messages)
            except Failure as failure:
                if failure.hopeless:
                    raise UserError(self._refused(failure)) from None
                pause = wait_s(tries, failure, self.cfg.max_wait_s)
                last = tries == self.cfg.tries or not failure.again or pause is None
                if last or self.engine.stopped is not None:
                    return self._failed(failure, tries, request_key(request))
                if failure.retry_after is not None:
                    self.not_before = max(self.not_before, time.monotonic() + failure.retry_after)
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns")

    async def _paid_call(self, request: dict[str, Any], messages: Sequence[Message]) -> Completion:
        """One call between its reservation and its settlement."""
        engine = self.engine
        most = engine.most_usd(messages, self.sampling)
        ticket = await self._reserve(most)
        key, lost = request_key(request), None
        spent = most  # also on cancellation: the server may finish the answer and charge for it
        try:
            response, latency = await self._call(request["body"])
            retries = engine.ledger.retries(key)
            engine.cache.put(request, response, latency, retries)
            spent = engine.charge(usage_of(response), most, messages)
            return completion_of(response, model=engine.model_name, latency_s=latency, retries=retries)
        except Failure as failure:
            lost = failure.usage and (failure.usage[0], failure.usage[2])
            spent = engine.charge(failure.usage, most if failure.charged else 0.0, messages)
            raise
        finally:
            engine.ledger.settle(ticket, spent, key, lost)
            async with self.settled:
                self.settled.notify_all()

    async def _reserve(self, most: float) -> int:
        ledger = self.engine.ledger
        async with self.settled:
            while (ticket := ledger.reserve(most)) is None:
                if not ledger.open:
                    raise ledger.reached(most)
                with suppress(TimeoutError):  # an engine that shares the ledger notifies only its own calls
                    await asyncio.wait_for(self.settled.wait(), SHARED_WAIT_S)
        return ticket

    async def _call(self, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """(response, seconds). Raises Failure."""
        import openai

        rest = {k: v for k, v in body.items() if k not in ("model", "messages")}
        started = time.perf_counter()
        try:
            async with asyncio.timeout(
                self.cfg.timeout_s
            ):  # the client's own limit applies to each read, so a slow stream would pass it
                raw = await self.client.chat.completions.with_raw_response.create(
                    model=body["model"], messages=body["messages"], extra_body=rest
                )
                text = raw.content.decode(errors="replace")  # JSON is UTF-8, whatever the header says
        except openai.APIStatusError as error:
            body = parsed(self.engine.masked(error.response.text))
            raise status_failure(error.status_code, error.response.headers, body) from None
        except (TimeoutError, openai.APITimeoutError):
            raise Failure(reason=f"no answer within {self.cfg.timeout_s:g} s", charged=True) from None
        except openai.APIConnectionError as error:
            raise _connection_failure(error) from None
        except openai.OpenAIError as error:
            raise Failure(reason=type(error).__name__, charged=True) from None
        response = parsed(text)
        if not holds_answer(response):
            raise answer_failure(parsed(self.engine.masked(text)))
        return response, time.perf_counter() - started

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


def _connection_failure(error: Exception) -> Failure:
    """The Failure of a connection. A refused connection costs nothing; a broken one may have."""
    cause = error.__cause__
    never = type(cause).__name__ in ("ConnectError", "ConnectTimeout", "UnsupportedProtocol")
    return Failure(reason=f"connection failed ({type(cause or error).__name__})", charged=not never)
