import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, norm

from nonideal import rng, stats
from nonideal.pcm import crossovers, theory


def test_factor_is_the_root_of_summed_squares_over_the_sum():
    for base in range(1, 9):
        for n in range(1, 9):
            powers = np.array([float(base) ** j for j in range(n)])
            assert theory.eq8_factor(base, n) == pytest.approx(
                math.sqrt((powers**2).sum()) / powers.sum(), 1e-12
            )


def test_factor_limits():
    assert theory.eq8_factor(1 + 1e-9, 4) == pytest.approx(0.5, 1e-6)
    assert theory.eq8_factor(1e12, 3) == pytest.approx(1.0, 1e-9)
    assert [theory.eq8_factor(b, 1) for b in (1, 2, 7)] == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="at least 1"):
        theory.eq8_factor(0.5, 2)


CONFIGURATIONS = [(1, 1), (1, 2), (1, 4), (1, 8), (2, 2), (2, 4), (2, 8)]


def _errors(generator, trials, bend=0.0):
    """Errors obeying Eq. 8 with eta_s = 0.1, correlated over configurations; `bend` breaks it."""
    factors = np.array([theory.eq8_factor(b, n) for b, n in CONFIGURATIONS])[:, None]
    common = generator.normal(0, 0.01, trials)
    own = generator.normal(0, 0.003, (len(factors), trials))
    off = bend * (np.array([n for _, n in CONFIGURATIONS])[:, None] == 8)
    return factors * (0.1 + common) * (1 + off) + own


def test_fit_covers_the_truth_and_its_p_value_is_uniform():
    generator = rng.stream(1, "test_fit")
    fits = [theory.fit_eq8(CONFIGURATIONS, _errors(generator, 400)) for _ in range(400)]
    pulls = np.array([(fit.eta_s - 0.1) / fit.standard_error for fit in fits])
    covered = np.mean([fit.low <= 0.1 <= fit.high for fit in fits])
    assert abs(pulls.mean()) < 4 / math.sqrt(400)
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)
    p = np.array([fit.p_error for fit in fits])
    assert abs(p.mean() - 0.5) < 4 / math.sqrt(12 * 400)


def test_p_value_is_uniform_in_few_trials():
    """Nine are the fewest for seven configurations; the covariance is then hardly known."""
    generator = rng.stream(1, "test_few")
    p = np.array([theory.fit_eq8(CONFIGURATIONS, _errors(generator, 9)).p_error for _ in range(400)])
    assert kstest(p, "uniform").pvalue > 1e-4


def test_the_fit_is_weighted_by_the_errors_of_the_means():
    """Means over their standard errors, by ordinary least squares: the same estimate."""
    generator = rng.stream(1, "test_weights")
    spread = np.array([0.03, 0.001, 0.01, 0.002, 0.02, 0.005, 0.001])[:, None]
    eta = _errors(generator, 50) + spread * generator.standard_normal((len(CONFIGURATIONS), 50))
    factors = np.array([theory.eq8_factor(b, n) for b, n in CONFIGURATIONS])
    error = eta.std(axis=1, ddof=1) / math.sqrt(50)
    expected = np.linalg.lstsq((factors / error)[:, None], eta.mean(axis=1) / error, rcond=None)[0]
    assert theory.fit_eq8(CONFIGURATIONS, eta).eta_s == pytest.approx(expected[0], rel=1e-12)


def test_a_wrong_law_is_rejected():
    eta = _errors(rng.stream(1, "test_bend"), 2000, bend=0.03)
    fit = theory.fit_eq8(CONFIGURATIONS, eta)
    assert fit.p_error < 1e-6
    assert fit.per_trial.mean() == pytest.approx(fit.eta_s)
    row = theory.compare_eq8(CONFIGURATIONS, eta, fit.per_trial).set_index(["base", "n_slices"]).loc[(1, 8)]
    assert row.predicted == pytest.approx(fit.eta_s * theory.eq8_factor(1, 8))
    assert row.ratio == pytest.approx(row.simulated / row.predicted) == pytest.approx(1.03, abs=0.01)
    spread = eta[CONFIGURATIONS.index((1, 8))].std(ddof=1)
    assert (row.simulated - row.predicted) == pytest.approx(row.deviation_in_std * spread)
    assert row.deviation_in_sem > 4  # paired: the common spread, which hides it, is gone


UNFITTED = 5
"""Configurations from this one on stay out of the fit in `_compared`."""


