"""Token sampling by temperature, with random numbers that depend on the prompt and not on its batch.

There is no top-p or top-k: training compares the recorded log-probabilities with the model's full distribution.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def noise_keys(prompts: Sequence[Sequence[int]], seed: int) -> list[bytes]:
    """One key per prompt, from the seed, its tokens, and the number of equal prompts before it in this call.

    A completion is thus a function of (seed, prompt, weights): it does not depend on the other prompts of the call,
    their order, or the batch size.
    """
    seen: Counter[bytes] = Counter()
    keys = []
    for prompt in prompts:
        digest = hashlib.sha256(f"{seed}/{','.join(map(str, prompt))}".encode()).digest()
        keys.append(digest + seen[digest].to_bytes(8, "little"))
        seen[digest] += 1
    return keys


def completion_seed(key: bytes, copy: int) -> int:
    """63-bit seed of one completion, from the key of its prompt (noise_keys)."""
    digest = hashlib.sha256(key + copy.to_bytes(8, "little")).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def uniforms(keys: Sequence[bytes], copies: int, length: int) -> Tensor:
    """[P x G, length] float64 in [0, 1): one random stream per copy of each prompt."""
    rows = []
    for key in keys:
        for copy in range(copies):
            digest = hashlib.sha256(key + copy.to_bytes(8, "little")).digest()
            stream = np.random.Philox(key=np.frombuffer(digest[:16], dtype=np.uint64))
            rows.append(np.random.Generator(stream).random(length))
    return torch.from_numpy(np.stack(rows))


def sample_token(logits: Tensor, temperature: float, uniform: Tensor | None) -> tuple[Tensor, Tensor]:
    """Sample one token per row, with its log-probability under the distribution that was sampled from.

    Args:
        logits: [R, V].
        temperature: 0 selects the most probable token, with its log-probability at temperature 1.
        uniform: [R] in [0, 1), unused at temperature 0. The token is the inverse cumulative distribution at this value.

    Returns:
        token [R] int64, logprob [R] float32.
    """
    scores = torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)  # [R, V]
    if temperature == 0:
        logprob, token = scores.max(-1)
        return token, logprob
    assert uniform is not None, "sampling needs random numbers"
    cumulative = scores.exp().cumsum(-1, dtype=torch.float64)  # [R, V]
    total = cumulative[:, -1]
    # Strictly below the total, so that the token has a positive probability.
    target = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    token = torch.searchsorted(cumulative, target[:, None], right=True)[:, 0]
    return token, scores.gather(-1, token[:, None])[:, 0]
