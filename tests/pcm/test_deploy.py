"""Deployed networks against the quantised network, against direct simulation, and against formulas."""

import math

import numpy as np
import pytest
import torch
from small_networks import network
from torch import nn

from nonideal.pcm import device, noise_training, slicing
from nonideal.pcm.deploy import deploy, quantised
from nonideal.pcm.hardware import NOISELESS, Hardware
from nonideal.pcm.noise_training import NoisyWeight
from nonideal.pcm.programming import program, quantise_weights

MONTH = 2_592_000.0
CONFIGURATIONS = [
    *[
        (mapping, base, n)
        for mapping in ("equal_fill", "max_fill", "max_fill_ec")
        for base in (1, 2)
        for n in (1, 4, 8)
    ],
    *[("digital", None, n) for n in (1, 2, 8)],
]
UNCOMPENSATED = Hardware(compensation="none")


@pytest.mark.parametrize(("mapping", "base", "n"), CONFIGURATIONS)
def test_without_errors_the_quantised_network_remains(mapping, base, n):
    model, images = network()
    logits = deploy(model, mapping, base, n, 2, seed=1, hardware=NOISELESS)(images, t=20.0)
    expected = quantised(model)(images)
    assert logits.shape == (2, 16, 3)
    torch.testing.assert_close(logits, expected.expand(2, -1, -1), rtol=1e-12, atol=1e-12)
    assert (expected - model(images)).abs().max() > 1e-4  # the grid itself is seen


def test_noiseless_is_read_at_any_time():
    model, images = network()
    deployed = deploy(model, "max_fill", 1, 4, 1, seed=1, hardware=NOISELESS)
    torch.testing.assert_close(deployed(images, t=MONTH), deployed(images, t=20.0))


@pytest.mark.parametrize(
    ("mapping", "base"),
    [("equal_fill", 1), ("equal_fill", 2), ("max_fill", 2), ("max_fill_ec", 1), ("digital", None)],
)
def test_mappings_agree_at_one_slice(mapping, base):
    model, images = network()
    logits = [
        deploy(model, name, b, 1, 3, seed=1, calibration=images[:4])(images, t=MONTH)
        for name, b in ((mapping, base), ("max_fill", 1))
    ]
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-9, atol=1e-12)


def test_read_noise_is_relative_to_the_largest_target_of_its_slice_and_chip():
    """Error correction stores what the slices before it missed: each chip has another peak in its last."""
    integers = torch.arange(-255.0, 256.0, 5.0, dtype=torch.float64).reshape(1, -1)
    place = {"seed": 1, "layer": "fc"}
    found = program(integers, "max_fill_ec", 2, 4, [0, 1], **place, hardware=Hardware())
    peaks = found.targets.abs().amax(dim=(2, 3))
    assert peaks.shape == (4, 2) and peaks[0, 0] != peaks[0, 1] and peaks[0].min() > 1.01
    for j in range(4):
        for chip in range(2):
            expected = device.read_noise_scale(found.targets[j, chip] / peaks[j, chip])
            torch.testing.assert_close(found.noise[j, chip], expected, rtol=1e-12, atol=0)
    absolute = program(
        integers, "max_fill_ec", 2, 4, [0, 1], **place, hardware=Hardware(read_noise_norm="g_max")
    )
    torch.testing.assert_close(absolute.noise, device.read_noise_scale(absolute.targets), rtol=1e-12, atol=0)
    assert (absolute.noise != found.noise).any()


def test_mappings_differ_at_several_slices():
    model, images = network()
    a, b = (
        deploy(model, name, 1, 4, 1, seed=1, calibration=images)(images, t=20.0)
        for name in ("equal_fill", "max_fill")
    )
    assert (a - b).abs().max() > 1e-3


def test_weights_are_on_the_grid_of_nine_bits():
    weights = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    integers, step = quantise_weights(weights)
    assert integers.abs().max() == 255 and torch.equal(integers, integers.round())
    assert (integers * step - weights).abs().max() <= step / 2 * (1 + 1e-5)
    clipped, step = quantise_weights(weights, clip_sigmas=2)
    assert step * 255 == pytest.approx(2 * weights.std(correction=0).item(), rel=1e-6)
    assert 0.02 < (clipped.abs() == 255).float().mean() < 0.09  # 4.6 % of a normal lie beyond two sigma
    assert quantise_weights(torch.zeros(3))[1] == 0.0


def test_a_limit_beyond_the_largest_weight_clips_and_coarsens_nothing():
    weights = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    expected, step = quantise_weights(weights)
    integers, found = quantise_weights(weights, clip_sigmas=20)
    assert torch.equal(integers, expected) and found == step


