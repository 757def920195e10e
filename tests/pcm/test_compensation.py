"""Drift compensation of deployed networks: measured, by column, or from the targets alone."""

import pytest
import torch
from small_networks import network
from torch import nn
from torch.nn import functional

from nonideal.pcm.deploy import deploy, layer_inputs, logit_error, quantised
from nonideal.pcm.hardware import Hardware

MONTH = 2_592_000.0


@pytest.mark.parametrize("compensation", ["layer", "column"])
def test_compensation_recovers_a_common_loss(compensation):
    model, images = network()
    hardware = Hardware(read_noise="off", programming_noise=False, compensation=compensation)
    deployed = deploy(model, "max_fill", 1, 4, 2, seed=1, calibration=images[:4], hardware=hardware)
    for layer in deployed.layers.values():
        layer.devices.exponent.fill_(0.05)  # all devices lose the same share
    torch.testing.assert_close(deployed(images, t=MONTH), deployed(images, t=20.0), rtol=1e-9, atol=1e-12)


def test_compensation_helps_and_columns_differ_from_layers():
    model, images = network()
    expected, errors = quantised(model)(images), {}
    for kind in ("none", "fixed", "layer", "column"):
        deployed = deploy(
            model, "max_fill", 1, 8, 8, seed=1, calibration=images, hardware=Hardware(compensation=kind)
        )
        errors[kind] = logit_error(deployed(images, t=MONTH), expected).mean().item()
    assert errors["layer"] < 0.6 * errors["none"] and errors["fixed"] < 0.6 * errors["none"]
    assert len(set(errors.values())) == 4


def test_fixed_compensation_leaves_devices_that_do_not_drift():
    model, images = network()
    hardware = Hardware(drift=False, read_noise="off", programming_noise=False, compensation="fixed")
    deployed = deploy(model, "max_fill", 1, 4, 2, seed=1, hardware=hardware)
    torch.testing.assert_close(deployed(images, t=MONTH)[1], quantised(model)(images))


def test_compensation_is_the_ratio_of_calibration_outputs():
    model, images = network()
    deployed = deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images[:5])
    quantised_model = quantised(model)
    (x,) = layer_inputs(quantised_model, images[:5])["grouped"]
    before, after = (deployed.effective_weights("grouped", t) for t in (20.0, MONTH))
    snapshot = deployed.at(MONTH).weights["grouped.weight"]
    for chip in range(2):
        sums = [functional.conv2d(x, w[chip], stride=2, groups=2).abs().sum() for w in (before, after)]
        torch.testing.assert_close(snapshot[chip], after[chip] * sums[0] / sums[1])


def test_compensation_is_measured_over_every_call_of_a_layer():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 6, bias=False).double()
            nn.init.normal_(self.fc.weight, generator=torch.Generator().manual_seed(2))

        def forward(self, x):
            return self.fc(self.fc(x).relu())

    images = torch.randn(5, 6, generator=torch.Generator().manual_seed(1)).double()
    deployed = deploy(Twice(), "max_fill", 1, 2, 1, seed=1, calibration=images)
    before, after = (deployed.effective_weights("fc", t)[0] for t in (20.0, MONTH))
    calls = (images, quantised(Twice()).fc(images).relu())
    sums = [sum((x @ weight.T).abs().sum() for x in calls) for weight in (before, after)]
    torch.testing.assert_close(deployed.at(MONTH).weights["fc.weight"][0], after * sums[0] / sums[1])


def test_fixed_compensation_without_spread_is_exact():
    layer = nn.Linear(30, 2, bias=False)
    layer.weight.data.fill_(1.0)
    hardware = Hardware(read_noise="off", programming_noise=False, compensation="fixed")
    deployed = deploy(layer, "max_fill", 1, 4, 1, seed=1, hardware=hardware)
    deployed.layers[""].devices.exponent.copy_(deployed.layers[""].devices.mean_exponent)
    x = torch.randn(5, 30, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(deployed(x, t=MONTH)[0], layer(x))


@pytest.mark.parametrize(("mapping", "base"), [("max_fill", 3), ("equal_fill", 2), ("digital", None)])
def test_fixed_compensation_keeps_the_sum_of_weights_whose_devices_drift_as_their_targets(mapping, base):
    model = nn.Sequential(nn.Linear(30, 20, bias=False))
    nn.init.normal_(model[0].weight, generator=torch.Generator().manual_seed(2))
    hardware = Hardware(read_noise="off", programming_noise=False, compensation="fixed")
    deployed = deploy(model, mapping, base, 4, 2, seed=1, hardware=hardware)
    devices = deployed.layers["0"].devices
    devices.exponent.copy_(devices.mean_exponent)
    before, after = (deployed.at(t).weights["0.weight"].abs().sum((1, 2)) for t in (20.0, MONTH))
    torch.testing.assert_close(after, before)
    raw = deployed.effective_weights("0", MONTH).abs().sum((1, 2))
    assert (raw < 0.6 * before).all()


def test_a_column_that_converters_rounded_to_nothing_is_not_silenced_later():
    model = nn.Sequential(nn.Linear(64, 40, bias=False))
    nn.init.normal_(model[0].weight, generator=torch.Generator().manual_seed(1))
    model[0].weight.data[::2] *= 0.15  # beside the others within half a code or little more
    images = torch.randn(4, 64, generator=torch.Generator().manual_seed(2))
    hardware = Hardware(compensation="column", adc_bits=4)
    deployed = deploy(model, "max_fill", 1, 2, 20, seed=1, calibration=images, hardware=hardware)
    scale = deployed.at(40.0).weights["0.scale"]
    lost = deployed.layers["0"].reference == 0
    seen = deployed._sums(deployed.layers["0"], deployed._read("0", 40.0, 0)) > 0
    assert (lost & seen).sum() > 5 and (scale[lost] == 1).all()
    assert (scale[~lost] != 1).float().mean() > 0.3
