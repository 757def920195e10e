"""Batch normalisation in the weights of deployed layers, and weights that several layers share."""

import dataclasses

import pytest
import torch
from small_networks import Small, network
from torch import nn
from torch.nn import functional

from nonideal.pcm.deploy import deploy, quantised
from nonideal.pcm.hardware import NOISELESS
from nonideal.pcm.programming import quantise_weights


def test_normalisation_is_folded_and_the_model_left_alone():
    model, _ = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    assert isinstance(deployed.model.norm, nn.Identity)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("length", [None, 6, 5])
def test_normalisation_along_a_sequence_is_not_folded(length):
    """Batch normalisation is along the outputs of [n, outputs], but the length of [n, length, outputs]."""
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(length or 6))
    images = torch.randn(8, *([length] if length else []), 4, generator=torch.Generator().manual_seed(1))
    model(images)  # running statistics
    model.eval()
    hardware = dataclasses.replace(NOISELESS, compensation="layer")
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, calibration=images, hardware=hardware)
    torch.testing.assert_close(deployed(images, t=20.0)[0], quantised(model)(images), rtol=1e-4, atol=1e-5)
    assert isinstance(deployed.model[1], nn.BatchNorm1d if length else nn.Identity)


def test_a_model_that_cannot_be_traced_keeps_its_normalisation():
    class Branching(Small):
        def forward(self, x):
            return super().forward(x if x.sum() > 0 else -x)

    _, images = network()
    model = Branching(torch.Generator().manual_seed(0)).eval().double()
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    assert isinstance(deployed.model.norm, nn.BatchNorm2d)
    torch.testing.assert_close(deployed(images, t=20.0)[0], quantised(model)(images))


class Decoder(nn.Module):
    """A weight used twice, in its layer and by itself."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(6, 4, bias=False), nn.BatchNorm1d(4)
        self.norm.running_var.fill_(4.0)

    def forward(self, x):
        return functional.linear(self.norm(self.fc(x)), self.fc.weight.t())


def test_a_weight_of_two_layers_is_quantised_once():
    model = nn.Sequential(*(nn.Linear(6, 6, bias=False) for _ in range(2)))
    nn.init.normal_(model[0].weight, generator=torch.Generator().manual_seed(2))
    model[1].weight = model[0].weight
    images = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS, clip_sigmas=1)
    torch.testing.assert_close(deployed(images, t=20.0)[0], quantised(model, clip_sigmas=1)(images))
    step = quantise_weights(model[0].weight, 1)[1]
    on_grid = quantised(model, clip_sigmas=1)[0].weight / step
    torch.testing.assert_close(on_grid, on_grid.round())


def test_normalisation_is_not_folded_into_a_weight_used_elsewhere():
    model = Decoder().eval()
    images = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    # Measured, for only of outputs that are known to be [n, outputs] is a normalisation folded.
    hardware = dataclasses.replace(NOISELESS, compensation="layer")
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, calibration=images, hardware=hardware)
    assert isinstance(deployed.model.norm, nn.BatchNorm1d)
    torch.testing.assert_close(deployed(images, t=20.0)[0], quantised(model)(images))


@pytest.mark.parametrize("place", ["conv", "norm"])
def test_normalisation_is_not_folded_past_a_hook(place):
    layers = {"conv": nn.Conv2d(3, 4, 3, bias=False), "norm": nn.BatchNorm2d(4)}
    model = nn.Sequential(*layers.values()).eval()
    layers["norm"].running_var.fill_(4.0)
    if place == "conv":
        layers["conv"].register_forward_hook(lambda *args: args[2].clamp(-0.1, 0.1))
    else:
        layers["norm"].register_forward_pre_hook(lambda _, args: (args[0].clamp(-0.1, 0.1),))
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    torch.testing.assert_close(deployed(images, t=20.0)[0], quantised(model)(images))


@pytest.mark.parametrize(("affine", "bias"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("named", [True, False])
def test_normalisation_is_folded_whatever_it_learns_and_however_it_is_called(affine, bias, named):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=affine, bias=bias)
            self.norm.running_var.fill_(4.0)
            for parameter in self.norm.parameters():
                nn.init.uniform_(parameter, 0.5, 2)

        def forward(self, x):
            return self.norm(input=self.conv(input=x)) if named else self.norm(self.conv(x))

    model = Network().eval()
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    assert isinstance(deployed.model.norm, nn.Identity)
    torch.testing.assert_close(deployed(images, t=20.0)[0], quantised(model)(images))


@pytest.mark.parametrize("twice", ["output", "layer", "norm"])
def test_normalisation_is_not_folded_where_anything_is_used_twice(twice):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.norm.running_var.fill_(4.0)

        def forward(self, x):
            y = self.conv(x)
            other = y if twice == "output" else self.conv(-x) if twice == "layer" else self.norm(x)
            return self.norm(y) + other

    model = Network().eval()
    images = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    assert isinstance(deployed.model.norm, nn.BatchNorm2d)
    torch.testing.assert_close(deployed(images, t=20.0)[0], quantised(model)(images))
