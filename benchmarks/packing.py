"""Padding and processor time of an update with padded and with packed micro-batches.

    python benchmarks/packing.py [runs] [longest completion]

Random model, 8 questions of 100 tokens with 4 completions each, whose lengths are log-uniform from 16 tokens to the
longest. Prints a Markdown table: prompts shared or not, padded or packed. Processor time of one thread, so that other
load counts little; the two layouts alternate, and figures are medians.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import torch
from training_arithmetic import random_llama, row

from corea.config import OptimizerConfig, TrainerConfig
from corea.rl.update.batching import Row, micro_batches
from corea.rl.update.policy import Policy

QUESTIONS, GROUP, PROMPT, SHORTEST, VOCABULARY, TOKEN_BUDGET = 8, 4, 100, 16, 4096, 1024


def ragged_rows(longest: int) -> list[Row]:
    """Completions of log-uniform lengths."""
    torch.manual_seed(0)
    rows = []
    for _ in range(QUESTIONS):
        prompt = torch.randint(VOCABULARY, (PROMPT,)).tolist()
        for number in range(GROUP):
            length = round(SHORTEST * (longest / SHORTEST) ** float(torch.rand(())))
            rows.append(row(prompt, torch.randint(VOCABULARY, (length,)).tolist(), None, number))
    return rows


def main() -> None:
    runs, longest = (int(value) for value in (sys.argv[1:] + ["3", "1000"][len(sys.argv) - 1 :]))
    torch.set_num_threads(1)
    rows = ragged_rows(longest)
    cfg = TrainerConfig(name="packing", optimizer=OptimizerConfig(lr=1e-9), packing=True)
    model = random_llama(VOCABULARY, hidden=192, feed_forward=512, layers=4, heads=6, kv_heads=2)
    policy = Policy(model, cfg, pad=0)
    print("| prompt | layout | micro-batches | tokens | padding | update, processor s |")
    print("|---|---|---:|---:|---:|---:|")
    for share in (True, False):
        layouts = {
            name: micro_batches(rows, TOKEN_BUDGET, pad=0, share_prompt=share, packing=name == "packed")
            for name in ("padded", "packed")
        }
        tokens = {name: sum(batch.input_ids.numel() for batch in batches) for name, batches in layouts.items()}
        seconds: dict[str, list[float]] = {name: [] for name in layouts}
        for _ in range(runs + 1):
            for name, batches in layouts.items():
                started = time.process_time()
                policy.update(batches, 1e-9)
                seconds[name].append(time.process_time() - started)
        for name, batches in layouts.items():
            padding = 1 - tokens["packed"] / tokens[name]
            figures = f"{len(batches)} | {tokens[name]:,} | {padding:.0%} | {median(seconds[name][1:]):.2f}"
            print(f"| {'shared' if share else 'repeated'} | {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
