"""The compiled pieces one by one: generator, normals, targets, physics, collapsed read noise."""

import itertools

import numpy as np
import pytest
from oracle import drift_exponents, program, read_noise
from scipy import stats

from nonideal import rng
from nonideal.pcm import crossbar, device, kernel, slicing

U, F = np.uint32, np.float32


def _words(key, counter, count=1):
    words = np.empty((4, count), U)
    kernel.fill_words(*map(U, key), *map(U, counter), *words)
    return words


def _normals(key, place=0, purpose=0, moment=0, count=1 << 20):
    pair = np.empty((2, count), F)
    kernel.fill_normals(*map(U, key), U(place), U(purpose), U(moment), *pair)
    return pair


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_published_vectors(counter, key, expected):
    """Known answers of the Random123 distribution."""
    assert " ".join(f"{word:08x}" for word in _words(key, counter)[:, 0]) == expected


def test_logarithm_and_exponential_are_as_accurate_as_stated():
    x = np.concatenate(
        [np.geomspace(2.0**-33, 1.0, 20001), np.linspace(0.9, 1.1, 2001), [1e-15, 20.0]]
    ).astype(F)
    exact = np.log(x.astype(float))
    ours = np.array([kernel.log(value) for value in x], float)
    assert (np.abs(ours - exact) <= 2e-7 * np.maximum(np.abs(exact), 1)).all()
    x = np.linspace(-5, 5, 20001).astype(F)
    ours = np.array([kernel.exp(value) for value in x], float)
    assert (np.abs(ours / np.exp(x.astype(float)) - 1) < 6e-7).all()
    assert kernel.exp(F(0)) == 1
    x = np.linspace(-80, 80, 2001).astype(F)
    assert np.array([kernel.exp(v) for v in x], float) == pytest.approx(np.exp(x.astype(float)), rel=1e-5)


def test_box_muller_against_library_functions():
    words = _words((3, 4), (0, 0, 0, 0), 5000).astype(np.uint64)
    extreme = np.array([0, 1, 2**30, 2**31 - 1, 2**31, 3 * 2**30, 2**32 - 1], np.uint64)
    for w0, w1 in [*zip(words[0], words[1], strict=True), *itertools.product(extreme, extreme)]:
        first, second = kernel.normal_pair(U(w0), U(w1))
        radius = np.sqrt(-2 * np.log(min((int(w0) + 0.5) / 2**32, 1)))
        # A quarter turn per value of the two high bits; the other bits reach an eighth of a turn either way.
        rest = (int(w1) << 2) % 2**32
        angle = np.pi / 4 * (rest - 2**32 * (rest >= 2**31)) / 2**31
        quarter = (int(w1) >> 30 & 1) + 2 * (int(w1) >> 31)
        angle += quarter * np.pi / 2
        assert first == pytest.approx(radius * np.cos(angle), abs=5e-4 if radius < 1e-2 else 3e-6)
        assert second == pytest.approx(radius * np.sin(angle), abs=5e-4 if radius < 1e-2 else 3e-6)


