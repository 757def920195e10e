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
from scipy.stats import chi2

from .. import stats

_ROUNDING = 1e-12
"""Relative difference below which two errors are the same up to rounding in double precision."""


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
    """Fit of eta_s to equal-fill configurations at one time.

    Attributes
    ----------
    eta_s, standard_error, low, high
        The estimate with its standard error and 95 % interval.
    degrees
        Degrees of freedom of the test: configurations less one.
    chi2_error, p_error
        Goodness of fit with deviations measured in standard errors of the means: is Eq. 8 exact? It grows
        with the number of trials if it is not.
    per_trial
        The estimate from each trial alone, (trials,); its mean is eta_s. It carries what the estimate shares
        with the errors of every configuration simulated in the same trials.
    """

    eta_s: float
    standard_error: float
    low: float
    high: float
    degrees: int
    chi2_error: float
    p_error: float
    per_trial: np.ndarray


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
        If shapes do not match, a configuration is repeated or lacks a trial, or there are fewer than two
        configurations or too few trials (as many as configurations, plus two, are needed for the covariance).
    """
    eta = _errors(configurations, eta)
    count, trials = eta.shape
    # One slice is the same crossbar at every base: twice the same row makes the covariance singular.
    if len({(1 if n == 1 else b, n) for b, n in configurations}) < count:
        raise ValueError("a configuration is repeated (one slice is the same at every base): give it once")
    if count < 2 or trials < count + 2:
        raise ValueError(f"two configurations or more and {count + 2} trials are needed, got {eta.shape}")
    factors = np.array([eq8_factor(b, n) for b, n in configurations])
    weights = factors / eta.var(axis=1, ddof=1)
    weights /= weights @ factors
    # The estimate is linear in eta: its value per trial carries the correlation of the configurations.
    per_trial = weights @ eta
    eta_s = float(per_trial.mean())
    standard_error = float(per_trial.std(ddof=1)) / math.sqrt(trials)
    margin = float(stats.half_width(standard_error, trials))
    chi2_error = _misfit(factors, eta)
    return Eq8Fit(
        eta_s=eta_s,
        standard_error=standard_error,
        low=eta_s - margin,
        high=eta_s + margin,
        degrees=count - 1,
        chi2_error=chi2_error,
        p_error=float(chi2.sf(chi2_error, count - 1)),
        per_trial=per_trial,
    )


def _errors(configurations: Sequence[tuple[int, int]], eta: np.ndarray) -> np.ndarray:
    """Return `eta` as float64 if it has a row for each configuration and a number in every place."""
    eta = np.asarray(eta, dtype=np.float64)
    if eta.ndim != 2 or eta.shape[0] != len(configurations):
        raise ValueError(
            f"eta must have shape ({len(configurations)} configurations, trials), got {eta.shape}"
        )
    if not np.isfinite(eta).all():
        lacking = [configurations[k] for k in np.flatnonzero(~np.isfinite(eta).all(axis=1))]
        raise ValueError(
            f"every configuration needs the error of every trial; (base, n_slices) {lacking} lack some"
        )
    return eta


def _misfit(factors: np.ndarray, eta: np.ndarray) -> float:
    """Squared Mahalanobis distance of the means from the line `factors` spans, in their covariance."""
    # Combinations of configurations that are zero on average under Eq. 8, whatever eta_s is.
    contrasts = np.linalg.svd(factors[None, :])[2][1:] @ eta
    mean, covariance = contrasts.mean(axis=1), np.atleast_2d(np.cov(contrasts))
    return float(mean @ np.linalg.solve(covariance, mean)) * eta.shape[1]


def compare_eq8(
    configurations: Sequence[tuple[int, int]], eta: np.ndarray, per_trial: np.ndarray
) -> pd.DataFrame:
    """Compare simulated errors with those Eq. 8 predicts, whether or not they entered the fit.

    Parameters
    ----------
    configurations
        (base, n_slices) of each.
    eta
        Relative errors, (configurations, trials).
    per_trial
        `Eq8Fit.per_trial` of the same trials, (trials,).

    Returns
    -------
    pandas.DataFrame
        Per configuration, in the given order: base, n_slices, simulated, predicted, ratio (simulated /
        predicted), ratio_sem (its standard error), deviation_in_std (simulated - predicted over the spread
        of single trials), deviation_in_sem (over its standard error). Simulated and predicted rise and fall
        together over trials: standard errors are those of their difference per trial.

    Raises
    ------
    ValueError
        If shapes do not match or a configuration lacks a trial.
    """
    eta = _errors(configurations, eta)
    if np.shape(per_trial) != eta.shape[1:]:
        raise ValueError(f"per_trial must have shape {eta.shape[1:]}, got {np.shape(per_trial)}")
    factors = np.array([eq8_factor(b, n) for b, n in configurations])
    predicted = factors[:, None] * per_trial
    ratio, ratio_sem = stats.ratio_of_means(eta, predicted, axis=1)
    difference = eta - predicted
    # Identical up to rounding: no deviation, rather than rounding error over rounding error.
    difference[np.abs(difference).max(axis=1) < _ROUNDING * np.abs(eta).max(axis=1)] = 0.0
    deviation = difference.mean(axis=1)
    sem = difference.std(axis=1, ddof=1) / math.sqrt(eta.shape[1])
    return pd.DataFrame(
        {
            "base": [b for b, _ in configurations],
            "n_slices": [n for _, n in configurations],
            "simulated": eta.mean(axis=1),
            "predicted": predicted.mean(axis=1),
            "ratio": ratio,
            "ratio_sem": ratio_sem,
            "deviation_in_std": deviation / eta.std(axis=1, ddof=1),
            "deviation_in_sem": np.divide(deviation, sem, out=np.zeros_like(sem), where=deviation != 0),
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
        95 % bootstrap interval; None without a change, 0 or infinite where more resampled trials than the
        interval may leave out have changed before the first time or not changed by the last.
    share
        Share of the resamplings that change sign in the direction of the mean, in any direction if the mean
        has no change.
    statement
        The finding in words.
    """

    time_s: float | None
    low_s: float | None
    high_s: float | None
    share: float
    statement: str


