"""Questions from reasoning-gym (https://github.com/open-thought/reasoning-gym).

reasoning-gym generates item i of a task from Random(seed + i), so two seeds that differ by less than the number of
items give the same questions at shifted indices. Every (seed, split, source) therefore has its own base seed, a
64-bit hash. Small tasks may still repeat a question by chance; the hash of its text
then assigns every copy to the same split (question_text.partition).

One raw item (chain_sum):
    {"question": "State the final answer to the following arithmetic problem: 34 + 7 =", "answer": "41",
     "metadata": {"source_dataset": "chain_sum", "num_terms": 2, ...}}
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from corea.config.checks import shown
from corea.errors import UserError
from corea.tasks.seeds import base_seed
from corea.types import Question


@lru_cache(maxsize=256)
def _dataset(task: str, params: str, seed: int) -> Any:
    """The task with its parameters, given as JSON because lists cannot be keys of the cache."""
    import reasoning_gym

    return reasoning_gym.create_dataset(task, seed=seed, size=2**31, **json.loads(params))


def gym_question(
    index: int, *, task: str, params: dict[str, Any], name: str, dataset: str, split: str, seed: int
) -> Question:
    """Question number `index` of one source of a mix.

    Raises:
        UserError: the task is unknown or rejects its parameters.
    """
    try:
        data = _dataset(task, json.dumps(params, sort_keys=True), base_seed(seed, split, name))
    except (ValueError, AssertionError, TypeError) as error:  # reasoning-gym raises these for wrong parameters
        raise UserError(f"data source {name!r}: reasoning-gym task {task!r} with {shown(params)}: {error}") from error
    entry = data[index]
    return Question(
        id=f"{name}-{split}-{seed}-{index}",
        dataset=dataset,
        source=name,
        split=split,
        text=entry["question"],
        gold=str(entry["answer"]),
        grader="reasoning_gym",
        meta={"task": task, "entry": entry},
    )
