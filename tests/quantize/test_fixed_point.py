"""Fixed point and ternary weight networks: every value they can take, and how others get there."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from nonideal.quantize import attach
from nonideal.quantize.fixed_point import FIXED_POINT, FixedPointQuantiser, q_format
from nonideal.quantize.twn import TernaryQuantiser
from nonideal.rng import torch_stream


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch_stream(seed, "weights"))


@pytest.mark.parametrize(
    ("name", "bits", "lowest", "highest", "unit"),
    [
        ("q8.8", 16, -128, 128 - 2**-8, 2**-8),
        ("q4.4", 8, -8, 8 - 2**-4, 2**-4),
        ("q2.2", 4, -2, 1.75, 0.25),
    ],
)
def test_named_formats_are_what_their_names_say(name, bits, lowest, highest, unit):
    fmt = FIXED_POINT[name]
    assert (fmt.bits, fmt.unit, fmt.step) == (bits, unit, 1)
    assert (fmt.levels[0] * unit, fmt.levels[-1] * unit) == (lowest, highest)


@pytest.mark.parametrize("name", FIXED_POINT)
def test_every_level_is_kept_and_beyond_the_ends_is_the_end(name):
    quantiser, fmt = FixedPointQuantiser(name), FIXED_POINT[name]
    levels = torch.tensor(fmt.levels, dtype=torch.float64)
    assert torch.equal(quantiser(levels * fmt.unit), levels * fmt.unit)
    ends = torch.tensor([fmt.levels[0] * 3.0, fmt.levels[-1] * 3.0 + 1, -1e30, 1e30]) * fmt.unit
    low, high = levels[0] * fmt.unit, levels[-1] * fmt.unit
    assert quantiser(ends).tolist() == [low, high, low, high]


def test_halves_go_to_the_even_value():
    """Every half of Q4.4, against Python's exact rational numbers, whose rounding is half to even."""
    fmt = FIXED_POINT["q4.4"]
    halves = torch.tensor(fmt.levels[:-1], dtype=torch.float64) + 0.5
    wanted = [round(Fraction(value.item())) for value in halves]
    assert fmt.nearest(halves.clone()).tolist() == wanted
    assert fmt.nearest(torch.tensor([0.5, 1.5, 2.5, -0.5])).tolist() == [0, 2, 2, 0]


def test_values_between_go_to_the_nearest():
    weight = 3 * normal(2000)
    for name, fmt in FIXED_POINT.items():
        quantised = FixedPointQuantiser(name)(weight)
        grid = np.array(fmt.levels) * fmt.unit
        best = np.abs(weight.double().numpy()[:200, None] - grid).min(axis=1)
        error = (quantised.double() - weight.double()).abs()
        np.testing.assert_allclose(error[:200], best, atol=1e-9)
        inside = (weight > grid[0]) & (weight < grid[-1])
        assert error[inside].max() <= fmt.unit / 2


