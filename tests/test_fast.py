"""What makes an iteration faster draws and computes what it should."""

import pytest
import torch

from ganlab.latent import seed_global_generators
from ganlab.networks.layers import Dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_drops_its_share_and_keeps_the_mean(dtype):
    layer, x = Dropout(0.3), torch.ones(500, 400, dtype=dtype, requires_grad=True)
    torch.manual_seed(0)
    y = layer(x)
    assert y.dtype == dtype
    dropped = (y == 0).double().mean().item()
    assert dropped == pytest.approx(0.3, abs=0.004)  # 4 standard deviations of 200,000 draws
    assert y[y != 0].unique().tolist() == [pytest.approx(1 / 0.7, rel=4e-3)]
    y.sum().backward()
    assert torch.equal(x.grad != 0, y != 0), "the gradient passes where the value did"
    assert torch.equal(layer.eval()(x), x)


def test_dropout_draws_another_mask_each_time_and_the_same_after_the_same_seed():
    layer, x = Dropout(0.5), torch.ones(64)
    seed_global_generators(torch.device("cpu"), 3)
    first, second = layer(x), layer(x)
    seed_global_generators(torch.device("cpu"), 3)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)


def test_seeds_are_torch_s_own():
    torch.manual_seed(2**62 + 11)
    expected = torch.rand(8)
    seed_global_generators(torch.device("cpu"), 2**62 + 11)
    assert torch.equal(torch.rand(8), expected)
