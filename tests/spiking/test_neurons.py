"""Neurons against the equations, and the fused loop against snnTorch's own neuron."""

from __future__ import annotations

import math

import numpy as np
import pytest
import snntorch
import torch

from nonideal.rng import torch_stream
from nonideal.spiking.neurons import LIF

STEPS = 9


def currents(seed: int, *shape: int) -> torch.Tensor:
    """Currents around the threshold, double precision."""
    return 2.5 * torch.randn(shape, generator=torch_stream(seed, "currents"), dtype=torch.float64)


def equations(current, beta, v_threshold, v_reset):
    """Eqs. (8) to (10), one neuron and step at a time, and the gradient of the surrogate by hand."""
    spikes, charged = np.zeros(current.shape), np.zeros(current.shape)
    potential = np.full(current.shape[1:], v_reset)
    for t, x in enumerate(current):
        charged[t] = potential + beta * (x - (potential - v_reset))
        spikes[t] = charged[t] >= v_threshold
        potential = np.where(spikes[t] == 1, v_reset, charged[t])
    return spikes, charged


@pytest.mark.parametrize(
    ("beta", "v_threshold", "v_reset"), [(0.25, 1.0, 0.0), (0.6, 0.5, -0.5), (1.0, 1.0, 0.25)]
)
def test_spikes_follow_the_equations(beta, v_threshold, v_reset):
    neuron = LIF(STEPS, beta=beta, v_threshold=v_threshold, v_reset=v_reset)
    current = currents(0, STEPS, 5, 40)
    # The neuron starts at V_reset; the equations of the fused loop are in V - V_reset.
    wanted, _ = equations(current.numpy(), beta, v_threshold, v_reset)
    assert 0.05 < wanted.mean() < 0.95
    np.testing.assert_array_equal(neuron(current).numpy(), wanted)


def test_a_neuron_fires_at_the_threshold_itself():
    # With beta = 1, H = X: exactly the threshold must fire.
    neuron = LIF(1, beta=1.0)
    assert neuron(torch.tensor([[[1.0, math.nextafter(1.0, 0.0)]]], dtype=torch.float64)).tolist() == [
        [[1, 0]]
    ]
    spikes, potential = neuron.step(torch.tensor([[1.0]]), torch.zeros(1, 1))
    assert spikes.item() == 1 and potential.item() == 0


def by_library(neuron: LIF, current: torch.Tensor) -> torch.Tensor:
    """All steps by the single step of the library's neuron, with PyTorch's own gradient."""
    potential = torch.zeros_like(current[0])
    spikes = []
    for t in range(neuron.steps):
        fired, potential = neuron.step(current[0 if len(current) == 1 else t], potential)
        spikes.append(fired)
    return torch.stack(spikes)


@pytest.mark.parametrize("constant", [False, True])
def test_fused_loop_has_the_librarys_spikes_and_gradients(constant):
    neuron = LIF(STEPS).double()
    current = currents(1, 1 if constant else STEPS, 4, 30).requires_grad_()
    weight = currents(2, STEPS, 4, 30)
    found, wanted = neuron(current), by_library(neuron, current)
    assert torch.equal(found, wanted) and 0.05 < wanted.mean() < 0.95
    (gradient,) = torch.autograd.grad((found * weight).sum(), current)
    (expected,) = torch.autograd.grad((wanted * weight).sum(), current)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def test_neuron_is_snntorchs_leaky():
    """Away from the threshold the neuron is `snntorch.Leaky`, decay 1 - beta, input times beta."""
    library = snntorch.Leaky(0.75, reset_mechanism="zero", reset_delay=False)
    neuron, current = LIF(STEPS).double(), currents(3, STEPS, 50)
    potential, wanted = torch.zeros_like(current[0]), []
    for x in current:
        fired, potential = library(0.25 * x, potential)
        wanted.append(fired)
    assert torch.equal(neuron(current[:, None])[:, 0], torch.stack(wanted).double())


def test_gradient_of_one_step_is_the_arctan_surrogate():
    current = torch.tensor([[[0.4, 3.9, 4.4]]], dtype=torch.float64, requires_grad=True)
    LIF(1)(current).sum().backward()
    above = 0.25 * current.detach() - 1
    assert torch.allclose(current.grad, 0.25 / (1 + (math.pi * above) ** 2))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_currents_that_are_not_finite_reach_the_loss(bad):
    current = currents(4, STEPS, 2, 3)
    wanted = LIF(STEPS)(current)
    current[2, 1, 0] = bad
    found = LIF(STEPS)(current)
    assert found.sum(dim=0).isnan().tolist() == [[False] * 3, [True, False, False]]
    assert torch.equal(found[:, 0], wanted[:, 0]) and torch.equal(found[:, 1, 1:], wanted[:, 1, 1:])
    constant = torch.tensor([[[bad, 5.0]]])
    assert LIF(STEPS)(constant).sum(dim=0).isnan().tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("settings", "named"), [({"beta": 0.5}, "beta"), ({"v_threshold": 2.0}, "threshold")]
)
def test_the_state_of_other_neurons_is_refused(settings, named):
    other = torch.nn.Sequential(LIF(STEPS, **settings))
    with pytest.raises(RuntimeError, match=rf"0\.{named}: the state is of a neuron with"):
        torch.nn.Sequential(LIF(STEPS)).load_state_dict(other.state_dict())
    same = LIF(STEPS, **settings)
    same.load_state_dict(other[0].state_dict())
    constant = currents(0, 1, 2, 2)
    assert torch.equal(same(constant), other(constant))


def test_neurons_are_not_kept_alive():
    before = len(snntorch.SpikingNeuron.instances)
    LIF(3)
    assert len(snntorch.SpikingNeuron.instances) == before


@pytest.mark.parametrize("settings", [{"steps": 0}, {"beta": 0.0}, {"beta": 1.1}, {"v_reset": 1.0}])
def test_impossible_neurons_are_refused(settings):
    with pytest.raises(ValueError, match="a neuron needs"):
        LIF(**{"steps": 3} | settings)


def test_currents_of_another_length_are_refused():
    with pytest.raises(ValueError, match="8 steps, expected 1 or 9"):
        LIF(STEPS)(currents(0, 8, 2, 2))
