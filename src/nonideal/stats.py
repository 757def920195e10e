"""Means, ratios of means, and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import special

CONFIDENCE = 0.95


def summarise(frame: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Mean, standard deviation, standard error and count of `value` within each group.

    The standard deviation is the sample's (n - 1 in the denominator), NaN for a single value. Missing values
    do not count.
    """
    grouped = frame.groupby(by, sort=True)[value]
    summary = grouped.agg(mean="mean", std="std", count="count").reset_index()
    summary["sem"] = summary["std"] / np.sqrt(summary["count"])
    return summary


def half_width(sem: np.ndarray | pd.Series | float, count: np.ndarray | pd.Series | int) -> np.ndarray:
    """Half width of the 95 % interval of a mean by Student's t; NaN where `count` is below 2."""
    count = np.asarray(count, dtype=float)
    dof = np.where(count > 1, count - 1, np.nan)
    return t_quantile(dof) * np.asarray(sem, dtype=float)


def interval(
    mean: np.ndarray | pd.Series | float,
    sem: np.ndarray | pd.Series | float,
    count: np.ndarray | pd.Series | int,
    *,
    share: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % interval of a mean by Student's t; NaN where `count` is below 2.

    Student's t knows no bounds: the interval of a `share` is cut to 0 .. 1.
    """
    mean, half = np.asarray(mean, dtype=float), half_width(sem, count)
    low, high = mean - half, mean + half
    return (np.clip(low, 0, 1), np.clip(high, 0, 1)) if share else (low, high)


def ends(values: pd.Series, *, share: bool = False, folds: bool = False) -> tuple[float, float]:
    """Ends of the 95 % interval of the mean of `values`, NaN for fewer than two; `share` as in `interval`.

    With `folds` the values are of the folds of a cross-validation, see `sem_of_folds`.
    """
    sem = sem_of_folds(values) if folds else values.sem()
    low, high = interval(values.mean(), sem, values.count(), share=share)
    return float(low), float(high)


def sem_of_folds(values: pd.Series) -> float:
    """Standard error of the mean of `values` over the folds of a cross-validation; NaN for fewer than two.

    Each fold is tested once, but any two trainings share most of their examples, so that the folds scatter
    less than separate data would. Nadeau and Bengio, Inference for the generalization error, Machine Learning
    52 (2003): the variance of the folds counts 1/k + n_test/n_train times, here 1/k + 1/(k - 1), not 1/k.
    """
    count = values.count()
    return float(values.std() * math.sqrt(1 / count + 1 / (count - 1))) if count > 1 else math.nan


def t_quantile(dof: np.ndarray | float) -> np.ndarray:
    """Half width of the 95 % interval in standard errors, by Student's t; NaN without degrees of freedom."""
    return special.stdtrit(dof, 0.5 + CONFIDENCE / 2)  # scipy.stats takes half a second to import


def ratio_of_means(
    numerator: np.ndarray, denominator: np.ndarray, *, axis: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Ratio of the means of paired samples and its standard error (delta method).

    Parameters
    ----------
    numerator, denominator
        Samples, two or more along `axis`, where equal places hold a pair; the shapes broadcast elsewhere.
    axis
        Axis of the samples.

    Returns
    -------
    ratio, sem : numpy.ndarray
        Without `axis`. What numerator and denominator have in common cancels in the standard error.
    """
    mean = denominator.mean(axis=axis, keepdims=True)
    ratio = numerator.mean(axis=axis, keepdims=True) / mean
    residual = numerator - ratio * denominator
    sem = residual.std(axis=axis, ddof=1, keepdims=True) / math.sqrt(residual.shape[axis]) / np.abs(mean)
    return ratio.squeeze(axis), sem.squeeze(axis)