def _compared(label, repetitions=600, trials=200):
    """Comparisons of all configurations under Eq. 8, fitted to the first few, on correlated slices."""
    generator = rng.stream(1, label)
    for _ in range(repetitions):
        eta = _errors(generator, trials)
        fit = theory.fit_eq8(CONFIGURATIONS[:UNFITTED], eta[:UNFITTED])
        yield theory.compare_eq8(CONFIGURATIONS, eta, fit.per_trial)


def test_deviations_have_unit_spread_whether_fitted_or_not():
    pulls = np.array([rows.deviation_in_sem for rows in _compared("test_pulls")])
    n = len(pulls)
    assert abs(pulls.mean(axis=0)).max() < 4 / math.sqrt(n)
    # Taken over the standard error of the simulated mean alone these spreads are 0.3 to 0.6.
    assert pulls.std(axis=0) == pytest.approx(1.0, abs=4 / math.sqrt(2 * n) + 0.01)
    covered = (abs(pulls) < stats.half_width(1.0, 200)).mean(axis=0)
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / n))


def test_ratio_error_is_the_spread_of_the_ratio():
    rows = list(_compared("test_ratio"))
    ratios = np.array([r.ratio for r in rows])
    stated = np.array([r.ratio_sem for r in rows]).mean(axis=0)
    assert ratios.std(axis=0) == pytest.approx(stated, rel=4 / math.sqrt(2 * 600))


def test_no_difference_is_no_deviation():
    per_trial = rng.stream(1, "same").normal(0.1, 0.01, 50)
    eta = np.array([theory.eq8_factor(b, n) * (per_trial / 3) * 3 for b, n in CONFIGURATIONS])
    rows = theory.compare_eq8(CONFIGURATIONS, eta, per_trial)
    assert (rows.deviation_in_sem == 0).all() and (rows.deviation_in_std == 0).all()
    assert rows.ratio.to_numpy() == pytest.approx(1.0) and rows.ratio_sem.max() < 1e-12


def test_comparison_refuses_what_does_not_belong_together():
    eta = np.ones((2, 50))
    with pytest.raises(ValueError, match="per_trial must have shape"):
        theory.compare_eq8([(1, 1), (1, 2)], eta, np.ones(49))
    eta[1, 3] = np.nan
    with pytest.raises(ValueError, match=r"every trial.*\(1, 2\)"):
        theory.compare_eq8([(1, 1), (1, 2)], eta, np.ones(50))


def test_fit_refuses_what_it_cannot_fit():
    eta = np.ones((2, 50))
    with pytest.raises(ValueError, match="repeated"):
        theory.fit_eq8([(1, 1), (2, 1)], eta)
    with pytest.raises(ValueError, match="shape"):
        theory.fit_eq8([(1, 1)], eta)
    with pytest.raises(ValueError, match="trials are needed"):
        theory.fit_eq8([(1, 1), (1, 2)], eta[:, :3])


TIMES = np.geomspace(20.0, 3e7, 12)


def _pair(generator, trials, crossing):
    shared = generator.normal(0, 0.02, (trials, 1))
    slope = 0.002 * (np.log(TIMES) - math.log(crossing))
    noise = generator.normal(0, 0.002, (2, trials, TIMES.size))
    return 0.1 + shared + slope + noise[0], 0.1 + shared + noise[1]


def test_crossover_interval_covers_the_true_time():
    generator = rng.stream(1, "test_crossover")
    hits = []
    for _ in range(100):
        found = crossovers.crossover(TIMES, *_pair(generator, 100, 5e4), rng=generator, resamplings=400)
        assert found.time_s == pytest.approx(5e4, rel=0.5)
        hits.append(found.low_s <= 5e4 <= found.high_s)
    assert np.mean(hits) > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 100)
    assert "second has the lower error from" in found.statement


def test_crossover_interval_is_as_wide_as_that_of_a_mean():
    """Lines of one slope in log time: the crossing of their mean is the mean of their crossings."""
    crossing = math.log(200.0) + 0.2 * rng.stream(1, "test_width").standard_normal((400, 1))
    difference = np.log([20.0, 2000.0]) - crossing
    found = crossovers.crossover(
        [20.0, 2000.0], difference, np.zeros((400, 2)), rng=rng.stream(1, "boot"), resamplings=4000
    )
    error = crossing.std(ddof=1) / math.sqrt(400)
    # The quantiles of 4,000 resamplings scatter by 0.04 standard errors.
    assert math.log(found.high_s / found.low_s) / error == pytest.approx(2 * norm.ppf(0.975), abs=0.25)
    assert math.log(found.time_s) == pytest.approx(crossing.mean(), rel=1e-9)


