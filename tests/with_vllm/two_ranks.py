"""A rank of two: answers its half of the prompts with vLLM and writes them to OUT/TP-RANK.json. Usage: OUT TP."""

import json
import os
import sys
from pathlib import Path

from corea.engines.vllm.in_process import VLLMEngine
from corea.types import Sampling

PROMPTS = [
    [{"role": "user", "content": f"State the final answer to the following arithmetic problem: {text} ="}]
    for text in ("4 + 3 + 1", "9 - 2 - 3 + 5", "1 + 2 + 3 + 4 + 5 + 6")
]
SAMPLING = Sampling(temperature=1.0, max_tokens=24, n=2, seed=5)


def main() -> None:
    out, size, rank = Path(sys.argv[1]), int(sys.argv[2]), int(os.environ["RANK"])
    engine = VLLMEngine("package:tiny_slm", dtype="float32", max_model_len=128, tensor_parallel=size)
    answers = engine.generate(PROMPTS[rank::2], SAMPLING)
    rows = [[(c.token_ids, c.logprobs) for c in group] for group in answers]
    (out / f"{size}-{rank}.json").write_text(json.dumps(rows))
    none = engine.generate([] if rank else PROMPTS[:1], SAMPLING)  # a rank may have no prompts
    assert len(none) == 1 - rank
    engine.close()


if __name__ == "__main__":
    main()
