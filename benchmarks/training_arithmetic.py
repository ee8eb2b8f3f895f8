"""Measurements of training_worker.py: peak memory of the update, and its time compared with its matmuls alone."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch
from training_common import GROUP, MAX_TOKENS, config, first_prompts

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIDE = 8192 if DEVICE.type == "cuda" else 1024
"""Side of the square matrices whose product gives the matmul rate; large enough to keep the device busy."""


def held() -> float:
    """Memory in use, in MiB: of the GPU, or of this process."""
    if DEVICE.type == "cuda":
        return torch.cuda.memory_allocated() / 2**20
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def most_held() -> float:
    """Peak memory so far, in MiB."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def clock() -> float:
    """Time in seconds, after all work queued on the device has finished."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def memory(runs: int, threads: int, tokens: str, full: str) -> dict:
    """Peak memory of one forward and backward pass beyond the memory in use before it, in MiB."""
    from corea.rl.update.batching import MicroBatch, Row, micro_batches
    from corea.rl.update.forward import TokenLogprobs

    torch.set_num_threads(threads)
    count, length = int(tokens) // 128, 128
    model = random_llama(151_936, hidden=64, feed_forward=128, layers=2, heads=4, kv_heads=4).to(DEVICE)
    model.lm_head.weight.grad = torch.zeros_like(model.lm_head.weight)

    def all_logits(batch: MicroBatch) -> tuple[torch.Tensor]:
        output = model(input_ids=batch.input_ids, attention_mask=batch.mask, position_ids=batch.position_ids)
        scores = torch.log_softmax(output.logits.flatten(0, 1)[batch.source], -1)
        return (scores.gather(-1, batch.targets[:, None])[:, 0],)

    scored = all_logits if int(full) else TokenLogprobs(model, 1.0)
    rows = [
        Row(
            prompt_ids=[k + 1] * 8,
            token_ids=list(range(length)),
            rollout_logprobs=[0.0] * length,
            advantages=[1.0] * length,
            weight=1.0,
        )
        for k in range(count)
    ]
    small = micro_batches(rows[:1], 10**6, pad=0)[0].to(DEVICE)
    small.source, small.targets = small.source[:2], small.targets[:2]
    scored(small)[0].sum().backward()
    before = held()
    for batch in micro_batches(rows, 10**6, pad=0):
        scored(batch.to(DEVICE))[0].sum().backward()
    return {"peak": most_held() - before}


def floor(runs: int, threads: int, model: str) -> dict:
    """Seconds per update of one batch, its matmul FLOPs with and without shared prompts, and the FLOP/s of a matmul."""
    from torch.utils.flop_counter import FlopCounterMode

    from corea.rl.update.batching import micro_batches
    from corea.rl.update.forward import TokenLogprobs
    from corea.rl.update.policy import Policy

    torch.set_num_threads(threads)
    cfg = config(f"trainer.token_budget={TOKEN_BUDGET[model]}")
    decoder, rows = {"tiny": tiny_rows, "smollm2": smollm2_rows}[model]()
    policy = Policy(decoder.to(DEVICE), cfg.trainer, pad=0)

    def batches(share: bool):
        return micro_batches(rows, cfg.trainer.token_budget, pad=0, share_prompt=share)

    def flops(share: bool) -> int:
        """FLOPs of one forward and backward pass; recomputation that only saves memory is not counted."""
        scored = TokenLogprobs(decoder, 1.0, chunk_logits=10**12)
        with FlopCounterMode(display=False) as counter:
            for batch in batches(share):
                scored(batch.to(DEVICE))[0].sum().backward()
        policy.engine.zero_grad()
        return counter.get_total_flops()

    found = {"flops": flops(True), "plain_flops": flops(False), "completions": len(rows), "update": [], "rate": []}
    one, other = torch.randn(2, SIDE, SIDE, device=DEVICE)
    for _ in range(runs + 1):
        started = clock()
        policy.update(batches(True), 1e-9)
        found["update"].append(clock() - started)
        best = 0.0
        for _ in range(5):
            started = clock()
            one @ other
            best = max(best, 2 * SIDE**3 / (clock() - started))
        found["rate"].append(best)
    return {**found, "update": found["update"][1:], "rate": found["rate"][1:]}  # the first is a warm-up


TOKEN_BUDGET = {"tiny": 1024, "smollm2": 4096}


def tiny_rows() -> tuple:
    """The tiny SLM, and its answers to the questions of the first step."""
    from corea.engines.loading import load_model
    from corea.engines.local.hf import HFEngine
    from corea.types import Sampling

    model, tokenizer = load_model("package:tiny_slm")
    answers = HFEngine.from_model(model, tokenizer).generate(first_prompts(), Sampling(max_tokens=MAX_TOKENS, n=GROUP))
    return model, [row(c.prompt_ids, c.token_ids, c.logprobs, k) for group in answers for k, c in enumerate(group)]


def random_llama(vocabulary: int, *, hidden: int, feed_forward: int, layers: int, heads: int, kv_heads: int):
    """A decoder of these sizes with random weights and tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": feed_forward}
    depth = {"num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads}
    return LlamaForCausalLM(LlamaConfig(**sizes, **depth, tie_word_embeddings=True))


def smollm2_rows() -> tuple:
    """A model in the shape of SmolLM2-135M with random weights, and 8 groups of 16 random completions of 24 tokens."""
    vocabulary = 49_152
    model = random_llama(vocabulary, hidden=576, feed_forward=1536, layers=30, heads=9, kv_heads=3)
    torch.manual_seed(0)
    rows = []
    for _ in range(8):
        prompt = torch.randint(vocabulary, (100,)).tolist()
        rows += [row(prompt, torch.randint(vocabulary, (MAX_TOKENS,)).tolist(), None, k) for k in range(GROUP)]
    return model, rows


def row(prompt_ids: list[int], token_ids: list[int], logprobs: list[float] | None, number: int):
    """One completion of a group, with alternating advantages."""
    from corea.rl.update.batching import Row

    return Row(
        prompt_ids=prompt_ids,
        token_ids=token_ids,
        rollout_logprobs=logprobs or [-10.0] * len(token_ids),
        advantages=[(-1.0) ** number] * len(token_ids),
        weight=1e-4,
    )
