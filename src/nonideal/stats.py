"""Means and their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.stats

CONFIDENCE = 0.95


def summarise(frame: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Mean, standard deviation, standard error and count of `value` within each group.

    The standard deviation is the sample's (n - 1 in the denominator), NaN for a single value.
    """
    grouped = frame.groupby(by, sort=True)[value]
    summary = grouped.agg(mean="mean", std="std", count="size").reset_index()
    summary["sem"] = summary["std"] / np.sqrt(summary["count"])
    return summary


def half_width(sem: np.ndarray | pd.Series, count: np.ndarray | pd.Series) -> np.ndarray:
    """Half width of the 95 % interval of a mean by Student's t; NaN where `count` is below 2."""
    count = np.asarray(count, dtype=float)
    dof = np.where(count > 1, count - 1, np.nan)
    return scipy.stats.t.ppf(0.5 + CONFIDENCE / 2, dof) * np.asarray(sem, dtype=float)
