"""The decode loop against transformers' own generate and against plain forward passes."""

import pytest
import torch

from corea.engines.local.hf import HFEngine
from corea.types import Engine, Sampling
from random_models import PROMPTS, messages, random_model


def full_forward_logprobs(model, prompt_ids, token_ids, temperature):
    """Log-probabilities of the tokens from one unpadded forward pass over prompt and completion."""
    ids = torch.tensor([prompt_ids + token_ids])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt_ids) - 1 : -1]
    scores = torch.log_softmax(logits.float() / (temperature or 1.0), -1)
    return scores.gather(-1, torch.tensor(token_ids)[:, None])[:, 0]


def tokens(answers):
    return [[c.token_ids for c in group] for group in answers]


def test_it_is_an_engine(llama, tokenizer):
    assert isinstance(HFEngine.from_model(llama, tokenizer), Engine)


def test_greedy_is_what_generate_gives(any_model, tokenizer):
    engine = HFEngine.from_model(any_model, tokenizer, batch_rows=4)
    answers = engine.generate(messages(PROMPTS), Sampling(temperature=0, max_tokens=40))
    for prompt, (answer,) in zip(messages(PROMPTS), answers, strict=True):
        ids = torch.tensor([engine.encode(prompt)])
        expected = any_model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False)
        assert answer.token_ids == expected[0, ids.shape[1] :].tolist()
        assert answer.prompt_ids == ids[0].tolist()


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
def test_logprobs_are_those_of_a_plain_forward_pass(any_model, tokenizer, temperature):
    engine = HFEngine.from_model(any_model, tokenizer, batch_rows=9)
    answers = engine.generate(messages(PROMPTS), Sampling(temperature=temperature, max_tokens=30, n=3, seed=1))
    lengths = set()
    for group in answers:
        for c in group:
            expected = full_forward_logprobs(any_model, c.prompt_ids, c.token_ids, temperature)
            assert torch.allclose(torch.tensor(c.logprobs), expected, atol=1e-5)
            assert len(c.token_ids) == len(c.logprobs) == c.completion_tokens
            lengths.add(c.completion_tokens)
    assert temperature == 0 or len(lengths) > 2  # rows left the batch at different times


def test_a_completion_does_not_depend_on_its_company(llama, tokenizer):
    sampling = Sampling(temperature=1.0, max_tokens=30, n=4, seed=3)
    together = HFEngine.from_model(llama, tokenizer).generate(messages(PROMPTS), sampling)
    small = HFEngine.from_model(llama, tokenizer, batch_rows=4).generate(messages(PROMPTS), sampling)
    backwards = HFEngine.from_model(llama, tokenizer, batch_rows=8).generate(messages(PROMPTS[::-1]), sampling)[::-1]
    alone = [HFEngine.from_model(llama, tokenizer).generate(messages([p]), sampling)[0] for p in PROMPTS]
    assert tokens(together) == tokens(small) == tokens(backwards) == tokens(alone)
    for a, b in zip(together, alone, strict=True):
        for x, y in zip(a, b, strict=True):
            assert torch.allclose(torch.tensor(x.logprobs), torch.tensor(y.logprobs), atol=1e-5)


def test_the_seed_decides_the_samples(llama, tokenizer):
    engine = HFEngine.from_model(llama, tokenizer)

    def run(seed, prompts=PROMPTS):
        return tokens(engine.generate(messages(prompts), Sampling(max_tokens=20, n=2, seed=seed)))

    assert run(0) == run(0)
    assert run(0) != run(1)
    first, second = run(0, ["a", "a"])
    assert first != second  # the same prompt twice in a call is two draws
    assert first[0] != first[1]


def test_finish_reasons_and_text(llama, tokenizer):
    engine = HFEngine.from_model(llama, tokenizer)
    answers = [c for g in engine.generate(messages(PROMPTS), Sampling(max_tokens=25, n=8, seed=0)) for c in g]
    stops = {tokenizer.eos_token_id, *range(20)}
    assert engine.stop_ids == stops
    assert {c.finish_reason for c in answers} == {"stop", "length"}
    for c in answers:
        assert not stops & set(c.token_ids[:-1])
        if c.finish_reason == "stop":
            assert c.token_ids[-1] in stops
            assert c.text == tokenizer.decode(c.token_ids[:-1])
        else:
            assert c.token_ids[-1] not in stops
            assert c.completion_tokens == 25
            assert c.text == tokenizer.decode(c.token_ids)


def test_prompts_are_counted_once_a_group(llama, tokenizer):
    (group,) = HFEngine.from_model(llama, tokenizer).generate(messages(["a"]), Sampling(max_tokens=3, n=3))
    assert [c.prompt_tokens for c in group] == [3, 3, 3]  # <|user|> a <|assistant|>
    assert [c.cached_tokens for c in group] == [0, 3, 3]


def test_long_completions_outgrow_the_first_cache(tokenizer):
    model = random_model("llama", tokenizer)
    model.generation_config.eos_token_id = None
    model.config.eos_token_id = None
    engine = HFEngine.from_model(model, tokenizer)
    engine.stop_ids = frozenset()
    answers = engine.generate(messages(PROMPTS[:3]), Sampling(max_tokens=300))
    for (c,) in answers:
        assert c.completion_tokens == 300
        expected = full_forward_logprobs(model, c.prompt_ids, c.token_ids, 1.0)
        assert torch.allclose(torch.tensor(c.logprobs), expected, atol=1e-4)


def test_the_context_ends_a_completion_and_refuses_a_prompt(tokenizer):
    model = random_model("llama", tokenizer, max_position_embeddings=20)
    engine = HFEngine.from_model(model, tokenizer)
    engine.stop_ids = frozenset()
    short, full, long = engine.generate(messages(["a", "a" * 17, "a" * 18]), Sampling(max_tokens=50, n=2))
    assert [(c.finish_reason, c.completion_tokens) for c in short] == [("length", 17)] * 2
    assert [(c.finish_reason, c.completion_tokens) for c in full] == [("length", 1)] * 2
    assert [(c.finish_reason, c.text) for c in long] == [("error", "")] * 2
    assert long[0].error == "prompt of 20 tokens; the model's context is 20"


def test_the_model_is_left_as_it_was(llama, tokenizer):
    engine = HFEngine.from_model(llama.train(), tokenizer)
    engine.generate(messages(["a"]), Sampling(max_tokens=2))
    assert llama.training
    assert llama.config._attn_implementation == "sdpa"
    assert all(p.grad is None and p.requires_grad for p in llama.parameters())
    engine.generate(messages(["a"]), Sampling(max_tokens=2))
    assert not llama.eval().training


def test_progress_counts_every_prompt(llama, tokenizer):
    seen = []
    engine = HFEngine.from_model(llama, tokenizer, batch_rows=4)
    engine.generate(messages(PROMPTS), Sampling(max_tokens=2, n=2), progress=seen.append)
    assert seen == [2, 2, 2, 1]
    assert engine.generate([], Sampling()) == []
