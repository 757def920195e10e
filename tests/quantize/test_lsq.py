import copy

import numpy as np
import pytest
import torch
from torch import nn

from nonideal.quantize.lsq import LSQ, quantise_input
from nonideal.rng import torch_stream


def inputs(*shape):
    return torch.randn(shape, generator=torch_stream(5, "lsq"))


@pytest.mark.parametrize("bits", range(1, 9))
def test_every_level_is_kept_and_values_saturate(bits):
    q = LSQ(bits)
    q.started.fill_(True)
    with torch.no_grad():
        q.step.fill_(0.5)
    levels = 0.5 * torch.arange(2**bits)
    assert torch.equal(q(levels[None]), levels[None])
    assert q(torch.tensor([[-3.0, 1e6]])).tolist() == [[0.0, 0.5 * (2**bits - 1)]]


def test_signed_levels_are_those_of_twos_complement():
    q = LSQ(3, signed=True)
    q.started.fill_(True)
    assert q(torch.arange(-9.0, 9.0)).unique().tolist() == list(range(-4, 4))


@pytest.mark.parametrize("signed", [False, True])
def test_gradients_are_those_of_the_published_equation(signed):
    q, x = LSQ(3, signed=signed), inputs(6, 5, 4)
    q.start(x)
    s = q.step.detach().clone()
    x.requires_grad_()
    given = inputs(6, 5, 4).flip(0)
    q(x).backward(given)
    v = x.detach() / s
    inside = (v >= q.low) & (v <= q.high)
    slope = torch.where(inside, v.round() - v, v.clamp(q.low, q.high))
    count = x.numel() if signed else 20
    assert torch.allclose(x.grad, given * inside)
    assert q.step.grad.item() == pytest.approx(
        ((given * slope).sum() / (count * q.high) ** 0.5).item(), rel=1e-4
    )


def test_gradient_of_the_step_has_the_precision_of_its_type():
    q, x = LSQ(4).double(), inputs(50, 40).double()
    q(x).square().sum().backward()
    s = q.step.detach()
    v = x / s
    slope = torch.where(v.clamp(q.low, q.high) == v, v.round() - v, v.clamp(q.low, q.high))
    wanted = (2 * q(x).detach() * slope).sum() / (40 * q.high) ** 0.5
    assert q.step.grad.item() == pytest.approx(wanted.item(), rel=1e-12)


def test_the_first_batch_sets_the_step_and_checkpoints_keep_it():
    q, x = LSQ(4), inputs(8, 16).relu()
    q(x)
    assert q.step.item() == pytest.approx((2 * x.mean() / 15**0.5).item())
    q(x * 100)
    assert q.step.item() == pytest.approx((2 * x.mean() / 15**0.5).item())
    again = LSQ(4)
    again.load_state_dict(q.state_dict())
    again(x * 100)
    assert torch.equal(again.step, q.step)


@pytest.mark.parametrize("value", [0.0, torch.inf, torch.nan])
def test_a_batch_that_no_step_follows_from_is_not_the_first(value):
    q, x = LSQ(4), inputs(8, 16).relu()
    q(torch.full((8, 16), value))
    assert not q.started and q.step.item() == 1
    q(x)
    assert q.started and q.step.item() == pytest.approx((2 * x.mean() / 15**0.5).item())
    assert q.start(torch.full((8, 16), value)).started  # a step there is stays
    assert q.step.item() == pytest.approx((2 * x.mean() / 15**0.5).item())


def test_a_layer_says_of_its_first_batch_that_negative_inputs_are_cut_off():
    layer, x = nn.Linear(4, 3), inputs(8, 4)
    quantise_input(layer, 4, name="3.fc")
    layer(torch.zeros(2, 4))  # no first batch
    with pytest.warns(UserWarning, match=r"layer '3\.fc' has negative inputs.*put a ReLU before"):
        layer(x)
    copy.deepcopy(layer)(x)  # said once: warnings are errors here
    layer = nn.Linear(4, 3)
    quantise_input(layer, 4, refuse_negative=True)
    with pytest.raises(ValueError, match="layer 'Linear' has negative inputs"):
        layer(x)


def test_an_input_by_name_is_refused():
    layer = nn.Linear(4, 2)
    quantise_input(layer, 3)
    with pytest.raises(ValueError, match="a Linear with quantised inputs takes its input first, not by name"):
        layer(input=torch.ones(1, 4))


def test_integers_after_a_step_of_an_optimiser_are_those_of_the_next_batch():
    q = LSQ(2)
    q.started.fill_(True)
    with torch.no_grad():
        q.step.fill_(-0.5)
    found = q.integers(torch.tensor([0.0, 1e-8, 1.0]))
    assert found.tolist() == [0, 1, 3]
    q(torch.ones(1, 1))
    assert torch.equal(q.integers(torch.tensor([0.0, 1e-8, 1.0])), found)


def test_the_step_stays_positive():
    q = LSQ(4)
    q(inputs(4, 4).relu())
    with torch.no_grad():
        q.step.fill_(-1.0)
    assert torch.isfinite(q(inputs(4, 4).relu())).all()
    assert q.step.item() > 0
    q.half()
    assert torch.isfinite(q(inputs(4, 4).relu().half())).all()
    assert q.step.item() > 0


def test_inputs_of_a_layer_are_quantised_also_in_a_copy():
    model = nn.Sequential(nn.Conv2d(2, 3, 3))
    q, x = quantise_input(model[0], 2), inputs(2, 2, 5, 5).relu()
    expected = nn.functional.conv2d(LSQ(2)(x), model[0].weight, model[0].bias)
    assert torch.equal(model(x), expected)
    assert q.started
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[0].input_quantiser.step.mul_(4)
    assert not torch.equal(twin(x), expected)
    assert torch.equal(model(x), expected)
    with pytest.raises(ValueError, match="already"):
        quantise_input(model[0], 2)


def test_widths_may_come_from_an_array():
    assert [LSQ(bits).high for bits in np.arange(2, 5)] == [3, 7, 15]
    assert all(type(LSQ(bits).bits) is int for bits in np.arange(2, 5))


@pytest.mark.parametrize(
    "arguments", [{"bits": 0}, {"bits": 1, "signed": True}, {"bits": 17}, {"bits": True}, {"bits": 4.0}]
)
def test_bad_widths_are_refused(arguments):
    with pytest.raises(ValueError, match="bits must be a whole number"):
        LSQ(**arguments)
