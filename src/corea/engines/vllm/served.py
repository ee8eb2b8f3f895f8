"""VLLMServer: a separate vLLM server.

Collecting uses its OpenAI chat completions. In training it samples the rollouts: prompts are sent as tokens to its
completions endpoint, and after each update it takes the trainer's weights, through the endpoints that
VLLM_SERVER_DEV_MODE=1 opens: from GPU to GPU (weight_transfer.py), or from a shared file, of which only the path is
sent. A server that loads adapters while it runs gets the adapters of trainer.lora alone. Several servers share the
prompts by the length of their queues; the prompts of one that fails go to the others (server_pool.py).

Tested with vLLM 0.32 on a CPU.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from corea.config.engine_schema import VLLMServerEngineConfig
from corea.engines.completions import build_completion, prompt_too_long
from corea.engines.loading import encode_prompt, eos_ids
from corea.engines.local.token_sampling import completion_seed, noise_keys
from corea.engines.remote.error_text import error_text
from corea.engines.remote.openai_chat import OpenAIEngine
from corea.engines.vllm.server_pool import ServerPool
from corea.engines.vllm.weight_transfer import Parameter, open_transfer
from corea.errors import UserError
from corea.run_folder import run_dir
from corea.runtime import atomic_write
from corea.types import Completion, Progress, Prompts, Sampling

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types import Completion as OpenAICompletion
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

REFUSED = (400, 401, 403, 404, 413, 422)
"""HTTP statuses of a request that no server would answer."""


class VLLMServer(OpenAIEngine):
    """Engine on a vLLM server with the model that it was started with (see corea.types.Engine)."""

    def __init__(
        self,
        model: str,
        *,
        base_urls: list[str] | None = None,
        weights: str | None = None,
        transfer: str = "auto",
        max_logprob_gap: float | None = None,
        **options: Any,
    ):
        """As OpenAIEngine; the other arguments are used only in training."""
        super().__init__(model, **options)

    @classmethod
    def from_model(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        template: dict[str, Any] | None = None,
        model_name: str,
        path: str,
        revision: str | None,
        **options: Any,
    ) -> ServedRollouts:
        """The engine that samples from the model in training; the server loads its weights here."""
        return ServedRollouts(model, tokenizer, template, model_name, VLLMServerEngineConfig(**options))


class ServedRollouts:
    """Samples rollouts on vLLM servers that follow the trained weights (see corea.engines.TrainingEngine).

    Several ranks may share the servers: each sends its own prompts; rank 0 sends the weights.
    """

    shares_model = False
    """It keeps its own copy of the weights."""
    generates_elsewhere = True
    """The server samples while the trainer updates."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        template: dict[str, Any] | None,
        model_name: str,
        cfg: VLLMServerEngineConfig,
    ) -> None:
        """
        Raises:
            UserError: no server answers, or none accepts weights.
        """
        self.cfg = cfg
        self.pool = ServerPool(cfg)
        self.tokenizer = tokenizer
        self.template = template
        self.model_name = model_name
        self.max_logprob_gap = cfg.max_logprob_gap
        self.stop_ids = sorted(eos_ids(model, tokenizer))
        self.folder = Path(cfg.weights or run_dir() / "served_weights").expanduser().absolute()
        self.adapters = 0
        """Adapters that were sent so far."""
        self.name = f"corea-{uuid.uuid4().hex[:8]}"
        self.takes_adapters = self.pool.takes_adapters()
        """Whether `sync_adapter` can be used; the servers then have their own weights until the first sync."""
        named = list(model.named_parameters(remove_duplicate=False))
        parameters = [Parameter(name, p.dtype, tuple(p.shape)) for name, p in named]
        self.transfer = open_transfer(cfg, self.pool, parameters, distributed_rank())
        if not on_every_rank(self.transfer is not None):
            self.transfer = None
        if not self.takes_adapters:
            self.sync(named)  # the servers may have other weights

    def close(self) -> None:
        """Drop the adapters; the servers keep running."""
        if distributed_rank() == 0:
            self.pool.drop_adapters()
            for folder in self.folder.glob(f"{self.name}-*"):
                shutil.rmtree(folder, ignore_errors=True)

    def sync(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Load weights by their Hugging Face names on the servers and reset everything computed with the old ones.

        A server that was lost takes part again if it loads them.
        """
        if self.transfer is not None:
            self.transfer.send((name, value.detach()) for name, value in weights)
            return
        first = distributed_rank() == 0
        state = {}
        for name, value in weights:  # every rank reads them: under ZeRO-3 they are gathered from all
            if first:
                state[name] = value.detach().to("cpu", copy=True).contiguous()
        if first and state:
            self._load_on_servers(state)
        self._share_states()

    def sync_adapter(self, write: Callable[[Path], None]) -> None:
        """Load an adapter on the servers in place of the one before; their other weights stay as they are.

        Args:
            write: writes the adapter (peft's files) into a folder on rank 0; every rank calls it.
        """
        self.adapters += 1
        folder = self.folder / f"{self.name}-{self.adapters:06d}"  # vLLM's prefix cache tells adapters by name and path
        write(folder)
        if distributed_rank() == 0:
            self.pool.load_adapter(folder.name, folder)
            shutil.rmtree(folder.with_name(f"{self.name}-{self.adapters - 1:06d}"), ignore_errors=True)
        self._share_states()

    def _share_states(self) -> None:
        """Tell all ranks which servers take part; the others wait for rank 0."""
        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            states = [self.pool.states()]
            torch.distributed.broadcast_object_list(states)  # also waits for the first rank
            self.pool.set_states(states[0])

    def _load_on_servers(self, state: dict[str, Tensor]) -> None:
        from safetensors.torch import save_file

        file = self.folder / "model.safetensors"
        with atomic_write(file) as temporary:
            save_file(state, temporary)
        try:
            self.pool.load_weights(self.folder)
        finally:
            file.unlink()

    def generate(self, prompts: Prompts, sampling: Sampling, progress: Progress = None) -> list[list[Completion]]:
        """Answer each prompt `sampling.n` times, with at most cfg.concurrency prompts at a time per server.

        A prompt that fills the model's context gets completions with finish_reason "error".

        Raises:
            UserError: every server has failed, or one refuses a request.
        """
        return asyncio.run(self._generate(prompts, sampling, progress))

    async def _generate(self, prompts: Prompts, sampling: Sampling, progress: Progress) -> list[list[Completion]]:
        encoded = [encode_prompt(self.tokenizer, p, self.model_name, self.template) for p in prompts]
        keys = noise_keys(encoded, sampling.seed)
        context = self.pool.context
        places = asyncio.Semaphore(self.cfg.concurrency * len(self.pool.alive()))
        async with self._clients() as clients:

            async def answer(ids: list[int], key: bytes) -> list[Completion]:
                if len(ids) >= context:
                    return [prompt_too_long(ids, context, self.model_name) for _ in range(sampling.n)]
                async with places:
                    found = await self._answer(clients, ids, key, sampling)
                if progress is not None:
                    progress(1)
                return found

            return await asyncio.gather(*(answer(ids, key) for ids, key in zip(encoded, keys, strict=True)))

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[dict[str, AsyncOpenAI]]:
        """A client for each server. With several servers, one that fails twice hands its prompts to the others."""
        from openai import AsyncOpenAI

        tries = self.cfg.tries if len(self.pool.alive()) == 1 else min(2, self.cfg.tries)
        async with AsyncExitStack() as stack:
            options = {"api_key": self.pool.key, "max_retries": tries - 1, "timeout": self.cfg.timeout_s}
            yield {
                server.url: await stack.enter_async_context(AsyncOpenAI(base_url=server.url, **options))
                for server in self.pool.alive()
            }

    async def _answer(
        self, clients: dict[str, AsyncOpenAI], ids: list[int], key: bytes, sampling: Sampling
    ) -> list[Completion]:
        """The completions of one prompt, from the least busy server. One that fails is lost, and another is asked."""
        import openai

        while True:
            server = self.pool.least_busy()
            server.busy += 1
            started = time.perf_counter()
            try:
                model = server.adapter or server.model
                response = await self._ask(clients[server.url], model, ids, key, sampling)
            except openai.OpenAIError as error:
                status = getattr(error, "status_code", None)
                where = f"engine.base_url={server.url}"
                if status in REFUSED:
                    words = error_text(getattr(error, "body", None))
                    raise UserError(f"{where}: HTTP {status}: {words}") from None
                reason = f"HTTP {status}" if status else type(error).__name__
                self.pool.lose(server, f"{where}: {reason} after {clients[server.url].max_retries + 1} tries")
                continue
            finally:
                server.busy -= 1
            return self._completions(ids, response, time.perf_counter() - started)

    async def _ask(
        self, client: AsyncOpenAI, model: str, ids: list[int], key: bytes, sampling: Sampling
    ) -> OpenAICompletion:
        return await client.completions.create(
            model=model,
            prompt=ids,
            n=sampling.n,
            temperature=sampling.temperature,
            max_tokens=min(sampling.max_tokens, self.pool.context - len(ids)),
            seed=completion_seed(key, 0),  # the server adds 1 for each further copy
            logprobs=0,  # only of the sampled token
            top_p=1.0,  # without the model's own sampling defaults
            extra_body={
                "top_k": 0,
                "min_p": 0.0,
                "repetition_penalty": 1.0,
                "stop_token_ids": self.stop_ids,
                "return_token_ids": True,
            },
        )

    def _completions(self, ids: list[int], response: OpenAICompletion, seconds: float) -> list[Completion]:
        return [
            build_completion(
                self.tokenizer,
                ids,
                list(choice.token_ids),
                [math.nan if p is None else p for p in choice.logprobs.token_logprobs],
                stopped=choice.finish_reason == "stop",
                latency_s=seconds,
                model=self.model_name,
            )
            for choice in sorted(response.choices, key=lambda c: c.index)
        ]


def distributed_rank() -> int:
    """Rank of this process; 0 without a process group."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def on_every_rank(value: bool) -> bool:
    """Whether `value` is true on all ranks."""
    if not torch.distributed.is_initialized():
        return value
    found: list[bool] = [value] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, value)
    return all(found)