def test_crossover_is_interpolated_in_log_time():
    found = crossovers.crossover(
        [10.0, 1000.0], np.tile([0.0, 2.0], (3, 1)), np.ones((3, 2)), rng=rng.stream(1, "x"), resamplings=10
    )
    assert found.time_s == pytest.approx(100.0)
    assert (found.low_s, found.high_s, found.share) == pytest.approx((100.0, 100.0, 1.0))


def test_a_sign_that_changes_back_is_said():
    means = np.array([-1.0, 1.0, 0.0, -1.0, 1.0])
    there_and_back = np.tile(means, (3, 1))
    found = crossovers.crossover(
        [1.0, 10.0, 50.0, 100.0, 1e3],
        there_and_back,
        np.zeros((3, 5)),
        rng=rng.stream(1, "x"),
        resamplings=10,
    )
    assert found.time_s == pytest.approx(10**0.5)
    assert found.statement.startswith("the second first has the lower error at 3.16 s (95 % interval")
    assert found.statement.endswith("; the sign changes 3 times")


@pytest.mark.parametrize("means", [[-1, 0, -1, -1], [-1, -1, -1, 0], [-1, 1e-17, -1, -1], [0, -1, -1, 0]])
def test_touching_zero_is_no_crossover(means):
    """Mean differences of accuracies, which are multiples of one over images and chips, are often zero."""
    differences = np.tile(np.array(means, dtype=float), (5, 1))
    found = crossovers.crossover(
        [1.0, 10.0, 100.0, 1e3], differences, np.zeros((5, 4)), rng=rng.stream(1, "x"), resamplings=10
    )
    assert (found.time_s, found.share) == (None, 0.0) and "stays below" in found.statement


@pytest.mark.parametrize("means", [[-1e-6, 1, 1], [1e-6, -1, -1]])
def test_a_small_difference_is_a_difference(means):
    differences = np.tile(np.array(means, dtype=float), (5, 1))
    found = crossovers.crossover(
        [1.0, 10.0, 100.0], differences, np.zeros((5, 3)), rng=rng.stream(1, "x"), resamplings=10
    )
    assert found.time_s == pytest.approx(1.0, rel=1e-5) and found.share == 1


@pytest.mark.parametrize("means", [[-1, 0, 1, 1], [-1, 0, 0, 1], [-1, 1e-17, 1, 1]])
def test_through_zero_is_a_crossover_where_zero_is_reached(means):
    differences = np.tile(np.array(means, dtype=float), (5, 1))
    found = crossovers.crossover(
        [1.0, 10.0, 100.0, 1e3], differences, np.zeros((5, 4)), rng=rng.stream(1, "x"), resamplings=10
    )
    assert (found.time_s, found.share) == (pytest.approx(10.0), 1.0)
    assert "the second has the lower error from 10 s on" in found.statement


def test_no_crossover_is_said():
    a, b = _pair(rng.stream(1, "none"), 50, 1e12)
    found = crossovers.crossover(TIMES, a, b, rng=rng.stream(1, "boot"))
    assert (found.time_s, found.low_s, found.high_s, found.share) == (None, None, None, 0.0)
    assert "no crossover" in found.statement and "below" in found.statement
    assert "0 % of 2000 resamplings" in found.statement
    assert "equal to" in crossovers.crossover(TIMES, a, a, rng=rng.stream(1, "boot")).statement
    with pytest.raises(ValueError, match="increase"):
        crossovers.crossover(TIMES[::-1], a, b, rng=rng.stream(1, "boot"))


def _near(mean, first=None):
    """Differences at two times, the second of given mean and standard error 1, the first -50 by default."""
    noise = 10 * rng.stream(1, "near").standard_normal(100)
    last = mean + (noise - noise.mean()) / noise.std(ddof=1) * 10
    return np.stack([np.full(100, -50.0) if first is None else first + last - mean, last], axis=1)


def _share_of(differences):
    found = crossovers.crossover([20.0, 2000.0], differences, np.zeros((100, 2)), rng=rng.stream(2, "boot"))
    return found, 4 * math.sqrt(0.25 / 2000) + 0.01


def test_resamplings_count_where_the_mean_has_no_crossover():
    found, tolerance = _share_of(_near(-1.0))
    assert found.time_s is None
    assert found.share == pytest.approx(norm.sf(1.0), abs=tolerance)
    assert f"{100 * found.share:.3g} % of 2000 resamplings show one" in found.statement


