import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from nonideal import faults, variability
from nonideal.models.registry import build
from nonideal.quantize import attach
from nonideal.regularised import bitserial, networks
from nonideal.rng import torch_stream


def images(*shape):
    return torch.rand(shape, generator=torch_stream(2, "images"))


def trained(bits=3):
    model = build("resnet8", generator=torch_stream(2, "init"), width=4, channels=1)
    networks.quantise(model, "multiplier", bits, activation_bits=bits)
    with torch.no_grad():
        for k, q in enumerate(attach.attached(model).values()):
            q.r.mul_(1 + 0.2 * torch.randn(bits, generator=torch_stream(2, "r", k)))
    model(images(8, 1, 8, 8))  # starts the steps of the inputs
    return model.eval()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_integers_give_the_networks_logits(bits):
    model = trained(bits)
    x = images(16, 1, 8, 8).double()
    expected = model.double()(x)
    integers = bitserial.convert(model)
    assert torch.allclose(integers(x), expected, rtol=1e-10, atol=1e-10)
    assert 0 < bitserial.accumulators(integers) < 2**20
    moved = integers.get_submodule("blocks.0.conv1")
    moved.multipliers[0] *= 1.1
    assert not torch.allclose(integers(x), expected, rtol=1e-6)


def test_accumulators_are_sums_of_whole_numbers():
    model = trained()
    layer = model.blocks[0].conv2
    serial = bitserial.BitSerial(layer)
    whole = torch.randint(0, 8, (2, 4, 5, 5), generator=torch_stream(2, "whole"))
    sums = serial.accumulate(whole.double())
    assert torch.equal(sums, sums.round())
    codes = attach.attached(layer)[""].encode(attach.original(layer)[""]).long()
    unfolded = functional.unfold(whole.double(), 3, padding=1).long()  # [n, in * 9, places]
    for k in range(3):
        plane = (codes >> k & 1).flatten(1)
        expected = (plane @ unfolded).view(2, 4, 5, 5)
        assert torch.equal(sums[:, 4 * k : 4 * (k + 1)].long(), expected)
    assert torch.equal(sums[:, -1].long(), unfolded.sum(1).view(2, 5, 5))
    largest = int(sums.abs().max())
    serial.accumulate(torch.zeros(1, 4, 5, 5, dtype=torch.float64))
    assert serial.largest == largest > 0  # of all batches, not of the last


def test_a_dense_layer_with_bias_agrees():
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    networks.quantise(model, "step", 4, activation_bits=4)
    model(images(4, 6))
    model.double().eval()
    x = images(7, 6).double()
    assert torch.allclose(bitserial.convert(model)(x), model(x), rtol=1e-10)


def dense():
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    networks.quantise(model, "multiplier", 4, activation_bits=4)
    model(images(4, 6))
    return model


@pytest.mark.parametrize("mode", faults.MODES)
def test_codes_are_those_that_stuck_cells_hold(mode):
    model, x = dense(), images(7, 6).double()
    sound = bitserial.convert(model)(x)
    fault = faults.draw((4, 5), 4, 0.4, p_stuck1=0.5, seed=1, layer="2")
    networks.exchange(model, lambda name, q: faults.FaultyQuantiser(q, fault, mode))
    model.double().eval()
    assert torch.allclose(bitserial.convert(model)(x), model(x), rtol=1e-10)
    assert not torch.allclose(sound, model(x), rtol=1e-3)


@pytest.mark.parametrize("shape", [(3, 2, 6), (6,)])
def test_a_dense_layer_takes_the_last_axis(shape):
    model, x = dense().double().eval(), images(*shape).double()
    assert torch.allclose(bitserial.convert(model)(x), model(x), rtol=1e-10)


def test_parametrisations_of_the_user_stay():
    model = dense()
    parametrizations.weight_norm(model[0])
    model.double().eval()
    x = images(7, 6).double()
    assert torch.allclose(bitserial.convert(model)(x), model(x), rtol=1e-10)


def test_what_would_be_another_network_is_refused():
    model = dense()
    factors = variability.draw((4, 5), 4, 0.2, seed=1, layer="2")
    networks.exchange(model, lambda name, q: variability.VariableQuantiser(q, factors))
    with pytest.raises(ValueError, match="variable cells"):
        bitserial.convert(model)
    padded = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"))
    networks.quantise(padded, "step", 4, activation_bits=4, policy="all")
    padded(images(2, 1, 5, 5))
    with pytest.raises(ValueError, match="pads by zeros"):
        bitserial.convert(padded)
    fresh = nn.Sequential(nn.Linear(4, 4))
    networks.quantise(fresh, "step", 4, activation_bits=4, policy="all")
    with pytest.raises(ValueError, match="has no step yet"):
        bitserial.convert(fresh)


def test_what_cannot_be_converted_is_named():
    with pytest.raises(ValueError, match="no quantised layer"):
        bitserial.convert(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="needs a learned quantiser"):
        bitserial.BitSerial(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="ungrouped"):
        bitserial.BitSerial(nn.Conv2d(4, 4, 3, groups=2))
    layer = networks.quantise(nn.Sequential(nn.Linear(4, 4)), "step", 2, policy="all")
    with pytest.raises(ValueError, match="quantised input"):
        bitserial.convert(layer)
