"""VLLMServer: a separate vLLM server.

Collecting uses its OpenAI chat completions. In training it samples the rollouts: prompts are sent as tokens to its
completions endpoint, and after each update it reads the trainer's weights from a shared file, through the endpoints
that VLLM_SERVER_DEV_MODE=1 opens. Only the path of that file is sent.

Tested with vLLM 0.32 on a CPU.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from corea.config.engine_schema import VLLMServerEngineConfig
from corea.engines.completions import build_completion, prompt_too_long
from corea.engines.loading import encode_prompt, eos_ids
from corea.engines.local.token_sampling import completion_seed, noise_keys
from corea.engines.remote.openai_chat import OpenAIEngine, read_key
from corea.errors import UserError
from corea.run_folder import run_dir
from corea.runtime import atomic_write
from corea.types import Completion, Progress, Prompts, Sampling

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class VLLMServer(OpenAIEngine):
    """Engine on a vLLM server with the model that it was started with (see corea.types.Engine)."""

    def __init__(self, model: str, *, weights: str | None = None, max_logprob_gap: float | None = None, **options: Any):
        """As OpenAIEngine; `weights` and `max_logprob_gap` are used only in training."""
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
    """Samples rollouts on a vLLM server that follows the trained weights (see corea.engines.TrainingEngine).

    Several ranks may share the server: each sends its own prompts; rank 0 sends the weights.
    """

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
            UserError: no server answers at cfg.base_url, or it does not accept weights.
        """
        self.cfg = cfg
        self.key = read_key(cfg)
        self.tokenizer = tokenizer
        self.template = template
        self.model_name = model_name
        self.max_logprob_gap = cfg.max_logprob_gap
        self.stop_ids = sorted(eos_ids(model, tokenizer))
        self.folder = Path(cfg.weights or run_dir() / "served_weights").expanduser().absolute()
        served = json.loads(self._call("v1/models"))["data"][0]
        self.served, self.context = served["id"], served["max_model_len"]
        self.sync(model.named_parameters(remove_duplicate=False))  # the server may have other weights

    def close(self) -> None:
        """Nothing to do: the server keeps running."""

    def sync(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Load weights by their Hugging Face names on the server and reset everything computed with the old ones."""
        first = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
        state = {}
        for name, value in weights:  # every rank reads them: under ZeRO-3 they are gathered from all
            if first:
                state[name] = value.detach().to("cpu", copy=True).contiguous()
        if first and state:
            self._load_on_server(state)
        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            torch.distributed.barrier()

    def _load_on_server(self, state: dict[str, Tensor]) -> None:
        from safetensors.torch import save_file

        file = self.folder / "model.safetensors"
        with atomic_write(file) as temporary:
            save_file(state, temporary)
        try:
            self._call("collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(self.folder)}})
        finally:
            file.unlink()
        if not json.loads(self._call("reset_prefix_cache", {}))["success"]:
            raise UserError(
                f"engine.base_url={self.cfg.base_url}: the server did not reset its prefix cache; is it idle?"
            )

    def _call(self, path: str, body: dict[str, Any] | None = None) -> str:
        """GET, or POST if there is a body, relative to the server's root. Raises UserError."""
        url = self.cfg.base_url.rstrip("/").removesuffix("/v1") + "/" + path
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
        where = f"engine.base_url={self.cfg.base_url}"
        try:
            with urllib.request.urlopen(request, timeout=self.cfg.timeout_s) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            if path == "collective_rpc" and error.code in (404, 405):
                raise UserError(f"{where}: does not accept weights; start vLLM with VLLM_SERVER_DEV_MODE=1") from None
            hint = f"; can it read engine.weights={self.folder}?" if path == "collective_rpc" else ""
            raise UserError(f"{where}: HTTP {error.code} from {url}{hint}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UserError(f"{where}: {url} does not answer ({reason}); start it with `vllm serve`") from None

    def generate(self, prompts: Prompts, sampling: Sampling, progress: Progress = None) -> list[list[Completion]]:
        """Answer each prompt `sampling.n` times, with at most cfg.concurrency prompts at a time.

        A prompt that fills the model's context gets completions with finish_reason "error".

        Raises:
            UserError: the server fails cfg.tries times in a row.
        """
        return asyncio.run(self._generate(prompts, sampling, progress))

    async def _generate(self, prompts: Prompts, sampling: Sampling, progress: Progress) -> list[list[Completion]]:
        from openai import AsyncOpenAI

        encoded = [encode_prompt(self.tokenizer, p, self.model_name, self.template) for p in prompts]
        keys = noise_keys(encoded, sampling.seed)
        places = asyncio.Semaphore(self.cfg.concurrency)
        async with AsyncOpenAI(
            api_key=self.key, base_url=self.cfg.base_url, max_retries=self.cfg.tries - 1, timeout=self.cfg.timeout_s
        ) as client:

            async def answer(ids: list[int], key: bytes) -> list[Completion]:
                if len(ids) >= self.context:
                    return [prompt_too_long(ids, self.context, self.model_name) for _ in range(sampling.n)]
                async with places:
                    found = await self._answer(client, ids, key, sampling)
                if progress is not None:
                    progress(1)
                return found

            return await asyncio.gather(*(answer(ids, key) for ids, key in zip(encoded, keys, strict=True)))

    async def _answer(self, client: AsyncOpenAI, ids: list[int], key: bytes, sampling: Sampling) -> list[Completion]:
        import openai

        started = time.perf_counter()
        try:
            response = await client.completions.create(
                model=self.served,
                prompt=ids,
                n=sampling.n,
                temperature=sampling.temperature,
                max_tokens=min(sampling.max_tokens, self.context - len(ids)),
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
        except openai.OpenAIError as error:
            status = getattr(error, "status_code", None)
            reason = f"HTTP {status}" if status else type(error).__name__
            raise UserError(f"engine.base_url={self.cfg.base_url}: {reason} after {self.cfg.tries} tries") from None
        seconds = time.perf_counter() - started
        return [
            build_completion(
                self.tokenizer,
                ids,
                list(choice.token_ids),
                list(choice.logprobs.token_logprobs),
                stopped=choice.finish_reason == "stop",
                latency_s=seconds,
                model=self.model_name,
            )
            for choice in sorted(response.choices, key=lambda c: c.index)
        ]