def test_only_the_direction_of_the_mean_counts_where_it_has_one():
    # First time: -1 with standard error 1, last time: the same noise about 3. Resamplings that are above 0
    # at once do not change, and never fall below 0 again.
    found, tolerance = _share_of(_near(3.0, first=-1.0))
    assert found.share == pytest.approx(norm.cdf(1.0), abs=tolerance)
    assert found.low_s == 0 and 20 < found.high_s < 2000
    assert f"up to {found.high_s:.3g} s, not bounded below within the simulated time" in found.statement


@pytest.mark.parametrize("differences", [_near(3.0, first=-1.0), _near(1.0)], ids=["from", "to"])
def test_swapped_configurations_cross_at_the_same_time(differences):
    zeros, times = np.zeros((100, 2)), [20.0, 2000.0]
    one = crossovers.crossover(times, differences, zeros, rng=rng.stream(2, "boot"))
    other = crossovers.crossover(times, zeros, differences, rng=rng.stream(2, "boot"))
    for name in ("time_s", "low_s", "high_s", "share"):
        assert getattr(one, name) == pytest.approx(getattr(other, name)), name
    assert "second has the lower" in one.statement and "first has the lower" in other.statement


def test_an_open_end_is_said_in_words():
    found, tolerance = _share_of(_near(1.0))
    assert found.share == pytest.approx(norm.cdf(1.0), abs=tolerance)
    assert 20 < found.low_s < found.time_s < 2000 and math.isinf(found.high_s)
    assert f"from {found.low_s:.3g} s, not bounded above within the simulated time" in found.statement
    assert "inf" not in found.statement


def test_what_a_crossover_cannot_be_found_in_is_refused():
    a, b = _pair(rng.stream(1, "refused"), 5, 5e4)
    a[3, 1] = np.nan
    with pytest.raises(ValueError, match="every trial needs a finite error of both"):
        crossovers.crossover(TIMES, a, b, rng=rng.stream(1, "boot"))
    with pytest.raises(ValueError, match="two trials or more, got 1"):
        crossovers.crossover(TIMES, b[:1], b[1:2], rng=rng.stream(1, "boot"))


def test_pairs_are_of_the_same_trials_and_times():
    a, b = (pd.DataFrame(errors, columns=TIMES) for errors in _pair(rng.stream(1, "paired"), 5, 5e4))
    for other in (b.set_axis(range(1, 6), axis=0), b.set_axis(TIMES + 1, axis=1), b[:4]):
        with pytest.raises(ValueError, match="1 and 2 differ in trials or times"):
            list(crossovers.pairs({1: a, 2: other}, rng=rng.stream(1, "boot")))


@pytest.mark.parametrize("early", [0.0, -1e-15])
def test_the_first_of_a_pair_has_the_lower_error_before_the_crossover(early):
    """Accuracies are often the same at the first time."""
    times = [20.0, 200.0, 2000.0, 20000.0]
    errors = np.tile([0.5, 0.5, 0.5, 0.5], (3, 1)), np.tile([0.5 - early, 0.4, 0.4, 0.7], (3, 1))
    named = {name: pd.DataFrame(values, columns=times) for name, values in zip("ab", errors, strict=True)}
    ((first, second, row),) = crossovers.pairs(named, rng=rng.stream(1, "boot"))
    assert (first, second) == ("b", "a") and 2000 < row["time_s"] < 20000
    assert row["verdict"].startswith("the second has the lower error from")


def test_the_error_of_the_fit_is_that_of_its_mean():
    eta = 0.1 + 0.01 * rng.stream(1, "sem").standard_normal((2, 6))
    fit = theory.fit_eq8([(1, 1), (1, 2)], eta)
    assert fit.eta_s == pytest.approx(fit.per_trial.mean())
    sem = math.sqrt(((fit.per_trial - fit.eta_s) ** 2).sum() / 5 / 6)
    assert fit.standard_error == pytest.approx(sem)
    # Student's t, five degrees of freedom, 97.5 %
    assert (fit.low, fit.high) == pytest.approx((fit.eta_s - 2.57058 * sem, fit.eta_s + 2.57058 * sem))


def test_factor_of_numpy_integers_is_that_of_pythons():
    assert theory.eq8_factor(np.int64(2), np.int64(4)) == theory.eq8_factor(2, 4)
