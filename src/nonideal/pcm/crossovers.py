"""When one configuration overtakes another: the first change of sign of the mean difference over time.

The differences are paired: both errors come from common random numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nonideal import stats

ROUNDING = 1e-12
"""Differences below this share of the largest are zero."""


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

    Infinite where a row never does, negative if it has the later sign from the start. Zero has no sign:
    only what is of the opposite sign afterwards is a change, and it happened where zero was reached.
    """
    means = _cleaned(means)
    before, after = means[:, :-1], means[:, 1:]
    following = _sign_from(after)
    up, down = (before < 0) & (following > 0), (before > 0) & (following < 0)
    change = up | down if rising is None else (up if rising else down)
    found = change.any(axis=1)
    at = change.argmax(axis=1)
    row = np.arange(len(means))
    a, b = before[row, at], after[row, at]
    share = a / np.where(found, a - b, 1.0)
    last = _sign_from(means[:, ::-1])[:, 0] * (1 if rising else -1)
    never = np.where((rising is not None) & (last > 0), -np.inf, np.inf)
    return np.where(found, log_time[at] + share * (log_time[at + 1] - log_time[at]), never)


def _cleaned(means: np.ndarray) -> np.ndarray:
    """Differences with zeros where rounding alone is left: those of accuracies are often exactly zero."""
    largest = np.abs(means).max(axis=-1, keepdims=True)
    return np.where(np.abs(means) > ROUNDING * largest, means, 0.0)


def _sign_from(means: np.ndarray) -> np.ndarray:
    """Sign of the first value from each column on that is not zero, 0 if there is none."""
    signs = np.sign(means)
    for k in reversed(range(signs.shape[1] - 1)):
        signs[:, k] = np.where(signs[:, k] == 0, signs[:, k + 1], signs[:, k])
    return signs


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
        If shapes do not match, there are fewer than two trials, an error is missing or infinite, or times do
        not increase.
    """
    log_time = np.log(np.asarray(times_s, dtype=np.float64))
    difference = np.asarray(eta_a, dtype=np.float64) - np.asarray(eta_b, dtype=np.float64)
    if difference.ndim != 2 or difference.shape[1] != log_time.size or log_time.size < 2:
        raise ValueError(
            f"errors must have shape (trials, {log_time.size} times) with two times or more, "
            f"got {np.shape(eta_a)} and {np.shape(eta_b)}"
        )
    if len(difference) < 2:
        raise ValueError(f"a bootstrap needs two trials or more, got {len(difference)}")
    if not np.isfinite(difference).all():
        raise ValueError("every trial needs a finite error of both configurations at every time")
    if not (np.diff(log_time) > 0).all():
        raise ValueError(f"times_s must increase, got {list(times_s)}")
    mean = _cleaned(difference.mean(axis=0))
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
    signs = np.sign(mean[mean != 0])
    changes = int((signs[1:] != signs[:-1]).sum())
    words = f"the {winner} has the lower error from {time:.3g} s on ({_interval(low, high)})"
    if changes > 1:
        words = (
            f"the {winner} first has the lower error at {time:.3g} s ({_interval(low, high)}); "
            f"the sign changes {changes} times"
        )
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


def pairs(
    errors: Mapping[Any, pd.DataFrame], *, rng: np.random.Generator
) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """Crossover of every pair of configurations.

    Parameters
    ----------
    errors
        By configuration: errors, a row a trial and a column a time in seconds.
    rng
        Generator for the bootstrap over trials.

    Yields
    ------
    first, second
        The configuration with the lower error at first, that is at the first time of a difference, and the
        other one.
    row : dict
        Crossover by column, for `table`.

    Raises
    ------
    ValueError
        If two configurations were not simulated in the same trials and at the same times, or an error is
        missing.
    """
    for a, b in itertools.combinations(sorted(errors), 2):
        if not (errors[a].index.equals(errors[b].index) and errors[a].columns.equals(errors[b].columns)):
            raise ValueError(f"{a} and {b} differ in trials or times: differences are paired by both")
        differences = _cleaned((errors[a] - errors[b]).mean(axis=0).to_numpy())
        first, second = (a, b) if _sign_from(differences[None])[0, 0] <= 0 else (b, a)
        found = crossover(
            list(errors[a].columns), errors[first].to_numpy(), errors[second].to_numpy(), rng=rng
        )
        row = {
            "time_s": found.time_s,
            "low_s": found.low_s,
            "high_s": found.high_s,
            "share_with_crossover": found.share,
            "verdict": found.statement,
        }
        yield first, second, row


def table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Table of rows with the columns of `pairs`; a ValueError if there are none."""
    if not rows:
        raise ValueError("no two mappings to compare: give two of them at one number of slices above one")
    found = pd.DataFrame(rows)
    times = ["time_s", "low_s", "high_s"]
    # An interval open below or above has no end to report.
    return found.assign(**found[times].astype(float).replace([0.0, np.inf], np.nan))