def _moments(values, mean, std):
    """Mean and standard deviation of `values` agree with formulas within five standard errors."""
    count = values.numel()
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(count)
    assert abs(values.std() / std - 1) < 5 / math.sqrt(2 * count)


def _one_weight(n_slices=1, **options):
    """Deployed layer in which every weight is the same; the grid's largest value is kept by the first."""
    layer = nn.Linear(1000, 4, bias=False)
    layer.weight.data.fill_(0.5)
    layer.weight.data[:, 0] = 1.0
    hardware = Hardware(**({"compensation": "none", "read_noise_norm": "g_max"} | options))
    return deploy(layer, "equal_fill", 1, n_slices, 10, seed=3, hardware=hardware)


TARGET = 128 / 255  # 0.5 on the grid


@pytest.mark.parametrize("n_slices", [1, 4])
def test_programming_noise(n_slices):
    weights = _one_weight(n_slices, read_noise="off").effective_weights("", 20.0)[:, :, 1:]
    std = device.programming_std(torch.tensor(TARGET)).item() / math.sqrt(n_slices)
    _moments(weights, TARGET, std)


def test_read_noise():
    deployed = _one_weight(programming_noise=False)
    for t in (20.0, MONTH):
        hardware = Hardware(
            compensation="none", programming_noise=False, drift=False, read_noise_norm="g_max"
        )
        deployed.hardware = hardware
        weights = deployed.effective_weights("", t)[:, :, 1:]
        q = device.read_noise_scale(torch.tensor(TARGET)).item()
        _moments(weights, TARGET, TARGET * q * device.read_noise_growth(t))


def test_reads_differ_and_repeat():
    deployed = _one_weight()
    a, b, again = (deployed.effective_weights("", MONTH, read=k) for k in (0, 1, 0))
    assert torch.equal(a, again) and not torch.equal(a, b)
    correlation = torch.corrcoef(torch.stack([(x - x.mean()).flatten() for x in (a, b)]))[0, 1]
    assert correlation > 0.5  # programming and drift are common to both


def test_reads_at_later_times_share_their_noise_and_that_at_t0_has_its_own():
    deployed = _one_weight(programming_noise=False, drift=False)
    noise = [
        (deployed.effective_weights("", t)[:, :, 1:] - TARGET).flatten() / device.read_noise_growth(t)
        for t in (20.0, 4000.0, MONTH)
    ]
    torch.testing.assert_close(noise[1], noise[2], rtol=1e-3, atol=1e-6)
    assert abs(torch.corrcoef(torch.stack(noise[:2]))[0, 1]) < 5 / math.sqrt(noise[0].numel())


def test_drift():
    weights = _one_weight(programming_noise=False, read_noise="off").effective_weights("", MONTH)[:, :, 1:]
    exponent = -(weights / TARGET).log() / math.log(MONTH / 20)
    target = torch.tensor(TARGET)
    mean, std = (f(target).item() for f in (device.drift_exponent_mean, device.drift_exponent_std))
    _moments(exponent, mean, std)  # the fold at zero is more than four standard deviations away


def test_drift_exponents_follow_from_targets_and_not_from_what_was_programmed():
    model = nn.Linear(60, 40, bias=False)
    nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(2))
    noisy, exact = (
        deploy(
            model, "max_fill", 2, 4, 1, seed=1, hardware=Hardware(programming_noise=on, compensation="none")
        )
        .layers[""]
        .devices
        for on in (True, False)
    )
    assert not torch.equal(noisy.conductance, exact.conductance)
    assert torch.equal(noisy.exponent, exact.exponent) and torch.equal(noisy.noise, exact.noise)


def test_summed_read_noise_is_that_of_the_devices():
    """One normal a weight against one a device: mean, variance and shape agree."""
    from scipy.stats import kstest

    model = nn.Linear(40, 2, bias=False)
    nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(2))
    deployed = deploy(model, "max_fill", 1, 8, 1, seed=4, hardware=UNCOMPENSATED)
    layer, x = deployed.layers[""], torch.randn(40, generator=torch.Generator().manual_seed(5))
    collapsed = torch.stack([deployed.effective_weights("", MONTH, read=k)[0] @ x for k in range(800)])
    held = layer.devices.read(MONTH)
    generator = torch.Generator().manual_seed(6)
    growth = device.read_noise_growth(MONTH)
    direct = torch.stack(
        [
            (held * (1 + growth * layer.devices.noise * torch.randn(held.shape, generator=generator))).sum(0)[
                0
            ]
            @ x
            for _ in range(800)
        ]
    )
    direct *= layer.step
    variance = ((growth * held * layer.devices.noise).square().sum(0)[0] @ x.square()) * layer.step**2
    for k in range(2):
        std = math.sqrt(variance[k])
        mean = (held.sum(0)[0, k] @ x).item() * layer.step
        for drawn in (collapsed, direct):
            assert kstest(((drawn[:, k] - mean) / std).numpy(), "norm").pvalue > 1e-3


