"""The loop with a cache of fixed size against the ordinary one; the capture of its steps needs a GPU."""

from dataclasses import replace

import pytest
import torch

from corea.engines.local.cuda_graphs import decode_static
from corea.engines.local.decode import DecodeOptions, decode
from corea.engines.local.hf import HFEngine
from corea.engines.local.token_sampling import noise_keys, uniforms
from corea.errors import UserError
from corea.types import STATES, Sampling
from random_models import PROMPTS, messages, random_model


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_tokens_and_logprobs_are_those_of_the_ordinary_loop(llama, tokenizer, temperature):
    engine = HFEngine.from_model(llama, tokenizer)
    prompts = sorted((engine.encode(p) for p in messages(PROMPTS)), key=len)
    assert len(prompts[0]) < len(prompts[-1])  # padding is met
    limits = [90 - 7 * k for k in range(len(prompts))]  # beyond the ordinary loop's first room
    noise = uniforms(noise_keys(prompts, 3), 3, max(limits)) if temperature else None
    options = DecodeOptions(copies=3, limits=limits, stop_ids=[5, 6], temperature=temperature, noise=noise, pad=0)
    expected, found = decode(llama, prompts, options), decode_static(llama, prompts, options)
    assert len({len(row.token_ids) for row in expected}) > 2  # rows end at different times
    for one, other in zip(found, expected, strict=True):
        assert (one.token_ids, one.stopped) == (other.token_ids, other.stopped)
        assert torch.allclose(torch.tensor(one.logprobs), torch.tensor(other.logprobs), atol=1e-5)


def test_the_engine_answers_the_same(llama, tokenizer):
    sampling = Sampling(max_tokens=20, n=3, seed=1)
    plain, fixed = (HFEngine.from_model(llama, tokenizer, graphs=graphs) for graphs in (False, True))
    assert texts(fixed, sampling) == texts(plain, sampling)
    recorded = replace(sampling, record=(STATES,))  # takes the ordinary loop
    assert texts(fixed, recorded) == texts(plain, sampling)


def texts(engine, sampling):
    return [[c.text for c in group] for group in engine.generate(messages(PROMPTS), sampling)]


def test_a_window_is_refused(tokenizer):
    with pytest.raises(UserError, match=r"engine.graphs=true: .*sliding window"):
        HFEngine.from_model(random_model("sliding", tokenizer), tokenizer, graphs=True)
