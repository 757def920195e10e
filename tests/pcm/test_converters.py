"""Converters of a deployed network against formulas, against plain loops, and against ideal ones."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from small_networks import network
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from nonideal.pcm import converters, device
from nonideal.pcm.converters import convert, measured_span
from nonideal.pcm.deploy import deploy, layer_inputs, quantised
from nonideal.pcm.hardware import NOISELESS, Hardware
from nonideal.pcm.programming import normals
from nonideal.quantize.lsq import quantise_input

MONTH = 2_592_000.0
QUIET = {"read_noise": "off", "compensation": "none"}
EIGHT = Hardware(dac_bits=8, adc_bits=8)


def _normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _linear(inputs, outputs, bias=False):
    layer = nn.Linear(inputs, outputs, bias=bias).double()
    for seed, parameter in enumerate(layer.parameters(), 1):
        parameter.data = _normal(*parameter.shape, seed=seed)
    return layer


@pytest.mark.parametrize("bits", range(2, 11))
def test_every_code_and_the_borders_between_codes(bits):
    limit = 2 ** (bits - 1) - 1
    span = torch.tensor(3.0, dtype=torch.float64)
    codes = torch.arange(-limit, limit + 1, dtype=torch.float64)
    levels = codes * 3 / limit
    torch.testing.assert_close(convert(levels, span, bits), levels, rtol=1e-14, atol=0)
    for side in (-0.499, 0.499):
        found = convert(levels + side * 3 / limit, span, bits)
        torch.testing.assert_close(found, levels, rtol=1e-14, atol=0)
    assert convert(torch.tensor([-1e9, -3.1, 3.1, 1e9]), span, bits).tolist() == [-3, -3, 3, 3]
    assert len(convert(torch.linspace(-4, 4, 9999, dtype=torch.float64), span, bits).unique()) == 2**bits - 1


def test_a_converter_without_range_lets_nothing_through():
    spans = torch.tensor([0.0, 1.0])
    assert convert(torch.tensor([[5.0, 0.0], [-1.0, 1.0]]).T, spans, 4).tolist() == [[0, -1], [0, 1]]


@pytest.mark.parametrize("bits", [3, 5, 8])
def test_rms_error_of_a_uniform_quantiser(bits):
    count, span = 40_000, 2.0
    values = span * (2 * torch.rand(count, generator=torch.Generator().manual_seed(bits)).double() - 1)
    squares = (convert(values, torch.tensor(span, dtype=torch.float64), bits) - values).square()
    step = span / (2 ** (bits - 1) - 1)
    # e is uniform within half a step: e^2 has mean step^2 / 12 and variance step^4 / 180.
    standard_error = step**2 / math.sqrt(180 * count)
    assert abs(squares.mean() - step**2 / 12) < 5 * standard_error


def test_ranges_hold_the_wanted_share():
    values = torch.arange(1.0, 101.0).repeat(2, 1) * torch.tensor([[1.0], [-2.0]])
    assert measured_span(values, 1).tolist() == [100, 200]
    assert measured_span(values, 0.9).tolist() == [90, 180]
    assert measured_span(values, 1e-9).tolist() == [1, 2]


@pytest.mark.parametrize("share", [0.003, 0.5, 0.905, 0.999])
def test_a_range_is_the_smallest_that_holds_the_share(share):
    values = _normal(3, 101)
    inside = values.abs() - measured_span(values, share)[:, None]
    assert ((inside <= 0).double().mean(dim=1) >= share).all()
    assert ((inside < 0).double().mean(dim=1) < share).all()


def test_without_converters_not_a_bit_changes():
    """What ideal converters leave is one product with the sum over all devices and one noise."""
    model, _ = network()
    hardware = Hardware(compensation="none")
    deployed = deploy(model, "max_fill", 1, 4, 2, seed=1, hardware=hardware)
    weights = deployed.at(MONTH).weights
    assert set(weights) == {"conv.weight", "grouped.weight", "classifier.weight"}
    for name, layer in deployed.layers.items():
        held = layer.devices.read(MONTH)
        z = normals(held.shape[2:], [0, 1], seed=1, labels=(name, "read", 0, "later")).to(held)
        noise = device.read_noise_growth(MONTH) * layer.devices.deviation(held) * z
        scale = (torch.ones(2, 1).double() * layer.affine.scale).view(2, -1, *[1] * (held.ndim - 3))
        assert torch.equal(weights[f"{name}.weight"], (held.sum(0) + noise) * layer.step * scale)


CONFIGURATIONS = [
    ("max_fill", 1, 1),
    ("equal_fill", 1, 4),
    ("max_fill", 1, 4),
    ("max_fill_ec", 2, 3),
    ("digital", None, 2),
]


def _widen(deployed, factor):
    """Converters with wider ranges, in which nothing saturates."""
    for name, layer in deployed.layers.items():
        layer.spans *= factor
        deployed.model.get_submodule(name).dac_span *= factor


@pytest.mark.parametrize(("mapping", "base", "n"), CONFIGURATIONS)
@pytest.mark.parametrize("options", [{"compensation": "layer"}, {"compensation": "column", "pairs": True}])
def test_many_bits_are_ideal(mapping, base, n, options):
    model, images = network()
    given = {"seed": 1, "calibration": images}
    ideal = deploy(model, mapping, base, n, 2, **given, hardware=Hardware(**options))
    fine = Hardware(dac_bits=24, adc_bits=24, **options)
    converted = deploy(model, mapping, base, n, 2, **given, hardware=fine)
    _widen(converted, 8)
    for t in (20.0, MONTH):
        expected = ideal(images, t=t)
        # Steps are a millionth of the largest value, and a logit is the sum of few of them.
        torch.testing.assert_close(converted(images, t=t), expected, rtol=0, atol=1e-5 * expected.abs().max())


def test_only_one_kind_of_converter():
    model, images = network()
    expected = deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images)(images, t=20.0)
    logits = [
        deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images, hardware=Hardware(**bits))(
            images, t=20.0
        )
        for bits in ({"dac_bits": 6}, {"adc_bits": 6}, {"dac_bits": 6, "adc_bits": 6})
    ]
    errors = [(found - expected).norm() / expected.norm() for found in logits]
    assert all(0.002 < error < 0.2 for error in errors)
    assert not torch.equal(logits[0], logits[2]) and not torch.equal(logits[1], logits[2])


@pytest.mark.parametrize("bits", [6, 8])
def test_error_of_output_converters(bits):
    """Every slice adds step^2 / 12; slices and outputs are independent."""
    layer, inputs = _linear(300, 40), _normal(300, 300)
    given = {"seed": 2, "calibration": inputs}
    ideal = deploy(layer, "max_fill", 2, 4, 2, **given, hardware=Hardware(**QUIET))
    converted = deploy(layer, "max_fill", 2, 4, 2, **given, hardware=Hardware(adc_bits=bits, **QUIET))
    squares = (converted(inputs, t=20.0) - ideal(inputs, t=20.0)).square()
    steps = converted.layers[""].spans / (2 ** (bits - 1) - 1)
    for chip in range(2):
        variance = steps[:, chip].square().sum().item() / 12
        # A sum of uniform errors has lighter tails than a normal: this bounds the standard error.
        standard_error = variance * math.sqrt(2 / squares[chip].numel())
        assert abs(squares[chip].mean().item() - variance) < 5 * standard_error
    assert (steps[0] < 0.7 * steps[-1]).all()  # slices have ranges of their own


def test_error_of_input_converters():
    """Every input adds w^2 step^2 / 12 to an output."""
    layer, inputs = _linear(100, 30), _normal(1000, 100)
    hardware = Hardware(programming_noise=False, drift=False, dac_bits=6, **QUIET)
    converted = deploy(layer, "max_fill", 1, 2, 1, seed=2, calibration=inputs, hardware=hardware)
    errors = (converted(inputs, t=20.0)[0] - quantised(layer)(inputs)).square().sum(1)
    step = inputs.abs().max() / 31
    expected = quantised(layer).weight.square().sum() * step**2 / 12
    assert abs(errors.mean() - expected) < 5 * errors.std() / math.sqrt(len(errors))


def test_saturation():
    layer, inputs = _linear(50, 6), _normal(40, 50)
    quiet = {"read_noise": "off", "programming_noise": False, "drift": False, "compensation": "none"}
    given = {"seed": 2, "calibration": inputs}
    outputs = deploy(layer, "max_fill", 1, 1, 1, **given, hardware=Hardware(adc_bits=8, **quiet))
    span = quantised(layer)(inputs).abs().max()
    logits = outputs(1000 * inputs, t=20.0)
    assert logits.abs().max().item() == pytest.approx(span.item(), rel=1e-12)
    assert (logits.abs() > 0.999 * span).double().mean() > 0.95
    into = deploy(layer, "max_fill", 1, 1, 1, **given, hardware=Hardware(dac_bits=8, **quiet))
    limit = inputs.abs().max()
    expected = into(inputs.sign() * limit, t=20.0)
    torch.testing.assert_close(into(1e6 * inputs, t=20.0), expected)
    torch.testing.assert_close(expected[0], quantised(layer)(inputs.sign() * limit))
    half = Hardware(adc_bits=8, converter_quantile=0.5, **quiet)
    narrow = deploy(layer, "max_fill", 1, 1, 1, **given, hardware=half)(inputs, t=20.0)
    assert (narrow.abs() == narrow.abs().max()).double().mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("mapping", "base"), [("equal_fill", 1), ("max_fill", 2), ("max_fill_ec", 1), ("digital", None)]
)
def test_mappings_agree_at_one_slice(mapping, base):
    model, images = network()
    logits = [
        deploy(model, name, b, 1, 2, seed=1, calibration=images[:4], hardware=EIGHT)(images, t=MONTH)
        for name, b in ((mapping, base), ("max_fill", 1))
    ]
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-9, atol=1e-12)


def _plain(values, span, bits):
    step = span / (2 ** (bits - 1) - 1)
    return (values / step).round().clamp(-(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1) * step


@pytest.mark.parametrize("pairs", [False, True])
def test_against_plain_loops(pairs):
    """Slice by slice and chip by chip, compensation included."""
    model, images = network()
    hardware = Hardware(dac_bits=5, adc_bits=6, pairs=pairs)
    deployed = deploy(model, "max_fill", 2, 3, 2, seed=1, calibration=images[:5], hardware=hardware)
    before, after = (deployed._read("grouped", t, 0) for t in (20.0, MONTH))
    module = deployed.at(MONTH)
    (seen,) = layer_inputs(quantised(model), images[:5])["grouped"]
    dac = seen.abs().max()
    layer, converted = deployed.layers["grouped"], deployed.model.grouped
    assert converted.dac_span == dac
    inputs = _plain(seen, dac, 5)
    for chip in range(2):
        held = layer.devices.conductance[:, chip] * layer.devices.significance.view(-1, 1, 1, 1, 1)
        spans = [
            functional.conv2d(inputs, held[j::3].sum(0) * layer.step, stride=2, groups=2).abs().max()
            for j in range(3)
        ]
        torch.testing.assert_close(layer.spans[:, chip], torch.stack(spans))
        outputs = [
            sum(
                _plain(functional.conv2d(inputs, weights[j, chip], stride=2, groups=2), spans[j], 6)
                for j in range(3)
            )
            for weights in (before, after)
        ]
        factor = outputs[0].abs().sum() / outputs[1].abs().sum()
        one = {key: module.weights[f"grouped.{key}"][chip] for key in ("weight", "scale", "span")}
        expected = outputs[1] * factor + model.grouped.bias.view(-1, 1, 1)
        torch.testing.assert_close(functional_call(converted, one, (seen,)), expected)


def test_slices_share_the_noise_of_the_read():
    """Each slice has noise of its own, independent of the others, and its sum is that of ideal converters."""
    layer = nn.Linear(4000, 5, bias=False).double()
    layer.weight.data.fill_(0.4)
    layer.weight.data[:, 0] = 1.0
    options = {"compensation": "none", "read_noise_norm": "g_max"}
    given = {"seed": 3, "calibration": _normal(1, 4000)}
    ideal = deploy(layer, "equal_fill", 2, 3, 2, **given, hardware=Hardware(**options))
    converted = deploy(layer, "equal_fill", 2, 3, 2, **given, hardware=Hardware(adc_bits=8, **options))
    expected = ideal.effective_weights("", MONTH)
    torch.testing.assert_close(converted.effective_weights("", MONTH), expected, rtol=1e-12, atol=1e-15)
    state = converted.layers[""]
    held = state.devices.read(MONTH)
    noise = converted._read("", MONTH, 0) / state.step - held
    z = (noise / (device.read_noise_growth(MONTH) * held * state.devices.noise))[..., 1:].flatten(1)
    count = z.shape[1]
    assert (z.mean(1).abs() < 5 / math.sqrt(count)).all()
    assert ((z.std(1) - 1).abs() < 5 / math.sqrt(2 * count)).all()
    assert (torch.corrcoef(z) - torch.eye(3)).abs().max() < 5 / math.sqrt(count)


def test_chips_are_the_same_in_any_company_and_in_one_call():
    model, images = network()
    given = {"seed": 1, "calibration": images[:6], "hardware": EIGHT}
    snapshot = deploy(model, "max_fill_ec", 2, 4, 3, **given).at(MONTH)
    together = snapshot(images)
    alone = deploy(model, "max_fill_ec", 2, 4, [2], **given)(images, t=MONTH)
    torch.testing.assert_close(together[2], alone[0])
    torch.testing.assert_close(snapshot._batched(images, batch=5), together)


def test_a_layer_that_serves_twice_is_converted_in_both_places():
    model = nn.Sequential(_linear(6, 6, bias=True), nn.ReLU())
    model.append(model[0])
    images = _normal(20, 6)
    deployed = deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images, hardware=EIGHT)
    assert deployed.model[0] is deployed.model[2]
    assert isinstance(deployed.model[2], converters.ConvertedLayer)
    coarse, expected = deployed(images, t=20.0), quantised(model)(images)
    assert coarse.shape == (2, 20, 6) and (coarse - expected).norm() / (2**0.5 * expected.norm()) < 0.2


@pytest.mark.parametrize("options", [{"dac_bits": 8}, {"adc_bits": 8}])
@pytest.mark.parametrize("first", [True, False])
def test_ranges_hold_what_every_call_of_a_layer_sees(options, first):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = _linear(6, 6)

        def forward(self, x):
            one, two = self.fc(x), self.fc(input=0.01 * x)
            return one if first else two

    model, images = Twice(), _normal(200, 6)
    hardware = dataclasses.replace(NOISELESS, **options)
    deployed = deploy(model, "max_fill", 1, 1, 1, seed=1, calibration=images, hardware=hardware)
    expected = quantised(model)(images)
    error = (deployed(images, t=20.0)[0] - expected).norm() / expected.norm()
    # The steps are those of the large inputs, for small ones as well.
    assert error < 0.02 if first else 0.2 < error < 1


def test_weights_used_outside_their_layer_have_no_converters():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = _linear(6, 4)

        def forward(self, x):
            return functional.linear(self.fc(x), self.fc.weight.t())

    images = _normal(20, 6)
    with pytest.raises(ValueError, match="the network uses the weights of 'fc' outside these layers"):
        deploy(Tied(), "max_fill", 1, 2, 1, seed=1, calibration=images, hardware=EIGHT)


def test_a_bias_used_outside_its_layer_is_named_where_no_trace_shows_it():
    class Untraceable(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 4).double()

        def forward(self, x):
            if x.sum() > 1e9:  # no symbol can answer
                return x
            return self.fc(x) + self.fc.bias

    images = _normal(20, 6)
    with pytest.raises(ValueError, match="does more with its layers than to call them"):
        deploy(Untraceable(), "max_fill", 1, 2, 1, seed=1, calibration=images, hardware=EIGHT)


def test_a_layer_that_sees_one_image_without_a_batch():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 3, 3, padding=1).double()

        def forward(self, x):
            return torch.stack([self.conv(image).flatten() for image in x])

    model, images = Single(), _normal(4, 2, 5, 5)
    batched = nn.Sequential(model.conv, nn.Flatten())
    found = [
        deploy(which, "max_fill", 1, 2, 2, seed=1, calibration=images, hardware=EIGHT)(images, t=20.0)
        for which in (model, batched)
    ]
    assert found[0].shape == found[1].shape and torch.isfinite(found[0]).all()


def test_hooks_of_layers_act_around_their_converters():
    """Quantisers of activations among them; a copy keeps them."""
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 5)).double().eval()
    images = _normal(64, 20).abs()
    for layer in (model[0], model[2]):
        quantise_input(layer, 2)
    model[2].register_forward_hook(
        lambda layer, args, kwargs, output: output * layer.out_features, with_kwargs=True
    )
    model[0].register_forward_pre_hook(lambda layer, args, kwargs: (args, kwargs), with_kwargs=True)
    model(images)  # starts the quantisers
    hardware = dataclasses.replace(NOISELESS, adc_bits=24, dac_bits=24)
    deployed = deploy(model, "max_fill", 1, 4, 1, seed=1, calibration=images, hardware=hardware)
    expected = quantised(model)(images)
    for chips in (deployed, copy.deepcopy(deployed)):
        error = (chips(images, t=20.0)[0] - expected).norm() / expected.norm()
        assert error < 1e-4


def test_what_cannot_be_converted_is_named():
    model, _ = network()
    with pytest.raises(ValueError, match="the range of converters needs calibration images"):
        deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=Hardware(compensation="none", adc_bits=8))
    for bits in (1, 25, 8.0, True):
        with pytest.raises(ValueError, match="adc_bits must be None or an integer from 2 to 24"):
            Hardware(adc_bits=bits)
    for share in (0, 1.1):
        with pytest.raises(ValueError, match=r"converter_quantile must lie in \(0, 1\]"):
            Hardware(converter_quantile=share)
    with pytest.raises(ValueError, match=r"converter_quantile = 0\.9 goes with dac_bits or adc_bits"):
        Hardware(converter_quantile=0.9)


def test_bits_of_converters_may_come_from_an_array():
    swept = [Hardware(adc_bits=bits, dac_bits=bits) for bits in np.arange(4, 7)]
    assert swept == [Hardware(adc_bits=bits, dac_bits=bits) for bits in (4, 5, 6)]
    assert all(type(hardware.adc_bits) is int and type(hardware.dac_bits) is int for hardware in swept)