def _first_crossing(log_time: np.ndarray, means: np.ndarray, rising: bool | None = None) -> np.ndarray:
    """Logarithm of the first time at which each row of `means` changes sign, in one direction or in any.

    Infinite where a row never does, negative if it has the later sign from the start.
    """
    before, after = means[:, :-1], means[:, 1:]
    up, down = (before < 0) & (after >= 0), (before > 0) & (after <= 0)
    change = up | down if rising is None else (up if rising else down)
    found = change.any(axis=1)
    at = change.argmax(axis=1)
    row = np.arange(len(means))
    a, b = before[row, at], after[row, at]
    share = a / np.where(found, a - b, 1.0)
    last = means[:, -1] if rising else -means[:, -1]
    never = np.where((rising is not None) & (last > 0), -np.inf, np.inf)
    return np.where(found, log_time[at] + share * (log_time[at + 1] - log_time[at]), never)


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
        With the share of the resamplings that find the same.

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
    crosses = math.isfinite(crossing)
    # The first change leaves the sign that the mean has first.
    rising = bool(mean[mean != 0][0] < 0) if crosses else None
    trials = len(difference)
    counts = rng.multinomial(trials, np.full(trials, 1 / trials), size=resamplings)
    resampled = _first_crossing(log_time, counts @ difference / trials, rising)
    share = float(np.isfinite(resampled).mean())
    if not crosses:
        side = "below" if mean.sum() < 0 else "above" if mean.sum() > 0 else "equal to"
        words = (
            f"no crossover between {times_s[0]:g} s and {times_s[-1]:g} s: the first stays {side} the second "
            f"({100 * share:.3g} % of {resamplings} resamplings show one)"
        )
        return Crossover(None, None, None, share, words)
    tails = [(1 - stats.CONFIDENCE) / 2, (1 + stats.CONFIDENCE) / 2]
    low, high = np.exp(np.quantile(resampled, tails, method="inverted_cdf")).tolist()
    time = math.exp(crossing)
    winner = "second" if rising else "first"
    words = f"the {winner} has the lower error from {time:.3g} s on ({_interval(low, high)})"
    return Crossover(time, low, high, share, words)


def _interval(low: float, high: float) -> str:
    """Interval of a time in words; an end at 0 or infinity is open."""
    bounded_below, bounded_above = (0 < end < math.inf for end in (low, high))
    if bounded_below and bounded_above:
        return f"95 % interval {low:.3g} s to {high:.3g} s"
    if bounded_below:
        return f"95 % interval from {low:.3g} s, not bounded above within the simulated time"
    if bounded_above:
        return f"95 % interval up to {high:.3g} s, not bounded below within the simulated time"
    return "95 % interval not bounded within the simulated time"