def test_chips_are_the_same_in_any_company():
    model, images = network()
    together = deploy(model, "max_fill_ec", 2, 4, 4, seed=1, calibration=images)(images, t=MONTH)
    alone = deploy(model, "max_fill_ec", 2, 4, [2], seed=1, calibration=images)(images, t=MONTH)
    torch.testing.assert_close(together[2], alone[0])
    assert (together[0] - together[1]).abs().max() > 1e-3
    other = deploy(model, "max_fill_ec", 2, 4, [2], seed=2, calibration=images)(images, t=MONTH)
    assert (other - alone).abs().max() > 1e-3


def test_logits_do_not_depend_on_what_was_read_before():
    model, images = network()
    first, second = (deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images) for _ in range(2))
    first(images, t=20.0, read=3)
    assert torch.equal(first(images, t=MONTH), second(images, t=MONTH))


def test_layers_do_not_share_noise():
    model = nn.Sequential(nn.Linear(300, 300, bias=False), nn.Linear(300, 300, bias=False))
    for layer in model:
        layer.weight.data.fill_(1.0)
    deployed = deploy(model, "max_fill", 1, 1, 1, seed=1, hardware=UNCOMPENSATED)
    a, b = (deployed.effective_weights(name, 20.0).flatten() for name in ("0", "1"))
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 5 / 300


def test_one_by_one_and_batched_agree():
    model, images = network()
    snapshot = deploy(model, "max_fill", 1, 2, 3, seed=1, calibration=images).at(MONTH)
    torch.testing.assert_close(snapshot._batched(images, batch=5), snapshot(images))


def test_unused_devices_of_pairs():
    layer = nn.Linear(400, 100, bias=False)
    layer.weight.data.fill_(1.0)
    layer.weight.data[50:] = 0.0
    hardware = Hardware(pairs=True, programming_noise=True, read_noise="off", compensation="none")
    devices = deploy(layer, "max_fill", 1, 1, 1, seed=1, hardware=hardware).layers[""].devices
    sigma = device.PROGRAMMING_STD_US[0] / device.G_MAX_US
    mean, std = sigma / math.sqrt(2 * math.pi), sigma * math.sqrt(0.5 - 0.5 / math.pi)
    for rectified in (-devices.conductance[1], devices.conductance[0, :, 50:]):
        assert (rectified >= 0).all() and 0.48 < (rectified == 0).double().mean() < 0.52
        assert abs(rectified.mean() - mean) < 5 * std / math.sqrt(rectified.numel())
    silent = deploy(
        layer, "max_fill", 1, 1, 1, seed=1, hardware=Hardware(read_noise="off", compensation="none")
    )
    torch.testing.assert_close(
        devices.conductance[0, :, :50], silent.layers[""].devices.conductance[0, :, :50]
    )
    assert (silent.layers[""].devices.conductance[0, :, 50:] == 0).all()


def test_unused_devices_of_pairs_drift_as_the_fit_at_zero_says():
    from scipy.stats import foldnorm, kstest

    layer = nn.Linear(100, 100, bias=False)
    hardware = Hardware(pairs=True, compensation="none")
    exponent = deploy(layer, "max_fill", 1, 2, 1, seed=1, hardware=hardware).layers[""].devices.exponent
    zero = torch.zeros(())
    mean, std = (f(zero).item() for f in (device.drift_exponent_mean, device.drift_exponent_std))
    assert (mean, std) == pytest.approx((device.DRIFT_MEAN_RANGE[1], device.DRIFT_STD_RANGE[1]))
    for unused in exponent[2:]:
        assert kstest(unused.flatten().numpy(), foldnorm(mean / std, scale=std).cdf).pvalue > 1e-3
    assert exponent.min() >= 0 and not torch.equal(exponent[2], exponent[3])