def test_normals_are_standard_normal():
    pair = _normals((5, 6)).astype(float)
    count = pair.shape[1]
    for z in pair:
        # Standard errors of the first four moments of a standard normal.
        for power, expected, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
            assert abs((z**power).mean() - expected) < 4 * np.sqrt(variance / count)
        assert stats.kstest(z, "norm").pvalue > 1e-3
        for limit in (4.0, 4.5):
            expected = 2 * stats.norm.sf(limit) * count
            assert abs((np.abs(z) > limit).sum() - expected) < 4 * np.sqrt(expected)
    assert stats.kstest((pair**2).sum(axis=0) / 2, "expon").pvalue > 1e-3  # independent pair: radius
    assert stats.kstest(np.arctan2(*pair) / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3  # and angle


def test_normals_are_uncorrelated_between_neighbours():
    count = 1 << 18
    base, twin = _normals((7, 8), count=count).astype(float)
    others = {
        "pair": twin,
        "next counter": np.roll(base, 1),
        "half block": np.roll(base, count // 2),
        "slice": _normals((7, 8), place=1, count=count)[0],
        "purpose": _normals((7, 8), purpose=1, count=count)[0],
        "time": _normals((7, 8), moment=1, count=count)[0],
        "key low": _normals((8, 8), count=count)[0],
        "key high": _normals((7, 9), count=count)[0],
    }
    for name, other in others.items():
        for power in (1, 2):
            a, b = base**power, other.astype(float) ** power
            assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(count), (name, power)


def test_normals_of_trials_are_uncorrelated():
    keys = [rng.key64(1, "crossbar", trial)[0] for trial in range(64)]
    z = np.array([_normals((int(k) & 0xFFFFFFFF, int(k) >> 32), count=4096)[0] for k in keys], float)
    r = np.corrcoef(z)[np.triu_indices(64, 1)] * np.sqrt(4096)
    assert np.abs(r).max() < 5
    assert r.std() == pytest.approx(1, abs=4 / np.sqrt(2 * r.size))


@pytest.mark.parametrize("count", [1, 2, 3, 511, 1023, 1024, 1025, 4097])
def test_every_length_is_filled_once(count):
    pair = _normals((1, 2), count=count)
    half = (count + 1) // 2
    words = _words((1, 2), (0, 0, 0, 0), half)
    expected = [kernel.normal_pair(words[0, i], words[1, i]) for i in range(half)]
    expected += [kernel.normal_pair(words[2, i], words[3, i]) for i in range(count - half)]
    np.testing.assert_allclose(pair.T, expected, rtol=0, atol=1e-6)


CASES = [(m, b, n) for m in slicing.MAPPINGS[:3] for b in range(1, 9) for n in range(1, 9) if b < 3 or n <= 4]
CASES += [("digital", None, n) for n in range(1, 9)]


@pytest.mark.parametrize(("mapping", "base", "n"), CASES)
def test_targets_are_those_of_the_reference(mapping, base, n):
    """Every integer weight, slice by slice, without noise: same targets, same empty slices."""
    weights = np.arange(256.0)
    expected, _ = slicing.program(weights, mapping, base, n, np.zeros((n, 256)))
    plan = crossbar._Plan(crossbar.Configuration(mapping, "gaussian", base, n), crossbar.Options())
    residual, target = weights.astype(F), np.empty(256, F)
    for j in reversed(range(n)):
        _, scale, step, lower = plan.slices[j]
        peak = kernel.fill_targets(
            plan.mapping,
            plan.base,
            j,
            j == 0,
            scale,
            step,
            lower,
            crossbar._TIE,
            plan.bits,
            *plan.limits,
            residual,
            target,
        )
        np.testing.assert_allclose(target, expected[j], rtol=0, atol=3e-5)
        np.testing.assert_array_equal(target == 0, expected[j] == 0)
        assert peak == np.abs(target).max()


def test_the_largest_target_is_that_of_magnitudes():
    """Error correction may ask most of a device against its weight's direction."""
    plan = crossbar._Plan(crossbar.Configuration("max_fill_ec", "gaussian", 1, 2), crossbar.Options())
    residual, target = np.array([-300, 100, 0], F), np.empty(3, F)
    _, scale, step, lower = plan.slices[0]
    named = plan.mapping, plan.base, 0, True, scale, step, lower, crossbar._TIE, plan.bits
    peak = kernel.fill_targets(*named, *plan.limits, residual, target)
    assert peak == -target.min() == pytest.approx(300 / 127.5)


def test_programmed_row_follows_the_device_functions():
    target = np.concatenate([[0.0, 1e-6, 1e-3], np.linspace(0.01, 1, 200), [1.7, 3.0, -0.5, -5.0]]).astype(F)
    size = target.size
    generator = rng.stream(1, "test_row")
    z_error, z_drift = generator.standard_normal((2, size)).astype(F)
    weight = np.where(generator.random(size) < 0.5, -1, 1).astype(F)
    held, exponent, noise = np.zeros((3, size), F)
    kernel.program_row(
        weight, target, z_error, z_drift, F(np.log(5)), crossbar.PHYSICS, held, exponent, noise
    )
    residual = np.zeros(size, F)
    kernel.correct_row(weight, target, held, F(100), residual)
    g = (weight * target).astype(float)
    error = device.programming_std(g) * z_error
    nu = np.abs(device.drift_exponent_mean(g) + device.drift_exponent_std(g) * z_drift)
    on = g != 0
    np.testing.assert_allclose(held, g + error, rtol=0, atol=2e-6)
    np.testing.assert_allclose(exponent[on], nu[on], rtol=0, atol=2e-7)
    np.testing.assert_allclose(np.sqrt(noise[on]), device.read_noise_scale(g / 5)[on], rtol=3e-6)
    np.testing.assert_allclose(residual, -weight * error * 100, rtol=0, atol=2e-4)
    assert held[0] == 0


def test_no_drift_exponent_is_negative():
    """Where the spread carries one below zero its magnitude counts: conductances never grow."""
    target = np.array([1e-4, 1e-3, 0.01, 0.1], F)
    held, exponent, noise = np.zeros((3, target.size), F)
    z = np.full(target.size, -4, F)
    kernel.program_row(target, target, z, z, F(0), crossbar.PHYSICS, held, exponent, noise)
    drawn = device.drift_exponent_mean(target) - 4 * device.drift_exponent_std(target)
    assert (drawn < 0).sum() >= 3
    np.testing.assert_allclose(exponent, np.abs(drawn), rtol=0, atol=2e-7)


@pytest.mark.parametrize("mapping", ["equal_fill", "max_fill"])
def test_collapsed_read_noise_has_the_distribution_of_the_full_one(mapping):
    """One programmed array, read many times: device by device, and by two normals per row."""
    rows, reads, t = 24, 20_000, 2.6e6
    generator = rng.stream(1, "test_collapse", mapping)
    weights = np.clip(np.rint(85 * generator.standard_normal((1, rows))), -255, 255)
    x = np.clip(np.rint(64 * generator.standard_normal(rows)), -255, 255)
    targets, programmed, *_ = program(weights, mapping, 1, 2, generator)
    (target, _), (g, _) = targets, programmed
    g = (g * (t / 20) ** -drift_exponents(targets, generator)[0])[0]
    relative = read_noise(target, t, "slice_max")[0]
    noisy = g * (1 + relative * generator.standard_normal((reads, rows)))
    full = np.stack([noisy @ x, noisy.sum(axis=1)])
    growth = device.read_noise_growth(t)
    total, product, v0, v1, v2 = kernel.read_row(
        g.astype(F), ((relative / growth) ** 2).astype(F), x.astype(F)
    )
    z = generator.standard_normal((reads, 2)).astype(F)
    sums = total, product, v0, v1, v2
    short = np.array([kernel.outputs(*map(F, sums), F(growth), F(64), a, b) for a, b in z], float).T
    short[1] /= 64
    covariance = growth**2 * np.array([[v2, v1], [v1, v0]])
    for sample in (full, short):
        std = np.sqrt(np.diag(covariance))
        assert (np.abs(sample.mean(axis=1) - [product, total]) < 4 * std / np.sqrt(reads)).all()
        assert sample.std(axis=1) == pytest.approx(std, rel=4 / np.sqrt(2 * reads))
        expected = covariance[0, 1] / std.prod()
        assert abs(np.corrcoef(sample)[0, 1] - expected) < 4 * (1 - expected**2) / np.sqrt(reads)
    for a, b in zip(full, short, strict=True):
        assert stats.ks_2samp(a, b).pvalue > 1e-3
