import numpy as np
import pytest
import torch
from mcu_networks import extremes, images, layer, network

from nonideal import models
from nonideal.layers import normalise_quantise
from nonideal.mcu.integer import (
    IntegerLayer,
    IntegerNetwork,
    from_model,
    quantise_images,
    shift_norm,
)
from nonideal.quantize.formats import FORMATS
from nonideal.rng import torch_stream


def slow_shift_norm(y: list[int]) -> list[int]:
    shift = (max(*y, 0) >> 7).bit_length()
    return [0 if v < 0 else min(127, (v + ((1 << shift) >> 1)) >> shift) for v in y]


def slow_accumulators(net: IntegerNetwork, image: np.ndarray) -> list[list[int]]:
    x, result = [int(v) for v in image], []
    for part in net.layers:
        rows = part.weights.tolist()
        result.append([sum(w * v for w, v in zip(row, x, strict=True)) for row in rows])
        x = slow_shift_norm(result[-1])
    return result


@pytest.mark.parametrize("name", FORMATS)
def test_accumulators_against_python_integers(name):
    net = network(name, 21, 9, 8, 5)
    inputs = images(21, 4)
    fast = net.accumulators(inputs)
    assert all(values.dtype == np.int32 for values in fast)
    for n, image in enumerate(inputs):
        assert [values[n].tolist() for values in fast] == slow_accumulators(net, image)


def test_shift_norm_at_every_power_of_two():
    rows = [[2**p + d, 2 ** (p - 1) + d, -d, -(2**p)] for p in range(1, 31) for d in (-1, 0, 1)]
    rows += [[2**31 - 1, 2**30, 1, -(2**31)], [0, 0, 0, 0], [-1, -5, -7, -9], [127, 128, 255, 256]]
    found = shift_norm(np.array(rows, np.int32))
    assert found.dtype == np.int8 and found.tolist() == [slow_shift_norm(row) for row in rows]


def test_first_maximum_wins():
    net = IntegerNetwork((IntegerLayer("ternary", np.array([[0, 0], [1, 0], [0, 1]], np.int16)),))
    x = np.array([[5, 5], [5, 6], [-1, -1], [0, 0]], np.int8)
    assert net.classify(x).tolist() == [1, 2, 0, 0]


@pytest.mark.parametrize("name", FORMATS)
def test_bound_is_reached_and_never_passed(name):
    part = layer(name, 6, 40)
    for lowest in (-128, 0):
        reached = np.abs(part.accumulate(extremes(part, lowest, 127)).astype(np.int64)).max()
        assert part.bound(lowest=lowest, highest=127) == reached
        assert np.abs(part.accumulate(images(40, 200, lowest=lowest)).astype(np.int64)).max() <= reached


def test_images_are_rounded_as_in_training():
    x = torch.randn(50, 1, 4, 4, generator=torch_stream(1, "x"))
    x[0] = 0
    x[1] = torch.tensor([2.0, 0.5 / 63.5, 1.5 / 63.5, -2.0] * 4).view(1, 4, 4)  # halves of a step
    codes = quantise_images(x)
    assert codes.dtype == np.int8 and codes.shape == (50, 16)
    trained = normalise_quantise(x, 8).flatten(1)
    step = trained.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / 127
    assert np.array_equal((trained / step).round().numpy(), codes)
    assert (np.abs(codes).max(axis=1) == 127)[1:].all() and not codes[0].any()
    assert np.array_equal(quantise_images(x * 2.0**-100), codes)  # of any brightness
    for bad in (torch.zeros(0, 4), torch.zeros(4), torch.full((1, 4), torch.nan)):
        with pytest.raises(ValueError, match="images must be"):
            quantise_images(bad)


@pytest.mark.parametrize("name", FORMATS)
def test_first_layer_agrees_with_the_trained_model_up_to_scales(name):
    model = models.build(
        "fc", weight_format=name, input_pixels=30, widths=(), generator=torch_stream(0, "init")
    )
    net = from_model(model.eval())
    x = torch.randn(8, 30, generator=torch_stream(2, "x"))
    logits = model.double()(x.double()).detach()
    factor = logits / torch.tensor(net.logits(quantise_images(x)))
    assert torch.allclose(factor, factor[:, :1].expand_as(factor), rtol=1e-5)
    assert (factor > 0).all()


def test_from_model_refuses_what_the_engine_lacks():
    def fc(**settings):
        return models.build("fc", widths=(4,), generator=torch_stream(0, "init"), **settings)

    with pytest.raises(ValueError, match=r"layer 1: weight format 'float' has no integer weights.*binary, t"):
        from_model(fc(weight_format="float"))
    with pytest.raises(ValueError, match="layer 1: activation_bits is 4, the engine computes with 8"):
        from_model(fc(activation_bits=4))
    with pytest.raises(ValueError, match=r"layer 1: has one scale per output channel.*per_channel=False"):
        from_model(fc(per_channel=True))
    with pytest.raises(ValueError, match="FullyConnected and Cnn, got Linear"):
        from_model(torch.nn.Linear(2, 2))


def test_layers_and_networks_are_checked():
    with pytest.raises(ValueError, match="weight 2 is no level of format 'ternary'"):
        IntegerLayer("ternary", np.array([[2]], np.int16))
    with pytest.raises(ValueError, match="weight format '5bit' is not known"):
        IntegerLayer("5bit", np.zeros((1, 1), np.int16))
    with pytest.raises(ValueError, match=r"must be int16 \[outputs, inputs\], got int64 \[1\]"):
        IntegerLayer("ternary", np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="layer 2 has 4 inputs, layer 1 has 3 outputs"):
        IntegerNetwork((layer("4bit", 3, 5), layer("4bit", 2, 4)))
    with pytest.raises(ValueError, match="at least one layer"):
        IntegerNetwork(())
    with pytest.raises(ValueError, match=r"inputs must be int8 \[n, 5\], got int8 \[2, 4\]"):
        layer("4bit", 3, 5).accumulate(np.zeros((2, 4), np.int8))
