import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch

from nonideal import rng
from nonideal.pcm import device, slicing

WEIGHTS = np.arange(-255.0, 256.0)
CASES = [
    (mapping, base, n)
    for mapping, base, n in itertools.product(slicing.MAPPINGS, range(1, 9), range(1, 9))
    if mapping != "digital"
] + [("digital", None, n) for n in range(1, 9)]


def _exact(weight, mapping, base, n):
    """Targets of one weight by the rules in exact fractions."""
    rest, b = abs(int(weight)), slicing.slice_base(mapping, base, n)
    r = Fraction(b - 1) if mapping == "digital" else Fraction(255, sum(b**j for j in range(n)))
    stored, rest = [], Fraction(rest)
    for j in reversed(range(n)):
        lower = r * sum(b**i for i in range(j))
        if mapping == "equal_fill":
            part = Fraction(abs(int(weight)), sum(b**i for i in range(n)))
        elif mapping == "digital":
            part = Fraction(abs(int(weight)) // b**j % b)
        elif j == 0:
            part = rest
        elif b == 1:
            part = r if rest >= r else Fraction(0)
        else:
            part = min(rest / b**j, r) if rest > lower else Fraction(0)
        rest -= part * b**j
        stored.insert(0, part / r)
    return [float(part) * np.sign(weight) for part in stored]


def reconstruct(conductances, mapping, base, n):
    """Weights that slices of conductances stand for, r sum_j b^j g_j."""
    powers = slicing.significance(mapping, base, n)
    r = slicing.slice_range(mapping, base, n)
    return r * sum(power * conductances[j, ...] for j, power in enumerate(powers))


@pytest.mark.parametrize(("mapping", "base", "n"), CASES)
def test_every_weight_is_sliced_by_the_rules_and_comes_back(mapping, base, n):
    targets, programmed = slicing.program(WEIGHTS, mapping, base, n, np.zeros((n, WEIGHTS.size)))
    expected = np.array([_exact(w, mapping, base, n) for w in WEIGHTS]).T
    np.testing.assert_allclose(targets, expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(targets == 0, expected == 0)  # an empty slice gets no noise
    np.testing.assert_array_equal(programmed, targets)
    assert (np.abs(targets) <= 1 + 1e-9).all()
    np.testing.assert_allclose(reconstruct(targets, mapping, base, n), WEIGHTS, rtol=0, atol=1e-9)


def test_all_mappings_agree_at_one_slice():
    noise = rng.stream(1, "test").standard_normal((1, WEIGHTS.size))
    first = slicing.program(WEIGHTS, "equal_fill", 1, 1, noise)
    for mapping, base, n in CASES:
        if n == 1:
            np.testing.assert_array_equal(slicing.program(WEIGHTS, mapping, base, 1, noise), first)


def test_programming_error_has_the_stated_moments():
    count = 200_000
    for weight in (255.0, -100.0, 10.0):
        noise = rng.stream(1, "test_moments", weight).standard_normal((1, count))
        target, programmed = slicing.program(np.full(count, weight), "equal_fill", 1, 1, noise)
        std = float(device.programming_std(target)[0, 0])
        error = (programmed - target)[0]
        assert abs(error.mean()) < 4 * std / np.sqrt(count)
        assert error.std() == pytest.approx(std, rel=4 / np.sqrt(2 * count))


def test_a_device_that_an_error_would_carry_below_zero_ends_there():
    noise = 3 * rng.stream(1, "test_zero").standard_normal((4, WEIGHTS.size))
    targets, free = slicing.program(WEIGHTS, "equal_fill", 2, 4, noise)
    kept, ended = slicing.program(WEIGHTS, "equal_fill", 2, 4, noise, non_negative=True)
    below = free * targets < 0
    assert below.sum() > 20
    np.testing.assert_array_equal(kept, targets)
    np.testing.assert_array_equal(ended, np.where(below, 0, free))


@pytest.mark.parametrize(("base", "n"), [(1, 2), (1, 8), (2, 4), (2, 8), (3, 2)])
def test_error_correction_leaves_only_the_last_slice_error(base, n):
    """Unbounded targets make up for every error but that of the last slice programmed."""
    noise = rng.stream(1, "test_ec").standard_normal((n, 40, WEIGHTS.size))
    weights = np.broadcast_to(WEIGHTS, noise.shape[1:]).copy()
    targets, programmed = slicing.program(weights, "max_fill_ec", base, n, noise)
    restored = reconstruct(programmed, "max_fill_ec", base, n)
    last = slicing.slice_range("max_fill_ec", base, n) * (programmed - targets)[0]
    # What is left of a slice within rounding of its range is dropped.
    np.testing.assert_allclose(restored - weights, last, rtol=0, atol=255 * slicing.TIE)
    bounded, _ = slicing.program(weights, "max_fill_ec", base, n, noise, ec_targets="physical")
    assert np.abs(targets).max() > 1 >= np.abs(bounded).max()
    assert (bounded * weights).min() < 0
    one_sided, _ = slicing.program(weights, "max_fill_ec", base, n, noise, ec_targets="same_sign")
    assert (one_sided * weights).min() >= 0
    assert np.abs(one_sided).max() <= 1


@pytest.mark.parametrize("mapping", slicing.MAPPINGS)
def test_torch_and_numpy_agree_on_any_shape(mapping):
    base = None if mapping == "digital" else 2
    weights = slicing.quantise(rng.stream(1, "w").standard_normal((3, 4, 5)), slicing.WEIGHT_SPAN)
    noise = rng.stream(1, "n").standard_normal((4, 3, 4, 5))
    ours = slicing.program(weights, mapping, base, 4, noise)
    theirs = slicing.program(torch.from_numpy(weights), mapping, base, 4, torch.from_numpy(noise))
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == (4, 3, 4, 5)
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-12, atol=1e-12)
    restored = reconstruct(theirs[1], mapping, base, 4).numpy()
    np.testing.assert_allclose(restored, reconstruct(ours[1], mapping, base, 4), rtol=1e-10)


def test_quantise_rounds_and_clips():
    values = np.array([-9.0, -3.0, -0.5 / 85, 1.6 / 85, 1.0, 3.0, 4.0])
    assert slicing.quantise(values, 3.0).tolist() == [-255, -255, 0, 2, 85, 255, 255]
    assert slicing.quantise(torch.from_numpy(values), 3.0).tolist() == slicing.quantise(values, 3.0).tolist()


def test_ternarise_by_hand_and_on_both_backends():
    weights = np.array([[1.0, -2.0], [0.1, 3.0]])  # mean magnitude 1.525, threshold 1.0675
    assert slicing.ternarise(weights).tolist() == [[0.0, -2.5], [0.0, 2.5]]
    assert slicing.ternarise(torch.from_numpy(weights)).tolist() == [[0.0, -2.5], [0.0, 2.5]]
    assert slicing.ternarise(np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("mapping", "base", "n", "message"),
    [
        ("maxfill", 1, 2, "mapping must be one of"),
        ("max_fill", None, 2, "base of mapping max_fill"),
        ("max_fill", 0, 2, "from 1 to 255"),
        ("max_fill", True, 2, "base"),
        ("digital", 2, 2, "leave base out"),
        ("equal_fill", 1, 9, "n_slices must be an integer from 1 to 8"),
        ("equal_fill", 1, 2.0, "n_slices"),
    ],
)
def test_bad_configurations_are_refused(mapping, base, n, message):
    with pytest.raises(ValueError, match=message):
        slicing.check(mapping, base, n)


def test_bad_noise_and_names_are_refused():
    with pytest.raises(ValueError, match="noise must have shape"):
        slicing.program(WEIGHTS, "max_fill", 1, 2, np.zeros((1, WEIGHTS.size)))
    with pytest.raises(ValueError, match="ec_targets must be one of"):
        slicing.program(WEIGHTS, "max_fill", 1, 1, np.zeros((1, WEIGHTS.size)), ec_targets="bounded")
