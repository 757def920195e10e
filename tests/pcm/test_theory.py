import math

import numpy as np
import pytest

from nonideal import rng
from nonideal.pcm import theory


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
    assert (
        abs(p.mean() - 0.5) < 4 / math.sqrt(12 * 400) + 0.02
    )  # chi2 for an estimated covariance: slightly low
    assert all(fit.p_spread > 0.99 for fit in fits)


def test_rows_report_deviations_and_a_wrong_law_is_rejected_in_standard_errors_only():
    fit = theory.fit_eq8(CONFIGURATIONS, _errors(rng.stream(1, "test_bend"), 2000, bend=0.03))
    assert fit.p_error < 1e-6
    assert fit.p_spread > 0.5
    row = fit.rows.set_index(["base", "n_slices"]).loc[(1, 8)]
    assert row.ratio == pytest.approx(1.03, abs=0.01)
    assert row.deviation_in_errors == pytest.approx(row.deviation_in_spreads * math.sqrt(2000))
    assert (row.simulated - row.predicted) == pytest.approx(row.deviation_in_spreads * row.spread)


def test_ratio_error_is_the_spread_of_the_ratio():
    generator = rng.stream(1, "test_ratio")
    fits = [theory.fit_eq8(CONFIGURATIONS, _errors(generator, 200)) for _ in range(600)]
    ratios = np.array([fit.rows.ratio for fit in fits])
    stated = np.array([fit.rows.ratio_error for fit in fits]).mean(axis=0)
    assert ratios.std(axis=0) == pytest.approx(stated, rel=4 / math.sqrt(2 * 600))


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
        found = theory.crossover(TIMES, *_pair(generator, 100, 5e4), rng=generator, resamplings=400)
        assert found.time_s == pytest.approx(5e4, rel=0.5)
        hits.append(found.low_s <= 5e4 <= found.high_s)
    assert np.mean(hits) > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 100)
    assert "second has the lower error from" in found.statement


def test_crossover_is_interpolated_in_log_time():
    found = theory.crossover(
        [10.0, 1000.0], np.tile([0.0, 2.0], (3, 1)), np.ones((3, 2)), rng=rng.stream(1, "x"), resamplings=10
    )
    assert found.time_s == pytest.approx(100.0)
    assert (found.low_s, found.high_s, found.share) == pytest.approx((100.0, 100.0, 1.0))


def test_no_crossover_is_said():
    a, b = _pair(rng.stream(1, "none"), 50, 1e12)
    found = theory.crossover(TIMES, a, b, rng=rng.stream(1, "boot"))
    assert found.time_s is None
    assert "no crossover" in found.statement and "below" in found.statement
    assert "equal to" in theory.crossover(TIMES, a, a, rng=rng.stream(1, "boot")).statement
    with pytest.raises(ValueError, match="increase"):
        theory.crossover(TIMES[::-1], a, b, rng=rng.stream(1, "boot"))
