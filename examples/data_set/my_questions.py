"""A data set of your own from code: rows of question and answer. A JSONL, Parquet or CSV file needs no code at all."""

import random
from collections.abc import Iterator


def sums(split: str) -> Iterator[dict[str, object]]:
    """Rows of one of the set's own splits; this set has only "train", which corea divides by a hash of the text."""
    rng = random.Random(split)
    for number in range(400):
        a, b, c = (rng.randint(1, 9) for _ in range(3))
        yield {
            "prompt": f"State the final answer to the following arithmetic problem: {a} + {b} + {c} =",
            "target": str(a + b + c),
            "number": number,
        }
