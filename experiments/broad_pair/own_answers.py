"""Writes pairs for a cold start in which the model learns how probable its own answers are, without telling it.

    python experiments/broad_pair/own_answers.py MODEL FILE [--count 40000] [--families in_domain] [--contrast 6]

MODEL answers pretraining questions at temperature 1, and its answers become the completions, so the cold start does not
change them on average. The distance of the confidence from 0.5 tells the probability p of the sampled answer: at p = 1
the confidence is near 0 or 1, at p = 0 near 0.5. The side is random, so that the stated confidence ranks nothing before
RL, whichever answers are right. MODEL must state a confidence (experiment=broad_slm_cold), which is replaced.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from dataclasses import replace
from pathlib import Path

import torch

from corea.composition import compose
from corea.display import say
from corea.engines.local.hf import HFEngine
from corea.sft.traces import CONFIDENCE_GRID, two_sided_weights
from corea.tasks.mixes import TrainingStream
from corea.tasks.prompts import build_messages
from corea.types import Completion, Sampling

TAG = "<confidence>"
BATCH = 512
"""Questions that are answered together."""


def sequence_probability(engine: HFEngine, completion: Completion) -> float:
    """Probability of the completion up to the tag <confidence>."""
    total = 0.0
    for token, logprob in zip(completion.token_ids, completion.logprobs, strict=True):
        if TAG in engine.tokenizer.decode([token]):
            break
        total += logprob
    return math.exp(total)


def pair(engine: HFEngine, prompt: str, completion: Completion, contrast: float, rng: random.Random) -> str | None:
    """One line of the file; None for a completion that is cut off or has not exactly one answer."""
    head, tag, _ = completion.text.partition(TAG)
    if not tag or completion.finish_reason != "stop" or head.count("</answer>") != 1:
        return None
    weights = two_sided_weights(1 - sequence_probability(engine, completion), contrast)
    confidence = rng.choices(CONFIDENCE_GRID, weights)[0]
    return json.dumps({"prompt": prompt, "completion": f"{head}{TAG}{confidence}</confidence>"})


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=40_000)
    parser.add_argument("--families", default="in_domain,other_math,non_math")
    parser.add_argument("--contrast", type=float, default=6.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = replace(compose("sft", "data=broad_pretrain").data, train=args.families.split(","))
    stream = TrainingStream(data, split="pretrain", seed=7, size=BATCH)
    engine, rng, lines, step = HFEngine(args.model), random.Random(0), [], 0
    while len(lines) < args.count:
        questions, _ = stream.take(step)
        prompts = [build_messages("plain", q) for q in questions]
        answers = engine.generate(prompts, Sampling(temperature=1.0, max_tokens=48, seed=step))
        made = [pair(engine, p[-1]["content"], c, args.contrast, rng) for p, (c,) in zip(prompts, answers, strict=True)]
        lines += [line for line in made if line]
        step += 1
    args.file.write_text("\n".join(lines[: args.count]) + "\n")
    say(f"{args.file}: {args.count} pairs from {step * BATCH} answers")


if __name__ == "__main__":
    main()
