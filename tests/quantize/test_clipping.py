import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch

from nonideal.quantize.clipping import CLIPPINGS, QUANTSCALE, choose_scale, default_clipping, mean_square
from nonideal.quantize.formats import FORMATS, Format, fake_quantise
from nonideal.rng import torch_stream


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch_stream(1, "clipping"))


def normal_quantiles(count: int) -> torch.Tensor:
    points = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.distributions.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0).icdf(points)[None]


def error(weight: torch.Tensor, scale: torch.Tensor, fmt) -> float:
    return float((fmt.nearest(weight / scale) * scale - weight).double().square().mean())


@pytest.mark.parametrize("name", FORMATS)
def test_proportional_sets_the_ratio_of_deviation_to_largest_level(name):
    weight, fmt = normal(40, 50) * 0.3 + 0.1, FORMATS[name]
    scale = choose_scale(weight, fmt, "proportional", quantscale=0.3)
    assert float(weight.std(correction=0) / (scale * fmt.largest)) == pytest.approx(0.3, rel=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_default_quantscale_is_optimal_for_normal_weights(name):
    fmt = FORMATS[name]
    weight = normal_quantiles(40_000)
    scales = [1 / (fmt.largest * quantscale) for quantscale in np.arange(0.1, 1.6, 0.01)]
    least = min(error(weight, scale, fmt) for scale in scales)
    assert error(weight, 1 / (fmt.largest * QUANTSCALE[name]), fmt) < 1.01 * least


def test_mean_magnitude():
    weight = torch.tensor([[-2.0, 1.0], [3.0, -6.0]])
    assert choose_scale(weight, FORMATS["binary"], "mean").item() == 3.0
    assert choose_scale(weight, FORMATS["2bitsym"], "mean").item() == 1.5
    assert choose_scale(weight, FORMATS["ternary"], "mean", per_channel=True).tolist() == [[1.5], [4.5]]
    with pytest.raises(ValueError, match=r"'mean' is defined for binary, ternary, 2bitsym, not for '4bit'"):
        choose_scale(weight, FORMATS["4bit"], "mean")


uniform_formats = pytest.mark.parametrize("name", [name for name, fmt in FORMATS.items() if fmt.step])


@uniform_formats
def test_octav_balances_granular_and_clipping_error_of_normal_weights(name):
    fmt = FORMATS[name]
    count, law = len(fmt.levels), scipy.stats.norm
    # Stationary point for |w| of a standard normal: s P(|w| <= s) / (3 N^2) = E[|w| - s; |w| > s].
    expected = scipy.optimize.brentq(
        lambda s: s * (1 - 2 * law.sf(s)) / (3 * count**2) - 2 * (law.pdf(s) - s * law.sf(s)), 0.1, 9
    )
    clip = choose_scale(normal_quantiles(1_000_000), fmt, "octav").item() * count * fmt.step / 2
    assert clip == pytest.approx(expected, rel=1e-3)


@uniform_formats
def test_octav_comes_near_the_least_error_on_heavy_tails(name):
    weight, fmt = normal(200, 100), FORMATS[name]
    weight = weight.sign() * weight.abs() ** 1.5
    best = error(weight, choose_scale(weight, fmt, "mse"), fmt)
    # 1.12: worst seen is binary, whose noise is not that of a fine uniform grid.
    assert error(weight, choose_scale(weight, fmt, "octav"), fmt) < 1.12 * best


def test_octav_refuses_a_grid_without_a_step():
    with pytest.raises(ValueError, match="'octav' needs a uniform grid, 'nf4' is not; use 'mse'"):
        choose_scale(normal(4, 4), FORMATS["nf4"], "octav")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shape", ["normal", "uniform", "outlier"])
def test_mse_search_is_as_good_as_a_fine_sweep(name, shape):
    fmt = FORMATS[name]
    weight = normal(50, 40)
    if shape == "uniform":
        weight = torch.rand(50, 40, generator=torch_stream(2, "clipping")) - 0.5
    if shape == "outlier":
        weight[0, 0] = 12.0
    sweep = np.geomspace(0.005, 1.0, 1500) * float(weight.abs().max()) / fmt.levels[-1]
    least = min(error(weight, torch.tensor(scale, dtype=torch.float32), fmt) for scale in sweep)
    assert error(weight, choose_scale(weight, fmt, "mse"), fmt) <= 1.02 * least


def test_mse_scale_of_two_levels_is_the_mean_magnitude():
    weight = normal(1, 1000)  # closed form: XNOR-Net, eq. (6)
    assert mean_square(weight, FORMATS["binary"]).item() == pytest.approx(
        float(weight.abs().mean()), rel=1e-6
    )


@pytest.mark.parametrize("clipping", CLIPPINGS)
def test_per_channel_equals_each_channel_on_its_own(clipping):
    weight = normal(5, 7, 3) * torch.tensor([0.1, 1.0, 10.0, 0.5, 2.0]).view(5, 1, 1)
    fmt = FORMATS["2bitsym"]
    together = choose_scale(weight, fmt, clipping, per_channel=True)
    assert together.shape == (5, 1, 1)
    alone = torch.stack([choose_scale(channel[None], fmt, clipping) for channel in weight])
    torch.testing.assert_close(together.flatten(), alone, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("clipping", CLIPPINGS)
def test_weights_that_are_all_zero_get_a_positive_finite_scale(name, clipping):
    fmt = FORMATS[name]
    if (clipping == "octav" and fmt.step is None) or (clipping == "mean" and len(fmt.levels) > 4):
        pytest.skip("not defined for this format")
    scale = choose_scale(torch.zeros(3, 4), fmt, clipping, per_channel=True)
    assert bool((scale > 0).all() and scale.isfinite().all())


def test_scale_carries_no_gradient():
    weight = normal(3, 3).requires_grad_()
    assert not choose_scale(weight, FORMATS["ternary"], "proportional").requires_grad


def test_defaults_and_errors():
    assert {name: default_clipping(fmt) for name, fmt in FORMATS.items() if len(fmt.levels) < 5} == {
        "binary": "mean",
        "ternary": "mean",
        "2bitsym": "proportional",
    }
    with pytest.raises(ValueError, match=r"'max' is not known; choose from proportional, mean, octav, mse"):
        choose_scale(normal(2, 2), FORMATS["4bit"], "max")
    for clipping, quantscale in (("octav", 0.25), ("proportional", 0.0), ("proportional", math.nan)):
        with pytest.raises(ValueError, match="quantscale must be positive"):
            choose_scale(normal(2, 2), FORMATS["4bit"], clipping, quantscale=quantscale)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("value", [0.3, -0.3, 1e-4])
def test_equal_weights_keep_their_value(name, value):
    fmt = FORMATS[name]
    scale = choose_scale(torch.full((7, 9), value), fmt, "proportional")
    assert fmt.nearest(torch.tensor(value) / scale) * scale == pytest.approx(value, rel=0.01)
    scale = choose_scale(torch.tensor([[value], [2.0]]), fmt, "proportional", per_channel=True)
    assert scale[:, 0].tolist() == pytest.approx([abs(value) / fmt.levels[-1], 2 / fmt.levels[-1]])


def test_a_ratio_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite"):
        choose_scale(normal(3, 3), FORMATS["4bit"], "proportional", quantscale=math.inf)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("clipping", CLIPPINGS)
def test_weights_that_are_all_zero_have_a_scale_in_every_type(clipping, per_channel, dtype):
    name = "ternary"  # suits every clipping
    weight = torch.zeros(3, 8, dtype=dtype)
    if per_channel:
        weight[1] = normal(8)  # beside a channel that is not
    scale = choose_scale(weight, FORMATS[name], clipping, per_channel=per_channel)
    assert bool((scale > 0).all()) and scale.dtype == dtype
    quantised = fake_quantise(weight, scale, FORMATS[name])
    assert bool(torch.isfinite(quantised).all()) and not quantised[0].any()
    assert bool(quantised[1].any()) == per_channel


def test_a_scale_that_a_smaller_type_holds_is_left_as_it_is():
    weight = (normal(40, 50) * 1e-4).half()
    scale = choose_scale(weight, FORMATS["8bit"], "proportional")
    assert 0 < scale < torch.finfo(torch.float16).tiny
    wanted = (weight.float().std(correction=0) / (0.25 * 128)).item()
    assert scale.item() == pytest.approx(wanted, abs=2**-24)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("clipping", CLIPPINGS)
def test_weights_of_a_smaller_type_have_the_scale_of_their_values(clipping, dtype):
    fmt = FORMATS["2bitsym"]  # suits every clipping
    weight = (normal(500, 3000) * 0.1).to(dtype)  # a sum over all of them is beyond float16
    wanted = choose_scale(weight.float(), fmt, clipping)
    assert choose_scale(weight, fmt, clipping).item() == pytest.approx(wanted.item(), rel=0.004)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_small_weights_of_a_smaller_type_have_the_scale_of_least_error(dtype):
    small = (normal(1, 3000) * 1e-3).to(dtype)  # squares of its errors are below float16
    wanted = choose_scale(small.float(), FORMATS["8bit"], "mse")
    assert choose_scale(small, FORMATS["8bit"], "mse").item() == pytest.approx(wanted.item(), rel=0.01)


def test_a_format_of_ones_own_needs_a_ratio_of_its_own():
    fmt = Format("3bit", tuple(range(-4, 4)))
    with pytest.raises(ValueError, match="'3bit' has no default quantscale; give one, or use clipping"):
        choose_scale(normal(3, 3), fmt, "proportional")
    assert choose_scale(normal(3, 3), fmt, "proportional", quantscale=0.4) > 0
    assert choose_scale(normal(3, 3), fmt, "mse") > 0