def test_fixed_point_has_no_hidden_scale():
    """A network scaled down vanishes: exactly what a scale chosen from the weights would prevent."""
    layer = torch.nn.Linear(8, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(0.05 * normal(4, 8).clamp(-2, 2))
    attach.attach(layer, lambda *_: FixedPointQuantiser("q2.2"))
    assert layer.weight.abs().max() == 0
    quantiser = attach.attached(layer)[""]
    attach.update_scales(layer)
    assert quantiser.scale == 0.25
    assert torch.equal(
        quantiser.integers(torch.tensor([0.3, -9.0])), torch.tensor([1, -8], dtype=torch.int32)
    )


@pytest.mark.parametrize("factory", [lambda w: FixedPointQuantiser("q2.2"), TernaryQuantiser])
def test_gradient_passes_straight_through(factory):
    weight = normal(5, 6, seed=1).requires_grad_()
    pull = normal(5, 6, seed=2)
    (factory(weight)(weight) * pull).sum().backward()
    assert torch.equal(weight.grad, pull)


def test_ternary_weights_follow_the_publication():
    weight = normal(40, 50, seed=3)
    quantiser = TernaryQuantiser(weight)
    magnitude = weight.abs()
    threshold = 0.7 * magnitude.mean()
    scale = magnitude[magnitude > threshold].mean()
    wanted = torch.where(magnitude > threshold, weight.sign() * scale, 0.0)
    torch.testing.assert_close(quantiser(weight), wanted, rtol=1e-6, atol=0)
    assert torch.equal(quantiser.integers(weight).float() * quantiser.scale, quantiser(weight))
    # The scale is the best one for these levels: no other has a smaller square error.
    error = [(wanted * factor - weight).square().sum() for factor in (0.99, 1.0, 1.01)]
    assert error[1] < min(error[0], error[2])
    assert quantiser.integers(torch.zeros(3, 3)).tolist() == [[0] * 3] * 3


def test_ternary_scale_follows_the_weight_in_training_alone():
    weight = normal(10, 10, seed=4)
    quantiser = TernaryQuantiser(weight)
    first = quantiser.scale.clone()
    quantiser.train()(2 * weight)
    torch.testing.assert_close(quantiser.scale, 2 * first)
    quantiser.eval()(weight)
    torch.testing.assert_close(quantiser.scale, 2 * first)
    quantiser.frozen = True
    quantiser.train()(weight)
    torch.testing.assert_close(quantiser.scale, 2 * first)


@pytest.mark.parametrize(
    "factory",
    [lambda w: FixedPointQuantiser("q2.2"), TernaryQuantiser, lambda w: attach.FormatQuantiser(w, "nf4")],
)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_have_no_integers(factory, value):
    weight = normal(4, 5, seed=5)
    quantiser = factory(weight)
    weight[0, 0] = value
    with pytest.raises(ValueError, match="not finite; did the training diverge"):
        quantiser.integers(weight)


def test_ternary_weights_that_are_not_numbers_stay_so():
    weight = normal(4, 5, seed=5)
    quantiser = TernaryQuantiser(weight).eval()
    wanted = quantiser(weight)
    weight[0, 0] = torch.nan
    assert quantiser(weight).isnan().flatten().nonzero().tolist() == [[0]]
    assert torch.equal(quantiser(weight)[1:], wanted[1:])


def test_ternary_scale_of_many_weights_in_half_precision():
    weight = normal(1000, 1000, seed=6).half()
    assert TernaryQuantiser(weight).scale == TernaryQuantiser(weight.float()).scale


@pytest.mark.parametrize("bits", [(0, 4), (4, -1), (1, 0), (9, 8)])
def test_impossible_formats_are_refused(bits):
    with pytest.raises(ValueError, match=r"Qm\.n needs"):
        q_format(*bits)


def test_unknown_formats_are_refused():
    with pytest.raises(ValueError, match=r"formats are q8\.8, q4\.4, q2\.2"):
        FixedPointQuantiser("q1.1")
    with pytest.raises(ValueError, match=r"<object .* is not known; formats are .* q_format"):
        FixedPointQuantiser(object())


def test_a_format_of_any_width_is_taken_and_printed_by_its_name():
    quantiser = FixedPointQuantiser(q_format(3, 5))
    assert quantiser(torch.tensor([0.1, 9.0])).tolist() == [3 / 32, 4 - 1 / 32]
    assert str(quantiser) == "FixedPointQuantiser(q3.5)" and repr(quantiser.format) == "FixedPoint('q3.5')"
    assert repr(FixedPointQuantiser("q8.8").format) == "FixedPoint('q8.8')"


@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (2, 2)])
def test_codes_of_every_level_decode_to_it(bits):
    fmt = q_format(*bits)
    levels = torch.tensor(fmt.levels, dtype=torch.float32) * fmt.unit
    assert torch.equal(fmt.decode(fmt.encode(levels, fmt.unit), fmt.unit), levels)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", FIXED_POINT)
def test_integers_of_half_precision_stay_in_range(name, dtype):
    fmt = FIXED_POINT[name]
    found = FixedPointQuantiser(name).integers(torch.tensor([-200.0, 0.25, 200.0], dtype=dtype))
    assert found.tolist() == [fmt.levels[0], round(0.25 / fmt.unit), fmt.levels[-1]]
