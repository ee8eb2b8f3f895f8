"""Drawing tokens, by hand."""

import torch

from corea.engines.local.decode import pieces
from corea.engines.local.token_sampling import noise_keys, sample_token, uniforms


def test_draw_inverts_the_cumulative_distribution():
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log().repeat(1000, 1)
    uniform = torch.arange(1000, dtype=torch.float64) / 1000
    token, logprob = sample_token(logits, 1.0, uniform)
    assert torch.bincount(token).tolist() == [500, 250, 250]
    assert torch.allclose(logprob, torch.tensor([0.5, 0.25, 0.25]).log()[token])


def test_temperature_is_in_the_distribution_and_in_its_logprob():
    logits = torch.tensor([[1.0, 2.0]])
    for temperature in (0.5, 2.0):
        expected = torch.softmax(logits / temperature, -1)[0]
        uniform = torch.arange(1000, dtype=torch.float64) / 1000
        token, logprob = sample_token(logits.repeat(1000, 1), temperature, uniform)
        assert abs((token == 1).double().mean() - expected[1]) <= 0.001
        assert torch.allclose(logprob, expected.log()[token])


def test_temperature_zero_takes_the_most_probable():
    token, logprob = sample_token(torch.tensor([[0.0, 3.0, 1.0], [5.0, 0.0, 0.0]]), 0.0, None)
    assert token.tolist() == [1, 0]
    expected = torch.log_softmax(torch.tensor([[0.0, 3.0, 1.0], [5.0, 0.0, 0.0]]), -1).max(-1).values
    assert torch.equal(logprob, expected)


def test_tokens_of_probability_zero_are_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    for uniform in (0.0, 0.5, 1 - 2**-53):
        token, logprob = sample_token(logits, 1.0, torch.tensor([uniform], dtype=torch.float64))
        assert (token.item(), logprob.item()) == (1, 0.0)


def test_noise_belongs_to_seed_prompt_and_copy():
    keys = noise_keys([[1, 2], [3], [1, 2]], seed=0)
    noise = uniforms(keys, 2, 5)
    assert noise.shape == (6, 5)
    assert len({tuple(row) for row in noise.tolist()}) == 6
    assert torch.equal(noise[2:4], uniforms(noise_keys([[3]], seed=0), 2, 5))
    assert torch.equal(noise[:, :3], uniforms(keys, 2, 3))
    assert not torch.equal(noise[2:4], uniforms(noise_keys([[3]], seed=1), 2, 5))
    assert noise.min() >= 0
    assert noise.max() < 1


def test_pieces_cover_all_prompts_in_order():
    for lengths in ([5], [5] * 10, [3] * 100 + [90] * 100, sorted(range(1, 400)), [5000, 5000, 6000]):
        cut = list(pieces(lengths))
        assert [n for start, end in cut for n in range(start, end)] == list(range(len(lengths)))
    assert list(pieces([3] * 100 + [90] * 10)) == [(0, 100), (100, 110)]
    assert list(pieces([5000, 5000, 6000])) == [(0, 1), (1, 2), (2, 3)]
