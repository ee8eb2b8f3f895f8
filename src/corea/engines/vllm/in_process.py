"""VLLMEngine: vLLM in this process, for rollouts in training (colocated) and for collecting.

vLLM keeps its own copy of the weights, packed for the device. `sync` replaces it after each update and resets the
prefix cache, which belongs to the old weights. Log-probabilities are those of the distribution that is sampled from:
temperature only, without top-p, top-k or the model's own sampling defaults.

Under torchrun or deepspeed every process runs vLLM (its "external launcher"). With `tensor_parallel` T, T neighbouring
ranks hold one copy of the model: they answer the prompts of all T together, and each keeps the answers to its own.

Tested with vLLM 0.32 on a CPU, in one process and in two: vLLM set up before DeepSpeed, both in the same
torch.distributed world.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from corea.config.engine_schema import VLLMEngineConfig
from corea.config.model_schema import revision_of
from corea.engines.completions import build_completion, prompt_too_long
from corea.engines.loading import encode_prompt, eos_ids_of, load_error, model_location, pick_device, pick_dtype
from corea.engines.local.token_sampling import completion_seed, noise_keys
from corea.engines.vllm.ranks import Share, join_launcher
from corea.errors import UserError
from corea.types import Completion, Progress, Prompts, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class VLLMEngine:
    """Engine on vLLM (see corea.types.Engine)."""

    shares_model = False
    """It keeps its own copy of the weights."""

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        template: dict[str, Any] | None = None,
        **options: Any,
    ):
        """Load `model` (hub id, local folder or "package:NAME"); `options` are fields of VLLMEngineConfig.

        Raises:
            UserError: vLLM is not installed, or it cannot load the model.
        """
        self.cfg = VLLMEngineConfig(**options)
        self.model_name = model
        self.template = template
        self.share = Share(self.cfg.tensor_parallel)
        device = pick_device(None)
        self.sleeps = self.cfg.sleep and device.type == "cuda"
        revision = revision_of(model, revision)
        set_vllm_environment(self.cfg)
        join_launcher(self.share)
        self.llm = _load(model, revision, pick_dtype(dtype, device), self.cfg, self.sleeps, self.share)
        # Otherwise it warns after each update that rotary embeddings, which have no weights, received none.
        logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)
        self.tokenizer = self.llm.get_tokenizer()
        self.context = self.llm.llm_engine.model_config.max_model_len
        self.stop_ids = eos_ids_of(model_location(model), revision, self.tokenizer)
        self.asleep: set[str] = set()
        """Parts of vLLM that are not in the GPU's memory."""
        self.max_logprob_gap = self.cfg.max_logprob_gap
        self.owns_world = True
        """True: nothing else in this process uses torch.distributed."""

    @classmethod
    def from_model(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        path: str,
        revision: str | None,
        model_name: str,
        **options: Any,
    ) -> VLLMEngine:
        """Load a second copy of the model at `path`, in the number format of the trained one."""
        dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
        engine = cls(path, revision=revision, dtype=dtype, **options)
        engine.model_name = model_name
        engine.tokenizer = tokenizer
        engine.owns_world = False
        return engine

    def close(self) -> None:
        """Release the model; another one can be loaded afterwards."""
        self.llm = None
        gc.collect()
        if self.owns_world:
            from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

            cleanup_dist_env_and_memory()

    def sync(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Load weights by their Hugging Face names and reset everything computed with the old ones."""
        self._wake("weights")  # the cache returns with the next prompts
        self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights)})
        if not self.llm.reset_prefix_cache():
            raise RuntimeError("vLLM did not reset its prefix cache")

    def generate(self, prompts: Prompts, sampling: Sampling, progress: Progress = None) -> list[list[Completion]]:
        """Answer each prompt `sampling.n` times.

        A completion is a function of (seed, prompt, weights), except for the rounding of sums, which may decide a
        near-tie. A prompt that fills the model's context gets completions with finish_reason "error".
        """
        own = [encode_prompt(self.tokenizer, p, self.model_name, self.template) for p in prompts]
        (encoded, keys), mine = self.share.joined(own, noise_keys(own, sampling.seed))
        answers: list[list[Completion]] = [[] for _ in encoded]
        rows = [i for i, ids in enumerate(encoded) for _ in range(sampling.n) if len(ids) < self.context]
        for i, ids in enumerate(encoded):
            if len(ids) >= self.context:
                answers[i] = [prompt_too_long(ids, self.context, self.model_name) for _ in range(sampling.n)]
        self._wake("weights", "kv_cache")
        started = time.perf_counter()
        outputs = self._generate([encoded[i] for i in rows], sampling, keys, rows)
        seconds = time.perf_counter() - started
        for i, output in zip(rows, outputs, strict=True):
            answers[i].append(self._completion(encoded[i], output, seconds))
        if self.sleeps:
            self.llm.sleep(level=1)
            self.asleep = {"weights", "kv_cache"}
        if progress is not None:
            progress(len(prompts))
        return answers[mine]

    def _wake(self, *parts: str) -> None:
        """Bring these parts of vLLM back to the GPU if they are not there."""
        if missing := [part for part in parts if part in self.asleep]:
            self.llm.wake_up(tags=missing)
            self.asleep -= set(missing)

    def _generate(self, ids: list[list[int]], sampling: Sampling, keys: list[bytes], rows: list[int]) -> list[Any]:
        from vllm import SamplingParams

        if not ids:
            return []
        copies: dict[int, int] = {}
        params = []
        for prompt, row in zip(ids, rows, strict=True):
            copy = copies[row] = copies.get(row, -1) + 1
            params.append(
                SamplingParams(
                    temperature=sampling.temperature,
                    max_tokens=min(sampling.max_tokens, self.context - len(prompt)),
                    seed=completion_seed(keys[row], copy) if sampling.temperature else None,
                    logprobs=0,  # only of the sampled token
                    stop_token_ids=sorted(self.stop_ids),
                    detokenize=False,
                )
            )
        return self.llm.generate([{"prompt_token_ids": p} for p in ids], sampling_params=params, use_tqdm=False)

    def _completion(self, prompt: list[int], output: Any, seconds: float) -> Completion:
        row = output.outputs[0]
        ids = list(row.token_ids)
        return build_completion(
            self.tokenizer,
            prompt,
            ids,
            [step[token].logprob for step, token in zip(row.logprobs, ids, strict=True)],
            stopped=row.finish_reason == "stop",
            cached_tokens=output.num_cached_tokens or 0,
            latency_s=seconds,
            model=self.model_name,
        )


def set_vllm_environment(cfg: VLLMEngineConfig) -> None:
    """Set options that vLLM reads only from the environment; variables that are already set are kept."""
    settings = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process, so that weights can be passed on
        "VLLM_CPU_KVCACHE_SPACE": str(cfg.cpu_cache_gib),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _load(
    model: str, revision: str | None, dtype: torch.dtype, cfg: VLLMEngineConfig, sleeps: bool, share: Share
) -> Any:
    try:
        from vllm import LLM
    except ImportError as error:
        reason = f"vLLM cannot be imported ({error})"
        raise UserError(f"engine=vllm: {reason}; pip install 'corea[vllm]', or take engine=hf") from error
    options = share.vllm_options()
    if torch.cuda.is_available():
        device = {"gpu_memory_utilization": cfg.gpu_share, "enable_sleep_mode": sleeps}
    else:  # vLLM on a CPU cannot take back the random number of a prompt that it has read in part
        device = {"enable_chunked_prefill": False}
    try:
        return LLM(
            model=model_location(model),
            revision=revision,
            dtype=str(dtype).removeprefix("torch."),
            load_format="safetensors",
            trust_remote_code=False,
            generation_config="vllm",  # without the model's own sampling defaults
            logprobs_mode="processed_logprobs",
            max_model_len=cfg.max_model_len,
            max_num_seqs=cfg.max_rows,
            enforce_eager=not torch.cuda.is_available() if cfg.eager is None else cfg.eager,
            enable_prefix_caching=True,
            disable_log_stats=True,
            seed=0,
            **device,
            **options,
        )
    except (OSError, ValueError) as error:
        raise UserError(f"engine=vllm: {load_error(model, model_location(model), revision, error)}") from error
