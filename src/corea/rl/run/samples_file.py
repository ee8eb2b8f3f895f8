"""samples.parquet: the rollouts of logged steps, parsed, graded and rewarded. A folder with one file per step.

`pandas.read_parquet("samples.parquet")` reads all files as one table. If a resumed run repeats a step, it
writes the file of that step again with the same contents.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from corea.runtime import atomic_write
from corea.types import Group


def samples_frame(step: int, groups: Sequence[Group]) -> pd.DataFrame:
    """One row per rollout of step `step` (from 1)."""
    return pd.DataFrame(
        {
            "step": step,
            "question_id": r.question.id,
            "dataset": r.question.dataset,
            "source": r.question.source,
            "question": r.question.text,
            "gold": r.question.gold,
            "completion": r.completion.text,
            "finish_reason": r.completion.finish_reason,
            "completion_tokens": r.completion.completion_tokens,
            "status": str(r.parsed.status),
            "answer": r.parsed.answer,
            "confidence": r.parsed.confidence,
            "correct": r.correct == 1.0,
            "outcome": str(r.outcome),
            "pass_rate": g.pass_rate,
            **{f"reward_{name}": value for name, value in r.rewards.items()},
            "reward": r.reward,
            "advantage": r.advantage,
        }
        for g in groups
        for r in g.rollouts
    )


def write_samples(folder: Path, step: int, frame: pd.DataFrame) -> None:
    """Write the file of one step."""
    with atomic_write(folder / f"step-{step:06d}.parquet") as path:
        frame.to_parquet(path, index=False)


def write_broken(folder: Path, step: int, groups: Sequence[Group]) -> None:
    """Write the samples of one step with tokens and log-probabilities: the complete input of its update."""
    frame = samples_frame(step, groups)
    completions = [r.completion for g in groups for r in g.rollouts]
    frame["prompt_ids"] = [c.prompt_ids for c in completions]
    frame["token_ids"] = [c.token_ids for c in completions]
    frame["rollout_logprobs"] = [c.logprobs for c in completions]
    write_samples(folder, step, frame)
