"""Scores of both models on the test questions, for each task and family.

    python experiments/broad_pair/measure.py SLM_FOLDER [LLM_FOLDER] [--questions 100]

`--questions` counts the test questions of each task. The small model is sampled at temperature 1, the large one answers
greedily; without LLM_FOLDER its columns are empty. AUROC: of the stated confidence, where one is stated; of its mean
over the distribution of its tokens; of the mean distance of the confidence from 0.5 over that distribution, which a
cold start by own_answers.py teaches; and of the mean probability of the answer's tokens, which bounds what the model
could say about itself.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

import numpy as np
import torch

from corea.composition import compose
from corea.engines.local.hf import HFEngine
from corea.metrics.calibration import auroc
from corea.tasks.grading import grade_many
from corea.tasks.held_out import held_out
from corea.tasks.mixes import family_sources
from corea.tasks.parsing import parse_completion
from corea.tasks.prompts import build_messages
from corea.types import DISTRIBUTIONS, Completion, Question, Sampling

SIGNALS = ("confidence", "expected", "distance", "probability")
NUMBER = re.compile(r"[01]\.\d\d")


def ranking(score: np.ndarray, right: np.ndarray) -> float:
    """AUROC of `score` [N] for `right` [N] where there is a score; NaN without both kinds of answers."""
    known = ~np.isnan(score)
    score, right = score[known], right[known]
    if right.all() or not right.any():
        return math.nan
    _, place = np.unique(score, return_inverse=True)
    counts = [np.bincount(place[side], minlength=place.max() + 1) for side in (~right, right)]
    return float(auroc(*counts))


def answer_probability(engine: HFEngine, completion: Completion) -> float:
    """Mean probability of the tokens before the end of the answer."""
    pieces = [engine.tokenizer.decode([t]) for t in completion.token_ids]
    end = next((k for k, piece in enumerate(pieces) if piece.startswith("</answer>")), len(pieces))
    return float(np.exp(completion.logprobs[: max(end, 1)]).mean())


def mean_stated(completion: Completion, score: Callable[[str], float]) -> float:
    """Mean of `score` over the distribution of a confidence of one token; NaN without a confidence."""
    for text, chance, others in completion.extra["tail"]:
        if NUMBER.fullmatch(text):
            found = {text: chance} | {other: p for other, p in others if NUMBER.fullmatch(other)}
            return sum(p * score(stated) for stated, p in found.items()) / sum(found.values())
    return math.nan


def answers(engine: HFEngine, questions: list[Question], temperature: float) -> dict[str, np.ndarray]:
    """right, confidence, probability, prompt and completion tokens: [N] each."""
    sampling = Sampling(temperature=temperature, max_tokens=160, record=(DISTRIBUTIONS,))
    rows = [c[0] for c in engine.generate([build_messages("plain", q) for q in questions], sampling)]
    parsed = [parse_completion(c.text, c.finish_reason, expect_confidence=False) for c in rows]
    return {
        "right": np.array([bool(v.correct) for v in grade_many(questions, parsed)]),
        "confidence": np.array([math.nan if p.confidence is None else p.confidence for p in parsed]),
        "expected": np.array([mean_stated(c, float) for c in rows]),
        "distance": np.array([mean_stated(c, lambda stated: abs(2 * float(stated) - 1)) for c in rows]),
        "probability": np.array([answer_probability(engine, c) for c in rows]),
        "prompt": np.array([c.prompt_tokens for c in rows]),
        "tokens": np.array([c.completion_tokens for c in rows]),
    }


def line(name: str, small: dict[str, np.ndarray], large: dict[str, np.ndarray] | None) -> str:
    """One row of the table."""
    cells = [f"{small['right'].mean():.3f}", f"{large['right'].mean():.3f}" if large else "-"]
    cells += [f"{ranking(small[key], small['right']):.3f}" for key in SIGNALS]
    cells += [f"{small[key].mean():.1f}" for key in ("prompt", "tokens")]
    cells.append(f"{large['tokens'].mean():.1f}" if large else "-")
    return " | ".join([f"| {name}", *cells]) + " |"


def main() -> None:
    """Read the command line and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("small")
    parser.add_argument("large", nargs="?")
    parser.add_argument("--questions", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(1)
    engines = [HFEngine(folder) for folder in (args.small, args.large) if folder]
    data = compose("sft", "data=broad").data
    rankings = [f"AUROC {name}" for name in SIGNALS]
    columns = ["small", "large", *rankings, "prompt", "small's tokens", "large's tokens"]
    print("| task | " + " | ".join(columns) + " |\n" + "|---" * 10 + "|")
    for family in data.families:
        parts = []
        for source in family_sources(data, family):
            questions = held_out([source], "test", args.questions, dataset=family, seed=0)
            found = [answers(engine, questions, 1.0 - k) for k, engine in enumerate(engines)]
            parts.append(found)
            print(line(source["name"], found[0], found[1] if args.large else None), flush=True)
        whole = [{key: np.concatenate([p[k][key] for p in parts]) for key in parts[0][k]} for k in range(len(engines))]
        print(line(f"**{family}**", whole[0], whole[1] if args.large else None), flush=True)


if __name__ == "__main__":
    main()