def test_errors_and_exponents_of_all_devices_of_a_pair_are_independent():
    layer = nn.Linear(200, 200, bias=False)
    layer.weight.data.fill_(1.0)
    layer.weight.data[100:] = 0.0
    hardware = Hardware(pairs=True, compensation="none")
    devices = deploy(layer, "equal_fill", 1, 2, 1, seed=1, hardware=hardware).layers[""].devices
    for rows in (slice(0, 100), slice(100, 200)):  # in use, and both RESET
        drawn = torch.cat([devices.conductance[:, 0, rows], devices.exponent[:, 0, rows]]).flatten(1)
        off = torch.corrcoef(drawn) - torch.eye(8)
        assert off.abs().max() < 5 / math.sqrt(20_000)
    assert (devices.noise[2:] == device.READ_NOISE_LIMIT).all()  # as the fit at zero says
    assert (devices.noise[:2, :, 100:] == device.READ_NOISE_LIMIT).all()


@pytest.mark.parametrize("base", [1, 2])
def test_error_correction_measures_both_devices_of_a_pair(base):
    integers = torch.randint(1, 256, (40, 50), generator=torch.Generator().manual_seed(3)).double()
    integers[::2] *= -1
    found = {}
    for n in (1, 8):
        devices = program(
            integers, "max_fill_ec", base, n, range(2), seed=1, layer="fc", hardware=Hardware(pairs=True)
        )
        found[n] = devices.by_slice(devices.read(device.T0_S))
        assert len(devices.conductance) == 2 * n and (devices.conductance[n:] != 0).any()
    # What is left of all errors is that of the pair programmed last, at significance one.
    last = found[8][0] - devices.targets[0] * devices.significance[0]
    torch.testing.assert_close(found[8].sum(dim=0) - integers, last)
    assert last.std() < 0.5 * (found[1][0] - integers).std()


def test_no_device_below_zero():
    model = nn.Linear(200, 50, bias=False)
    nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(2))
    for mapping in ("equal_fill", "max_fill_ec"):
        free, clipped = (
            deploy(model, mapping, 1, 4, 1, seed=1, hardware=Hardware(non_negative=flag, compensation="none"))
            .layers[""]
            .devices
            for flag in (False, True)
        )
        assert (free.conductance * free.targets < 0).any()
        assert (clipped.conductance * clipped.targets >= 0).all()


def test_options_of_reads_and_exponents():
    model, images = network()
    quiet = deploy(
        model, "max_fill", 1, 2, 1, seed=1, calibration=images, hardware=Hardware(read_noise="after_t0")
    )
    off = deploy(model, "max_fill", 1, 2, 1, seed=1, calibration=images, hardware=Hardware(read_noise="off"))
    assert torch.equal(quiet(images, t=20.0), off(images, t=20.0))
    assert not torch.equal(quiet(images, t=40.0), off(images, t=40.0))
    clipped = deploy(
        model, "max_fill", 1, 2, 1, seed=1, hardware=Hardware(exponents="clipped", compensation="none")
    )
    low, high = device.DRIFT_MEAN_RANGE
    exponents = torch.cat([layer.devices.exponent.flatten() for layer in clipped.layers.values()])
    assert exponents.min() >= low and exponents.max() <= high


def test_weights_without_spread_are_not_clipped():
    weights = [torch.tensor([[0.5]]), torch.full((3, 4), -2.0)]
    # Their spread in single precision is rounding, not zero.
    weights += [torch.full(shape, value) for shape in ((7, 9), (64, 33)) for value in (0.1, 0.3, 0.7)]
    for weight in weights:
        integers, step = quantise_weights(weight, 2.0)
        torch.testing.assert_close(integers * step, weight)
        torch.testing.assert_close(NoisyWeight(clip_sigmas=2.0).eval()(weight), weight)


def test_numbers_of_any_type_are_numbers():
    model, images = network()
    one, other = (
        deploy(model, "max_fill", whole(1), whole(2), chips, seed=1, hardware=UNCOMPENSATED)(images, t=20.0)
        for whole, chips in ((int, [0, 2]), (np.int64, np.array([0, 2])))
    )
    assert torch.equal(one, other)


