"""The crossbar engine as a whole: anchors, the per-device oracle, shards, options."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle
import pytest
from scipy import stats

from nonideal import rng
from nonideal.pcm import crossbar, device, slicing
from nonideal.pcm.crossbar import Configuration, Options, simulate, simulate_many
from nonideal.pcm.trials import Times

MONTH = 30 * 86400.0
TIMES = [20.0, MONTH]


def test_anchors_at_one_slice():
    """Le Gallo et al. 2022, Fig. 4a, one slice; 2,000 trials of the published script."""
    eta = simulate(Configuration("equal_fill", base=1), TIMES, range(1000), seed=1)
    error = eta.std(axis=0, ddof=1) / math.sqrt(len(eta))
    assert (np.abs(eta.mean(axis=0) - [0.1087, 0.1645]) < 4 * error + 1e-4).all()


def test_one_slice_is_the_same_crossbar_in_every_mapping_to_the_last_bit():
    names = [(m, b) for m in slicing.MAPPINGS[:3] for b in (1, 2, 3, 8)] + [("digital", None)]
    for weights in crossbar.WEIGHTS:
        for options in (Options(), Options(ec_targets="physical", read_noise_norm="g_max")):
            many = [Configuration(m, weights, b) for m, b in names]
            eta = simulate_many(many, [20.0, 1e4, MONTH], range(3), seed=4, options=options)
            np.testing.assert_array_equal(eta, np.broadcast_to(eta[:1], eta.shape))


CASES = [
    ("equal_fill", 1, 4, {}),
    ("equal_fill", 2, 8, {}),
    ("max_fill", 1, 8, {}),
    ("max_fill", 3, 4, {}),
    ("max_fill_ec", 1, 8, {}),
    ("max_fill_ec", 2, 8, {}),
    ("max_fill_ec", 2, 4, {"limits": (-1, 1)}),
    ("max_fill_ec", 2, 2, {"limits": (0, 1)}),
    ("digital", None, 4, {}),
    ("max_fill", 1, 4, {"ternary": True}),
    ("equal_fill", 1, 2, {"ternary": True, "norm": "g_max"}),
]


@pytest.mark.parametrize(("mapping", "base", "n", "how"), CASES)
def test_engine_against_per_device_oracle(mapping, base, n, how):
    trials, rows, times = 250, 48, [20.0, 3e4, MONTH]
    generator = rng.stream(1, "test_oracle", mapping, n)
    slow = np.array(
        [oracle.trial(mapping, base, n, times, generator, rows=rows, **how) for _ in range(trials)]
    )
    options = Options(
        rows=rows,
        ec_targets={None: "unbounded", (-1, 1): "physical", (0, 1): "same_sign"}[how.get("limits")],
        read_noise_norm=how.get("norm", "slice_max"),
    )
    weights = "ternary" if how.get("ternary") else "gaussian"
    fast = simulate(
        Configuration(mapping, weights, base, n), times, range(4 * trials), seed=2, options=options
    )
    for t in range(len(times)):
        a, b = slow[:, t], fast[:, t]
        assert abs(a.mean() - b.mean()) < 4 * math.sqrt(a.var() / a.size + b.var() / b.size)
        # Standard error of a logarithm of a standard deviation, from the fourth moment.
        kurtosis = stats.kurtosis(b, fisher=False)
        assert abs(math.log(a.std() / b.std())) < 4 * math.sqrt(
            (kurtosis - 1) / 4 * (1 / a.size + 1 / b.size)
        )
        assert stats.ks_2samp(a, b).pvalue > 1e-4


def test_a_trial_is_the_same_in_any_shard_order_and_company():
    configuration = Configuration("max_fill_ec", base=2, n_slices=4)
    whole = simulate(configuration, TIMES, range(8), seed=3)
    shards = [range(0, 3), range(3, 4), range(4, 8)]
    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(lambda shard: simulate(configuration, TIMES, shard, seed=3), shards))
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(simulate(configuration, TIMES, range(7, -1, -1), seed=3), whole[::-1])
    company = [
        Configuration("digital", n_slices=8),
        configuration,
        Configuration("max_fill", "ternary", 1, 2),
    ]
    np.testing.assert_array_equal(simulate_many(company, TIMES, range(8), seed=3)[1], whole)
    assert (simulate(configuration, TIMES, range(8), seed=4) != whole).all()
    assert len(np.unique(whole)) == whole.size


def test_a_read_does_not_depend_on_the_other_times():
    configuration = Configuration("max_fill", base=1, n_slices=4)
    times = np.geomspace(20.0, 3.2e7, 12)
    eta = simulate(configuration, times, range(4), seed=5)
    single = np.concatenate([simulate(configuration, [t], range(4), seed=5) for t in times], axis=1)
    # Drift accumulates rounding over the steps; a converter may then give the next code.
    np.testing.assert_allclose(single, eta, rtol=0.02)
    assert np.median(np.abs(single / eta - 1)) < 1e-4
    order = [5, 0, 5, 11]
    np.testing.assert_allclose(
        simulate(configuration, times[order], range(4), seed=5), eta[:, order], rtol=0.02
    )


def test_steps_between_times_add_up_to_the_times():
    times = 20 * np.exp([0.3, 1.3, 2.25, 3.2, 4.2000001, 5.2])  # some steps are nearly the same
    found = Times.of(times)
    elapsed = np.cumsum(found.log_ratio, dtype=float)[found.index]
    np.testing.assert_allclose(elapsed, np.log(times / 20), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.growth[found.index], [device.read_noise_growth(t) for t in times], 1e-6)


def test_configurations_meet_the_same_crossbar():
    """Common random numbers: errors of two mappings are correlated, so their difference is sharp."""
    pair = [Configuration("equal_fill", base=1, n_slices=2), Configuration("max_fill", base=1, n_slices=2)]
    a, b = simulate_many(pair, [20.0], range(300), seed=6)[:, :, 0]
    assert np.corrcoef(a, b)[0, 1] > 0.3
    assert (a - b).std() < 0.9 * math.hypot(a.std(), b.std())


def test_options_act_where_they_should():
    def mean(configuration, trials=150, **options):
        return simulate(configuration, [20.0], range(trials), seed=7, options=Options(**options)).mean()

    correcting = Configuration("max_fill_ec", base=2, n_slices=2)
    assert mean(correcting, ec_targets="same_sign") > 1.05 * mean(correcting)
    assert mean(correcting, ec_targets="physical") < mean(correcting)  # the slice's largest target is smaller
    plain = Configuration("max_fill", base=2, n_slices=8)
    assert mean(plain, ec_targets="physical") == mean(plain)
    ternary = Configuration("equal_fill", "ternary", 1, 4)
    assert mean(ternary, read_noise_norm="g_max") > 1.05 * mean(ternary)
    full_scale = Configuration("equal_fill", "gaussian", 1, 1)  # its largest weight fills a device
    assert mean(full_scale, read_noise_norm="g_max") == pytest.approx(mean(full_scale), rel=1e-6)


def test_ternarisation_error_is_that_of_the_trials_own_weights():
    error = crossbar.ternarisation_error(range(200), seed=1)
    generator = rng.stream(1, "test_ternary")
    by_hand = []
    for _ in range(200):
        w, x = generator.standard_normal((128, 128)), generator.standard_normal(128)
        kept = np.abs(w) > 0.7 * np.abs(w).mean()
        ternary = np.sign(w) * kept * np.abs(w[kept]).mean()
        by_hand.append(np.linalg.norm((ternary - w) @ x) / np.linalg.norm(w @ x))
    difference = abs(error.mean() - np.mean(by_hand))
    assert difference < 4 * math.sqrt((error.var() + np.var(by_hand)) / 200) + 2e-3  # 9-bit clipping: 0.1 %
    assert error[7] == crossbar.ternarisation_error(range(7, 8), seed=1)[0]


@pytest.mark.parametrize("rows", [2, 7, np.int64(33)])
def test_any_size_runs(rows):
    eta = simulate(
        Configuration("max_fill_ec", base=2, n_slices=3), TIMES, range(3), seed=9, options=Options(rows=rows)
    )
    assert eta.shape == (3, 2)
    assert np.isfinite(eta).all()


def test_bad_input_is_refused_with_the_reason():
    good = Configuration("equal_fill", base=1)
    with pytest.raises(ValueError, match="mapping must be one of"):
        Configuration("equalfill", base=1)
    with pytest.raises(ValueError, match="weights must be one of gaussian, ternary"):
        Configuration("equal_fill", "binary", 1)
    with pytest.raises(ValueError, match="rows must be an integer"):
        Options(rows=1)
    with pytest.raises(ValueError, match="ec_targets must be one of"):
        Options(ec_targets="bounded")
    with pytest.raises(ValueError, match="read_noise_norm must be one of"):
        Options(read_noise_norm="max")
    for times in ([], [19.0], [math.nan], [1e300], 20.0):
        with pytest.raises(ValueError, match="times_s must be"):
            simulate(good, times, range(1), seed=1)
    for trials in (range(0), range(-1, 1), [1, 2]):
        with pytest.raises(ValueError, match="trials must be"):
            simulate(good, TIMES, trials, seed=1)
    beyond = Configuration("max_fill_ec", base=64, n_slices=8)
    with pytest.raises(ValueError, match=r"base=64.*asks for conductances .*: choose ec_targets"):
        simulate(beyond, TIMES, range(1), seed=1)
    physical = Options(ec_targets="physical")
    assert np.isfinite(simulate(beyond, TIMES, range(1), seed=1, options=physical)).all()
    with pytest.raises(ValueError, match="at least one configuration"):
        simulate_many([], TIMES, range(1), seed=1)


def test_a_product_of_zero_is_named():
    two, trial = Options(rows=2), range(37608, 37609)  # both inputs round to zero
    with pytest.raises(ValueError, match=r"trial 37608: the product of gaussian weights \(2 x 2\) and input"):
        simulate(Configuration("equal_fill", base=1), TIMES, trial, seed=1, options=two)
    with pytest.raises(ValueError, match="choose more rows"):
        crossbar.ternarisation_error(trial, seed=1, options=two)
    # Ternary weights may lose a product that the 9-bit ones have: an error of one, not a failure.
    errors = crossbar.ternarisation_error(range(2000), seed=1, options=two)
    assert (errors == 1).any() and np.isfinite(errors).all()
