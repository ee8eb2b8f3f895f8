"""What an engine records beside its tokens, against plain forward passes."""

import base64

import numpy as np
import pytest
import torch

from corea.engines.local.capture import TOP
from corea.engines.local.hf import TAIL, HFEngine
from corea.types import DISTRIBUTIONS, STATES, Sampling
from random_models import PROMPTS, messages

BOTH = (DISTRIBUTIONS, STATES)


def sampled(engine, record=(), temperature=0.7):
    return engine.generate(
        messages(PROMPTS), Sampling(temperature=temperature, max_tokens=30, n=3, seed=1, record=record)
    )


@pytest.mark.parametrize("batch_rows", [6, 64])
def test_records_are_those_of_a_plain_forward_pass(any_model, tokenizer, batch_rows):
    engine = HFEngine.from_model(any_model, tokenizer, batch_rows=batch_rows)
    heard = []
    for c in (c for group in sampled(engine, BOTH) for c in group):
        ids = torch.tensor([c.prompt_ids + c.token_ids])
        hook = any_model.get_output_embeddings().register_forward_pre_hook(lambda _, x: heard.append(x[0]))
        with torch.no_grad():
            logits = any_model(input_ids=ids).logits[0, len(c.prompt_ids) - 1 : -1]
        hook.remove()
        state = np.frombuffer(base64.b64decode(c.extra["state"]), np.float16)
        np.testing.assert_allclose(state, heard[-1][0, -2].numpy(), rtol=2e-3, atol=2e-3)
        probs = torch.softmax(logits.float(), -1)
        tail = c.extra["tail"]
        assert len(tail) == min(TAIL, c.completion_tokens)
        for (text, p, others), token, row in zip(tail[::-1], c.token_ids[::-1], probs.flip(0), strict=False):
            assert text == tokenizer.decode([token])
            assert p == pytest.approx(float(row[token]), abs=1e-5)
            best = [i for i in row.topk(TOP).indices.tolist() if i != token]
            assert sum(q for _, q in others) == pytest.approx(float(row[best].sum()), abs=1e-4)


def test_recording_changes_no_answer(llama, tokenizer):
    engine = HFEngine.from_model(llama, tokenizer, batch_rows=9)
    plain, recorded = sampled(engine), sampled(engine, BOTH)
    assert [[c.token_ids for c in g] for g in plain] == [[c.token_ids for c in g] for g in recorded]
    assert [[c.logprobs for c in g] for g in plain] == [[c.logprobs for c in g] for g in recorded]
    assert all(not c.extra for g in plain for c in g)
    assert not llama.get_output_embeddings()._forward_pre_hooks
