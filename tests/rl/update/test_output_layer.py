"""Log-probabilities in chunks, overwritten in place, against log_softmax and gather of torch."""

import pytest
import torch
from torch import nn

from corea.errors import UserError
from corea.rl.update.output_layer import is_matrix, require_linear, token_scores

N, H, V = 23, 16, 101


class Wrapped(nn.Module):
    """As an adapter wraps a layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, hidden):
        return self.layer(hidden)


LAYERS = {
    "matrix": lambda: nn.Linear(H, V, bias=False),
    "with bias": lambda: nn.Linear(H, V),
    "wrapped": lambda: Wrapped(nn.Linear(H, V, bias=False)),
}


def inputs(dtype=torch.float32):
    torch.manual_seed(0)
    hidden = torch.randn(N, H, dtype=dtype, requires_grad=True)
    grad = torch.randn(N).where(torch.arange(N) % 5 > 0, 0.0)  # some tokens are not in the loss
    return hidden, torch.randint(V, (N,)), grad


def plain(layer, hidden, targets, temperature):
    scores = torch.log_softmax(layer(hidden).float() / temperature, -1)
    return scores.gather(-1, targets[:, None])[:, 0], torch.distributions.Categorical(logits=scores).entropy()


def gradients(layer, hidden):
    found = [hidden.grad.clone(), *(p.grad.clone() for p in layer.parameters())]
    hidden.grad = None
    layer.zero_grad()
    return found


@pytest.mark.parametrize("chunk", [1, 7, N])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("kind", LAYERS)
def test_scores_and_slopes_are_those_of_torch(kind, temperature, chunk):
    (hidden, targets, grad), layer = inputs(), LAYERS[kind]()
    assert is_matrix(layer) == (kind == "matrix")
    results = []
    for logprobs, entropy in (
        token_scores(layer, hidden, targets, temperature, chunk),
        plain(layer, hidden, targets, temperature),
    ):
        (logprobs * grad).sum().backward()
        results.append((entropy.detach(), logprobs.detach(), gradients(layer, hidden)))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-6)
    tolerance = 0 if chunk == N else 1e-5  # products of another size round in another way
    torch.testing.assert_close(results[0][1:], results[1][1:], rtol=tolerance, atol=tolerance)


def test_sixteen_bits_stay_within_their_precision():
    (hidden, targets, grad), layer = inputs(torch.bfloat16), LAYERS["matrix"]().bfloat16()
    (token_scores(layer, hidden, targets, 0.7, 7)[0] * grad).sum().backward()
    found = gradients(layer, hidden)
    assert {g.dtype for g in found} == {torch.bfloat16}
    exact, copy = layer.float(), hidden.detach().float().requires_grad_()
    (plain(exact, copy, targets, 0.7)[0] * grad).sum().backward()
    for given, wanted in zip(found, gradients(exact, copy), strict=True):
        torch.testing.assert_close(given.float(), wanted, rtol=2e-2, atol=2e-2)


def test_a_frozen_matrix_gets_no_gradient():
    """The base model under adapters that are not on its output layer."""
    (hidden, targets, grad), layer = inputs(), LAYERS["matrix"]().requires_grad_(False)
    (token_scores(layer, hidden, targets, 1.0, 7)[0] * grad).sum().backward()
    found, hidden.grad = hidden.grad, None
    (plain(layer, hidden, targets, 1.0)[0] * grad).sum().backward()
    torch.testing.assert_close(found, hidden.grad, rtol=1e-5, atol=1e-6)
    assert layer.weight.grad is None


def test_nothing_is_kept_where_no_gradient_is_wanted():
    (hidden, targets, _), layer = inputs(), LAYERS["matrix"]()
    with torch.no_grad():
        logprobs, entropy = token_scores(layer, hidden, targets, 1.0, 7)
    assert not logprobs.requires_grad
    torch.testing.assert_close((logprobs, entropy), plain(layer, hidden.detach(), targets, 1.0), rtol=1e-5, atol=1e-5)


def test_ranks_cannot_split_an_output_layer_that_is_called_for_each_chunk():
    require_linear(LAYERS["with bias"]())
    with pytest.raises(UserError, match=r"zero_stage=3: the output layer is a test_output_layer.Wrapped.* 0, 1 or 2"):
        require_linear(LAYERS["wrapped"]())