def test_what_cannot_be_deployed_is_named():
    model, images = network()
    with pytest.raises(ValueError, match=r"no nn\.Linear or"):
        deploy(nn.ReLU(), "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    with pytest.raises(ValueError, match="needs calibration images"):
        deploy(model, "max_fill", 1, 2, 1, seed=1)
    with pytest.raises(ValueError, match="mapping must be one of"):
        deploy(model, "best_fill", 1, 2, 1, seed=1)
    for chips in (0, -1, True, "3", [], [0, 0], [0.5], [-1], None):
        with pytest.raises(ValueError, match="chips must be a positive count, or different numbers"):
            deploy(model, "max_fill", 1, 2, chips, seed=1, calibration=images)
    for n_slices in (0, 9, 2.0, True, None):
        with pytest.raises(ValueError, match="n_slices must be an integer from 1 to 8"):
            deploy(model, "max_fill", 1, n_slices, 1, seed=1, calibration=images)
    with pytest.raises(ValueError, match="digital must be a list of names"):
        deploy(model, "max_fill", 1, 2, 1, seed=1, calibration=images, digital="fc")
    with pytest.raises(ValueError, match="hardware must be a Hardware"):
        deploy(model, "max_fill", 1, 2, 1, seed=1, calibration=images, hardware={"pairs": True})
    for switch in ("programming_noise", "drift", "pairs", "non_negative"):
        with pytest.raises(ValueError, match=f"{switch} must be True or False, got 'off'"):
            Hardware(**{switch: "off"})
    with pytest.raises(ValueError, match="compensation must be one of layer, column"):
        Hardware(compensation="row")
    with pytest.raises(ValueError, match="t0 = 20"):
        deploy(model, "max_fill", 1, 2, 1, seed=1, calibration=images)(images, t=1.0)
    with pytest.raises(ValueError, match="t0 = 20"):
        deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)(images, t=1.0)


def test_bound_of_error_correction_reaches_the_devices():
    model, _ = network()
    peaks = {}
    for bound in slicing.EC_TARGETS:
        deployed = deploy(
            model, "max_fill_ec", 2, 8, 1, seed=1, hardware=Hardware(ec_targets=bound, compensation="none")
        )
        peaks[bound] = max(layer.devices.targets.abs().max().item() for layer in deployed.layers.values())
    assert peaks["unbounded"] > 1.5 and peaks["physical"] <= 1.0 and peaks["same_sign"] <= 1.0


def test_targets_beyond_what_the_device_model_knows_are_refused():
    model, images = network()
    with pytest.raises(ValueError, match=r"at base 4 asks a device of layer 'conv' for .* choose ec_targets"):
        deploy(model, "max_fill_ec", 4, 8, 1, seed=1, hardware=Hardware(compensation="none"))
    physical = Hardware(compensation="none", ec_targets="physical")
    deployed = deploy(model, "max_fill_ec", 4, 8, 1, seed=1, hardware=physical)
    assert torch.isfinite(deployed(images, t=20.0)).all()


def test_targets_of_the_published_configurations_are_not_refused():
    """Base 2 with eight slices asks a few devices for many times their largest conductance."""
    model = nn.Linear(800, 700, bias=False)
    nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(1))
    hardware = Hardware(compensation="none", read_noise="off")
    deployed = deploy(model, "max_fill_ec", 2, 8, 4, seed=1, hardware=hardware)
    assert deployed.layers[""].devices.targets.abs().max() > 10


def test_layers_that_share_a_weight_are_deployed_as_they_act():
    """Clipping what is clipped already would change it again."""
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)).double()
    model[2].weight = model[0].weight
    nn.init.normal_(model[0].weight, generator=torch.Generator().manual_seed(1))
    noise_training.attach(model, clip_sigmas=1.0)
    model.eval()
    images = torch.randn(9, 6, generator=torch.Generator().manual_seed(2)).double()
    expected = model(images)
    torch.testing.assert_close(quantised(model)(images), expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(model(images), expected)
    torch.testing.assert_close(noise_training.bake(model)(images), expected)


def test_times_beyond_a_thousand_years_are_refused():
    model, images = network()
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    with pytest.raises(ValueError, match=r"from t0 = 20 s to 3.1536e\+10 s, got t = 1e\+300 s"):
        deployed(images, t=1e300)


@pytest.mark.parametrize("hardware", [NOISELESS, Hardware(drift=False, compensation="none")])
@pytest.mark.parametrize("t", [1.0, math.nan, math.inf, 1e300, "20"])
def test_weights_are_read_at_the_times_at_which_images_are(hardware, t):
    deployed = deploy(network()[0], "max_fill", 1, 2, 1, seed=1, hardware=hardware)
    with pytest.raises(ValueError, match=r"devices are described from t0|must be a finite number of seconds"):
        deployed.effective_weights("conv", t)


def test_a_network_with_quantisers_is_not_changed():
    from nonideal.quantize import attach

    model = nn.Sequential(nn.Linear(4, 3))
    attach.attach(model, lambda name, layer: attach.FormatQuantiser(layer.weight, "ternary"))
    x = torch.ones(2, 4)
    before = model(x)
    deploy(model, "max_fill", 1, 1, 1, seed=0, calibration=x)
    assert torch.equal(model(x), before)
