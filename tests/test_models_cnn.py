import math

import pytest
import torch

from nonideal import models
from nonideal.cnn import weight_bits
from nonideal.depthwise import CEILING, features, features_reference
from nonideal.models.cnn import integer_input
from nonideal.rng import torch_stream


def weights(channels: int, spread: float = 32.0) -> list[torch.Tensor]:
    generator = torch_stream(0, "weights", channels)
    return [
        (torch.randn(channels, 1, 3, 3, generator=generator) * spread + 10).round().requires_grad_()
        for _ in range(3)
    ]


@pytest.mark.parametrize("channels", [3, 5, 16])
@pytest.mark.parametrize("shifts", [(7, 7, 3), (4, 5, 6)])
def test_compiled_loops_are_the_reference(channels, shifts):
    """Values to the last bit, gradients to rounding; small shifts saturate, so every mask is used."""
    x = torch.randint(-128, 128, (6, 1, 16, 16), generator=torch_stream(1, "x")).float()
    filters = weights(channels)
    found, wanted = features(x, filters, shifts), features_reference(x, filters, shifts)
    assert torch.equal(found, wanted) and (wanted > 0).any()
    slope = torch.randn(wanted.shape, generator=torch_stream(2, "slope"))
    gradients = torch.autograd.grad((found * slope).sum(), filters)
    for a, b in zip(gradients, torch.autograd.grad((wanted * slope).sum(), filters), strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max() and b.abs().max() > 0


def test_reference_saturates_and_stops_gradients_there():
    x = torch.full((1, 1, 16, 16), 127.0)
    filters = [torch.full((1, 1, 3, 3), 127.0, requires_grad=True) for _ in range(3)]
    f = features_reference(x, filters, (7, 7, 3))
    assert (f == ((CEILING * 127 * 9) >> 3)).all()
    gradients = torch.autograd.grad(f.sum(), filters)
    assert not gradients[0].any() and not gradients[1].any() and gradients[2].any()


def test_images_become_integers_as_everywhere():
    x = torch.randn(3, 1, 16, 16, generator=torch_stream(0, "x"))
    x[0] = 0
    codes = integer_input(x, 8)
    assert torch.equal(codes, codes.round()) and codes.abs().amax(dim=(1, 2, 3)).tolist() == [0, 127, 127]


def test_network_and_its_settings():
    model = models.build("cnn", channels=64, generator=torch_stream(0, "init"))
    bits = sum(part.weight.numel() * part.format.bits for part in models.quant_layers(model))
    assert bits == 64 * 27 * 8 + 256 * 96 * 2 + (96 * 64 + 64 * 10) * 4
    assert weight_bits(model) == bits
    ternary = models.build("cnn", channels=3, first_format="ternary", generator=torch_stream(0, "init"))
    entropy = 12 * 96 * math.log2(3)
    assert weight_bits(ternary) == math.ceil(3 * 27 * 8 + entropy + (96 * 64 + 64 * 10) * 4)
    assert model(torch.randn(2, 1, 16, 16, generator=torch_stream(0, "x"))).shape == (2, 10)
    with pytest.raises(ValueError, match="model 'cnn': channels, widths and classes must be positive"):
        models.build("cnn", channels=0, generator=torch_stream(0, "init"))


def test_gradient_reaches_every_filter():
    model = models.build("cnn", channels=4, generator=torch_stream(0, "init"))
    model(torch.randn(8, 1, 16, 16, generator=torch_stream(0, "x"))).square().sum().backward()
    for bank in model.convolutions:
        assert bank.weight.grad.abs().amax(dim=(1, 2, 3)).gt(0).all()


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 3, 16, 16), (2, 1, 28, 28), (2, 256)])
def test_images_of_another_shape_are_refused(shape):
    model = models.build("cnn", channels=4, generator=torch_stream(0, "init"))
    with pytest.raises(ValueError, match=r"a cnn takes grey images \[n, 1, 16, 16\], got .*--pixels 16"):
        model(torch.zeros(shape))
