"""Compare the memory that corea.plan predicts with measured peaks: python benchmarks/plan_memory.py [--model FOLDER]

Each measurement is a separate process on this machine's CPU or GPU, with random completions of full length:
- rollout: completions by corea's own decoding loop (engine=hf), without an optimizer
- update: one optimizer step of a DeepSpeed policy in one process

On a CPU the figure is the peak of the resident set beyond that of a process that has done the same with a tiny model,
so that libraries do not count, and tensors are allocated outside of the heap, so that its fragmentation does not
count either; on a GPU it is the peak of torch's allocator. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

LIMIT = 3600
"""Time limit of one measurement, in seconds."""
ROOT = Path(__file__).resolve().parents[1]
SIZES = ["model.max_prompt_tokens=96", "trainer.group_size=8", "trainer.questions=8", "model.dtype=auto"]
UPDATE = ["model.max_tokens=53", "trainer.questions=2"]
"""A tree of a prompt and 8 completions has 96 + 8 x 52 = 512 tokens, so that micro-batches are full."""
LONG = [*UPDATE, "trainer.token_budget=1024"]
SHORT = [*UPDATE, "trainer.token_budget=512"]
CASES: dict[str, tuple[str, list[str]]] = {
    "rollout, 64 completions of 96 + 8 tokens": ("rollout", ["model.max_tokens=8", "engine.batch_rows=64"]),
    "update, micro-batches of 1,024 tokens": ("update", LONG),
    "update, 1,024 tokens, adapters": ("update", [*LONG, "trainer.lora.rank=32"]),
    "update, 1,024 tokens, adapters, recomputed": (
        "update",
        [*LONG, "trainer.lora.rank=32", "trainer.gradient_checkpointing=true"],
    ),
    "update, two micro-batches of 512 tokens, KL term": ("update", [*SHORT, "trainer.loss.kl=0.02"]),
}
"""Title -> (phase, overrides)."""


def overrides(model: str, more: list[str]) -> list[str]:
    """Overrides of a case; stage 1 unless it names another."""
    return [f"model.path={model}", "trainer=debug", "logger=none", *SIZES, *more]


def held() -> float:
    """Peak memory so far in bytes: of torch's allocator on the GPU, or of the resident set."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def rollout(cfg, model_path: str) -> None:
    """Sample the completions of one step, all of full length."""
    import torch

    from corea.engines.loading import load_model
    from corea.engines.local.hf import HFEngine
    from corea.types import Sampling

    model, tokenizer = load_model(model_path, dtype=cfg.model.dtype)
    engine = HFEngine.from_model(model, tokenizer, batch_rows=cfg.engine.batch_rows)
    engine.stop_ids = set()
    width = cfg.model.max_prompt_tokens
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(100, (width,), generator=generator).tolist() for _ in range(cfg.trainer.questions)]
    sampling = Sampling(max_tokens=cfg.model.max_tokens, n=cfg.trainer.group_size, temperature=1.0, seed=0)
    per_batch = max(1, cfg.engine.batch_rows // cfg.trainer.group_size)
    for start in range(0, len(prompts), per_batch):
        part = prompts[start : start + per_batch]
        engine._decode(part, [b"%d" % k for k in range(len(part))], sampling)


def update(cfg, model_path: str) -> None:
    """One optimizer step on random completions of full length."""
    import torch

    from corea.engines.loading import load_model
    from corea.rl.update.batching import Row, micro_batches
    from corea.rl.update.forward import supports_trees
    from corea.rl.update.policy import Policy

    model, _ = load_model(model_path, dtype=cfg.model.dtype)
    vocabulary = model.config.vocab_size
    policy = Policy(model, cfg.trainer, pad=0)
    generator = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(cfg.trainer.questions):
        prompt = torch.randint(vocabulary, (cfg.model.max_prompt_tokens,), generator=generator).tolist()
        for number in range(cfg.trainer.group_size):
            tokens = torch.randint(vocabulary, (cfg.model.max_tokens,), generator=generator).tolist()
            count = len(tokens)
            signs = [(-1.0) ** number] * count
            rows.append(
                Row(
                    prompt_ids=prompt,
                    token_ids=tokens,
                    rollout_logprobs=[-10.0] * count,
                    advantages=signs,
                    weight=1e-4,
                )
            )
    share = cfg.trainer.share_prompt and supports_trees(model)
    batches = micro_batches(rows, cfg.trainer.token_budget, pad=0, share_prompt=share)
    if policy.has_reference:
        batches = policy.fill_logprobs(batches, old=False)
    policy.update(batches, 1e-9)


def worker(phase: str, path: str, more: list[str]) -> None:
    """One measurement; prints bytes. `path` is the model, and "package:tiny_slm" gives the size of the libraries."""
    import torch

    from corea.composition import compose

    torch.set_num_threads(1)
    cfg = compose("train", *overrides(path, more))
    {"rollout": rollout, "update": update}[phase](cfg, path)
    print(json.dumps(held()))


def measure(phase: str, path: str, more: list[str]) -> float:
    """Bytes of one measurement in a process of its own."""
    command = [sys.executable, __file__, "--worker", phase, "--model", path, *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["MALLOC_MMAP_THRESHOLD_"] = "65536"  # tensors go back to the system as soon as they are freed
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=LIMIT)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def predicted(phase: str, path: str, more: list[str], gpu: str) -> float:
    """Bytes of a phase by corea.plan; the measured rollout has no optimizer beside it."""
    from corea.composition import compose
    from corea.plan.training_plan import plan_memory

    memory = plan_memory(compose("plan", f"gpu={gpu}", *overrides(path, more)))
    return memory.update if phase == "update" else memory.rollout - memory.parts["rollout"]["optimizer"]


def compared(path: str, cases: dict[str, tuple[str, list[str]]]) -> list[dict]:
    """Predicted and measured bytes of each case."""
    import torch

    on_gpu = torch.cuda.is_available()
    found, libraries = [], {}
    for title, (phase, more) in cases.items():
        if not on_gpu and phase not in libraries:
            libraries[phase] = measure(phase, "package:tiny_slm", ["model.max_tokens=2", "engine.batch_rows=8"])
        size = measure(phase, path, more) - libraries.get(phase, 0.0)
        expected = predicted(phase, path, more, "h100" if on_gpu else "cpu")
        found.append({"case": title, "measured": size, "predicted": expected})
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "outputs/models/smollm2"), help="folder of the model")
    parser.add_argument("--worker", choices=("rollout", "update"), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--first", action="store_true", help="only the first case")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.model, options.overrides)
        return
    rows = compared(options.model, dict(list(CASES.items())[:1]) if options.first else CASES)
    print("| phase | predicted, GiB | measured, GiB | predicted / measured |\n|---|---:|---:|---:|")
    for row in rows:
        sizes = [row[name] / 2**30 for name in ("predicted", "measured")]
        print(f"| {row['case']} | {sizes[0]:.2f} | {sizes[1]:.2f} | {sizes[0] / sizes[1]:.2f} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
