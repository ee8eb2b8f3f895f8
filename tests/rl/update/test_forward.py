"""Hidden states that several completions share, in the order in which their gradients are added."""

import numpy as np
import torch

from corea.rl.update.forward import repeated_rows


def test_the_gradient_of_a_repeated_row_is_the_float32_sum_in_the_order_of_the_completions():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 32, generator=generator).requires_grad_()
    source = torch.randint(3, (4096,), generator=generator)  # 131,072 elements: enough for torch to use threads
    weights = torch.randn(4096, 32, generator=generator)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rows = repeated_rows(hidden, source)
        (rows * weights).sum().backward()
    finally:
        torch.set_num_threads(threads)

    expected = np.zeros((3, 32), np.float32)
    for row, weight in zip(source.tolist(), weights.numpy(), strict=True):
        expected[row] += weight
    assert torch.equal(rows, hidden[source])
    assert hidden.grad.numpy().tolist() == expected.tolist()
