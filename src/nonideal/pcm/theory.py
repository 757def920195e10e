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
from scipy.special import fdtrc

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
    base, n_slices = float(base), int(n_slices)  # of NumPy's integers there are no negative powers
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
        p_error=_probability(chi2_error, count - 1, trials),
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


def _probability(distance: float, degrees: int, trials: int) -> float:
    """Probability of a larger `_misfit` under Eq. 8 (Hotelling: the covariance is estimated as well)."""
    scaled = distance * (trials - degrees) / (degrees * (trials - 1))
    return float(fdtrc(degrees, trials - degrees, scaled))


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
