"""Equation 8 of Le Gallo et al. (2022) and what the simulated errors say about it.

With equal-fill every slice carries the same relative error eta_s, independent of the others, so that n
slices of significance b^j give

    eta = eta_s sqrt(sum_j b^2j) / sum_j b^j.

The equation describes equal-fill alone: the slices of max-fill, error correction and digital slicing hold
different conductances and therefore different errors. Even for equal-fill it leaves out what all devices of
a weight share, such as the mean drift at its conductance.

Errors simulated on common random numbers are correlated between configurations. Standard errors and tests
here therefore come from the trials of all configurations together, not from each mean by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
"""Coverage of the intervals reported here."""


def eq8_factor(base: float, n_slices: int) -> float:
    """Return eta / eta_s of equal-fill, sqrt((1 - b)(1 + b^n) / ((1 + b)(1 - b^n))), 1 / sqrt(n) at b = 1.

    Parameters
    ----------
    base
        Base b of the slices' significance, at least 1.
    n_slices
        Number n of slices, at least 1.

    Raises
    ------
    ValueError
        If base or number of slices is below 1.

    Examples
    --------
    >>> eq8_factor(1, 4), eq8_factor(5, 1)
    (0.5, 1.0)
    """
    if not base >= 1 or n_slices < 1:
        raise ValueError(f"base and n_slices must be at least 1, got {base} and {n_slices}")
    if base == 1 or n_slices == 1:
        return 1 / math.sqrt(n_slices)
    # Powers of 1 / b: they cannot overflow.
    return math.sqrt((base - 1) / (base + 1) * (1 + base**-n_slices) / (1 - base**-n_slices))


@dataclass(frozen=True)
class Eq8Fit:
    """Fit of eta_s to equal-fill configurations at one time, and how well Eq. 8 describes them.

    Attributes
    ----------
    eta_s, standard_error, low, high
        The estimate with its standard error and 95 % interval.
    degrees
        Degrees of freedom of both tests: configurations less one.
    chi2_error, p_error
        Goodness of fit with deviations measured in standard errors of the means: is Eq. 8 exact? It grows
        with the number of trials if it is not.
    chi2_spread, p_spread
        The same measured in the spread of single trials: would one trial tell?
    rows
        Per configuration: base, n_slices, trials, simulated, spread (standard deviation over trials),
        standard_error, factor, predicted, low, high (of the prediction), ratio (simulated / predicted),
        ratio_error (standard error of the ratio), deviation_in_spreads, deviation_in_errors (deviation
        over the spread and the standard error of the mean).
    """

    eta_s: float
    standard_error: float
    low: float
    high: float
    degrees: int
    chi2_error: float
    p_error: float
    chi2_spread: float
    p_spread: float
    rows: pd.DataFrame


def fit_eq8(configurations: Sequence[tuple[int, int]], eta: np.ndarray) -> Eq8Fit:
    """Fit eta_s to simulated errors of equal-fill at one time by weighted least squares.

    Parameters
    ----------
    configurations
        (base, n_slices) of each; one slice is the same at every base and may be given once only.
    eta
        Relative errors, (configurations, trials); column k is trial k of every configuration.

    Returns
    -------
    Eq8Fit
        Weights are the inverse squared standard errors of the means.

    Raises
    ------
    ValueError
        If shapes do not match, a configuration is repeated, or there are fewer than two configurations or
        too few trials (as many as configurations, plus two, are needed for the covariance).
    """
    eta = np.asarray(eta, dtype=np.float64)
    count = len(configurations)
    if eta.ndim != 2 or eta.shape[0] != count:
        raise ValueError(f"eta must have shape ({count} configurations, trials), got {eta.shape}")
    # One slice is the same crossbar at every base: twice the same row makes the covariance singular.
    if len({(1 if n == 1 else b, n) for b, n in configurations}) < count:
        raise ValueError("a configuration is repeated (one slice is the same at every base): give it once")
    trials = eta.shape[1]
    if count < 2 or trials < count + 2:
        raise ValueError(f"two configurations or more and {count + 2} trials are needed, got {eta.shape}")
    factors = np.array([eq8_factor(b, n) for b, n in configurations])
    errors = eta.std(axis=1, ddof=1) / math.sqrt(trials)
    weights = factors / errors**2
    weights /= weights @ factors
    # The estimate is linear in eta: its value per trial carries the correlation of the configurations.
    per_trial = weights @ eta
    eta_s = float(per_trial.mean())
    standard_error = float(per_trial.std(ddof=1)) / math.sqrt(trials)
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, trials - 1)) * standard_error
    chi2_spread = _misfit(factors, eta)
    chi2_error = trials * chi2_spread
    return Eq8Fit(
        eta_s=eta_s,
        standard_error=standard_error,
        low=eta_s - margin,
        high=eta_s + margin,
        degrees=count - 1,
        chi2_error=chi2_error,
        p_error=float(stats.chi2.sf(chi2_error, count - 1)),
        chi2_spread=chi2_spread,
        p_spread=float(stats.chi2.sf(chi2_spread, count - 1)),
        rows=_rows(configurations, eta, factors, per_trial, margin),
    )


def _misfit(factors: np.ndarray, eta: np.ndarray) -> float:
    """Squared Mahalanobis distance between the means and the line `factors` spans, per trial covariance."""
    # Combinations of configurations that are zero on average under Eq. 8, whatever eta_s is.
    contrasts = np.linalg.svd(factors[None, :])[2][1:] @ eta
    mean, covariance = contrasts.mean(axis=1), np.atleast_2d(np.cov(contrasts))
    return float(mean @ np.linalg.solve(covariance, mean))


def _rows(
    configurations: Sequence[tuple[int, int]],
    eta: np.ndarray,
    factors: np.ndarray,
    per_trial: np.ndarray,
    margin: float,
) -> pd.DataFrame:
    trials = eta.shape[1]
    means, spreads = eta.mean(axis=1), eta.std(axis=1, ddof=1)
    errors = spreads / math.sqrt(trials)
    predicted = factors * per_trial.mean()
    # Simulated and predicted rise and fall together over trials; the difference per trial knows that.
    difference = eta - factors[:, None] * (means / predicted)[:, None] * per_trial
    return pd.DataFrame(
        {
            "base": [b for b, _ in configurations],
            "n_slices": [n for _, n in configurations],
            "trials": trials,
            "simulated": means,
            "spread": spreads,
            "standard_error": errors,
            "factor": factors,
            "predicted": predicted,
            "low": predicted - factors * margin,
            "high": predicted + factors * margin,
            "ratio": means / predicted,
            "ratio_error": difference.std(axis=1, ddof=1) / math.sqrt(trials) / predicted,
            "deviation_in_spreads": (means - predicted) / spreads,
            "deviation_in_errors": (means - predicted) / errors,
        }
    )


@dataclass(frozen=True)
class Crossover:
    """When one configuration overtakes another.

    Attributes
    ----------
    time_s
        Time at which the mean difference first changes sign, None without a change.
    low_s, high_s
        95 % bootstrap interval; infinite where resampled trials show no change of sign in the range.
    share
        Share of the resamplings that show the change.
    statement
        The finding in words.
    """

    time_s: float | None
    low_s: float
    high_s: float
    share: float
    statement: str


def _first_crossing(log_time: np.ndarray, means: np.ndarray, rising: bool | None = None) -> np.ndarray:
    """Logarithm of the first time at which each row of `means` changes sign (infinite: never)."""
    before, after = means[:, :-1], means[:, 1:]
    up, down = (before < 0) & (after >= 0), (before > 0) & (after <= 0)
    change = up | down if rising is None else (up if rising else down)
    found = change.any(axis=1)
    at = change.argmax(axis=1)
    row = np.arange(len(means))
    a, b = before[row, at], after[row, at]
    share = a / np.where(found, a - b, 1.0)
    return np.where(found, log_time[at] + share * (log_time[at + 1] - log_time[at]), np.inf)


def crossover(
    times_s: Sequence[float],
    eta_a: np.ndarray,
    eta_b: np.ndarray,
    *,
    rng: np.random.Generator,
    resamplings: int = 2000,
) -> Crossover:
    """Find the time at which the mean of eta_a - eta_b first changes sign.

    Parameters
    ----------
    times_s
        Increasing times, seconds; between them the difference is interpolated linearly in log time.
    eta_a, eta_b
        Errors of two configurations on common random numbers, (trials, times).
    rng
        Generator for the bootstrap over trials.
    resamplings
        Number of bootstrap resamplings.

    Returns
    -------
    Crossover
        Resamplings count where they change sign in the same direction as the mean.

    Raises
    ------
    ValueError
        If shapes do not match or times do not increase.
    """
    log_time = np.log(np.asarray(times_s, dtype=np.float64))
    difference = np.asarray(eta_a, dtype=np.float64) - np.asarray(eta_b, dtype=np.float64)
    if difference.ndim != 2 or difference.shape[1] != log_time.size or log_time.size < 2:
        raise ValueError(
            f"errors must have shape (trials, {log_time.size} times) with two times or more, "
            f"got {np.shape(eta_a)} and {np.shape(eta_b)}"
        )
    if not (np.diff(log_time) > 0).all():
        raise ValueError(f"times_s must increase, got {list(times_s)}")
    mean = difference.mean(axis=0)
    crossing = float(_first_crossing(log_time, mean[None])[0])
    if not math.isfinite(crossing):
        side = "below" if mean.sum() < 0 else "above" if mean.sum() > 0 else "equal to"
        words = (
            f"no crossover between {times_s[0]:g} s and {times_s[-1]:g} s: the first stays {side} the second"
        )
        return Crossover(None, math.inf, math.inf, 0.0, words)
    trials = len(difference)
    counts = rng.multinomial(trials, np.full(trials, 1 / trials), size=resamplings)
    rising = bool(mean[np.searchsorted(log_time, crossing, side="left") - 1] < 0)
    resampled = _first_crossing(log_time, counts @ difference / trials, rising)
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="nearest")
    share = float(np.isfinite(resampled).mean())
    time, low, high = math.exp(crossing), float(np.exp(low)), float(np.exp(high))
    winner = "second" if rising else "first"
    words = (
        f"the {winner} has the lower error from {time:.3g} s on (95 % interval {low:.3g} s to {high:.3g} s)"
    )
    return Crossover(time, low, high, share, words)
