"""Every published value beside ours, by the list that `nonideal.published` reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nonideal import scales
from nonideal.published import KEY, fail
from nonideal.schemas.crossbar import CROSSBAR_KEY
from nonideal.schemas.published import COMPARISON
from nonideal.stats import half_width, ratio_of_means

# As they are, into the result.
COPIED = (*KEY, "unit", "kind", "published", "tolerance", "by_construction", "table", "source")
OPEN_ENDED = ["low_s", "high_s"]  # ends of the interval of a crossover, missing where it is not bounded
ROUNDING = 1e-9  # relative; the binary rounding of decimal fractions must not decide a verdict

# What pandas raises for a query that it cannot read or that does not fit the table.
QUERY_ERRORS = (
    NameError, SyntaxError, TypeError, ValueError, KeyError, AttributeError, NotImplementedError,
)  # fmt: skip


def compare(
    published: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    scale: Mapping[str, str],
    trials: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Set our values against the published ones.

    The interval of a ratio of two means is the paired one where the trials behind them are given: both come
    from common random numbers, so that much of their scatter cancels. For every other ratio, and where the
    two means have fewer than two trials in common, it adds the relative intervals of its two values in
    quadrature, as if they were independent; for values with common random numbers that is too wide.

    The verdict of a found value is that of `verdict`; it is `not run` where the table does not exist or
    holds no such row, and `not compared` where the list names no table, so that no run can answer.

    Parameters
    ----------
    published
        Values as `nonideal.published.read_published` returns them; the index is the line in the file.
    tables
        Path below the run's results, as in column `table`, to the table; those that do not exist left out.
    scale
        Scale of our run in words, see `nonideal.scales.of`.
    trials
        Path of a table of means, as in column `table`, to the rows of table ``crossbar_trials`` that the
        means were taken over.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``compare_published``, one for each row of `published`.

    Raises
    ------
    nonideal.published.PublishedError
        If a query is not readable, selects more than one row or names an unknown column, a value is not a
        number, or the trials given for a table lack one of its means.
    """
    # Indexed once: 1.5 million trials are looked up in microseconds, but searched in tenths of a second.
    indexed = {name: frame.set_index(CROSSBAR_KEY).sort_index() for name, frame in (trials or {}).items()}
    rows = []
    for line, row in zip(published.index, published.to_dict("records"), strict=True):
        name = row["table"]
        frame = tables.get(name)
        found = None if frame is None else _ours(line, row, frame, indexed.get(name))
        ran = "" if found is None else scales.of(name, scale)
        ours, low, high = (math.nan,) * 3 if found is None else found
        rows.append(
            {
                **{column: row[column] for column in COPIED},
                "ours": ours,
                "interval": (high - low) / 2 if math.isfinite(high - low) else math.nan,
                "difference": ours - row["published"],
                "verdict": _missing(row) if found is None else verdict(ours, low, high, **_bound(row)),
                "scale": ran,
                "published_scale": row["scale"],
                "same_scale": found is not None and scales.same(ran, row["scale"]),
            }
        )
    return pd.DataFrame(rows)[list(COMPARISON.columns)]


def verdict(ours: float, low: float, high: float, *, kind: str, published: float, tolerance: float) -> str:
    """Say `inside`, `outside` or, where our interval does not settle it, `undecided`.

    `inside`: our whole interval is within the tolerance of a published value, or keeps a published bound,
    which includes the bound itself. `outside`: no part of it does; also where a run looked and found nothing
    (NaN, such as the time of a crossover that did not happen).

    Parameters
    ----------
    ours, published
        Value and published value or bound, in the same unit.
    low, high
        Ends of our 95 % interval; NaN if there is none, and the value stands for both.
    kind
        One of `KINDS`.
    tolerance
        Difference from a published value that still counts as a reproduction; half of a published range; 0
        for bounds.
    """
    low, high = (ours if math.isnan(end) else end for end in (low, high))
    limit = tolerance + ROUNDING * max(abs(published), tolerance)
    lowest = -math.inf if kind == "at_most" else published - limit
    highest = math.inf if kind == "at_least" else published + limit
    if lowest <= low and high <= highest:
        return "inside"
    return "undecided" if low <= highest and high >= lowest else "outside"


def _missing(row: Mapping[str, Any]) -> str:
    """Verdict of a line without a value of ours."""
    return "not run" if row["table"] else "not compared"


def _place(row: Mapping[str, Any]) -> str:
    return f"list of published values (table {row['table']})"


def _bound(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("kind", "published", "tolerance")}


def _ours(
    line: int, row: Mapping[str, Any], frame: pd.DataFrame, trials: pd.DataFrame | None
) -> tuple[float, float, float] | None:
    """Our value and the ends of its 95 % interval, in the published unit; None if there is no such row."""
    top = _select(line, row, "where", frame)
    if top is None:
        return None
    ours, low, high = _value(line, row, top)
    if row["over"]:
        below = _select(line, row, "over", frame)
        if below is None:
            return None
        divisor = _value(line, row, below)
        if divisor[0] == 0:
            fail(_place(row), line, f"{row['value']} of query over ({row['over']}) is 0; no ratio exists")
        ours, low, high = _ratio((ours, low, high), divisor)
        if trials is not None and row["value"] == "mean":
            pair = _errors(line, row, top, trials), _errors(line, row, below, trials)
            common = pd.concat(pair, axis=1, join="inner").to_numpy()
            if len(common) > 1:
                half = paired_half(common[:, 0], common[:, 1])
                low, high = ours - half, ours + half
    factor = row["factor"]
    ends = (low, high) if factor > 0 else (high, low)
    return ours * factor, ends[0] * factor, ends[1] * factor


def paired_half(top: np.ndarray, below: np.ndarray) -> float:
    """Half the 95 % interval of the ratio of the means of two errors over the same trials (Student's t)."""
    return float(half_width(ratio_of_means(top, below)[1], len(top)))


def _ratio(top: tuple[float, float, float], below: tuple[float, float, float]) -> tuple[float, float, float]:
    """Ratio of two independent values and its interval; each is (value, low, high), `below` not 0.

    Each end lies as far away as the ends of the two values that move the ratio there, in quadrature.
    """
    (a, a_low, a_high), (b, b_low, b_high) = top, below
    # The ratio falls with a numerator that falls, or rises if the denominator is negative; and so on.
    a_down, a_up = (a_low, a_high) if b > 0 else (a_high, a_low)
    b_down, b_up = (b_high, b_low) if a > 0 else (b_low, b_high)
    below = math.hypot((a_down - a) / b, a * (b_down - b) / b**2)
    above = math.hypot((a_up - a) / b, a * (b_up - b) / b**2)
    return a / b, a / b - below, a / b + above


def _errors(line: int, row: Mapping[str, Any], found: pd.DataFrame, trials: pd.DataFrame) -> pd.Series:
    """Errors of the trials, by trial, whose mean is the row `found`."""
    key = tuple(found[name].iloc[0] for name in CROSSBAR_KEY)
    try:
        return trials.loc[key].set_index("trial")["eta"]
    except KeyError:
        wanted = ", ".join(f"{name} {value}" for name, value in zip(CROSSBAR_KEY, key, strict=True))
        fail(_place(row), line, f"no trials of {wanted} given; make means and trials in one run")


def _select(line: int, row: Mapping[str, Any], which: str, frame: pd.DataFrame) -> pd.DataFrame | None:
    """The one row that query `which` selects; None if it selects none."""
    place, query = _place(row), row[which]
    try:
        mask = frame.eval(query, engine="python", local_dict={}, global_dict={})
    except QUERY_ERRORS as error:
        fail(place, line, f"query {which} ({query}) fails: {error}; columns are {', '.join(frame.columns)}")
    if not (isinstance(mask, pd.Series) and mask.dtype == bool):
        fail(place, line, f"query {which} ({query}) must be a condition; compare with ==, not =")
    selected = frame[mask]
    if len(selected) > 1:
        fail(place, line, f"query {which} ({query}) selects {len(selected)} rows; narrow it down to one")
    return None if selected.empty else selected


def _value(line: int, row: Mapping[str, Any], found: pd.DataFrame) -> tuple[float, float, float]:
    """Value and the ends of its interval in the row `found`; NaN for ends that it does not have."""
    names = [part.strip() for part in row["interval"].split(",") if part.strip()]
    value, *ends = (_number(line, row, found, name) for name in (row["value"], *names))
    if len(ends) == 2:
        # One end missing, or any of the time of a crossover: the interval is not bounded there. Both of
        # anything else: a single seed has no interval.
        if sum(map(math.isnan, ends)) == 1 or (names == OPEN_ENDED and not math.isnan(value)):
            low, high = ends
            ends = [-math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high]
        return value, *ends
    half = ends[0] if ends else math.nan
    return value, value - half, value + half


def _number(line: int, row: Mapping[str, Any], found: pd.DataFrame, name: str) -> float:
    """Column of the row `found`, or arithmetic on its columns such as ``2 * weights / cycles``."""
    if not name.isidentifier():
        try:
            made = found.eval(name, engine="python", local_dict={}, global_dict={})
        except QUERY_ERRORS as error:
            problem = f"value ({name}) fails: {error}; columns are {', '.join(found.columns)}"
            fail(_place(row), line, problem)
        found = found.assign(**{name: made})
    elif name not in found.columns:
        problem = f"column {name!r} does not exist; columns are {', '.join(found.columns)}"
        fail(_place(row), line, problem)
    if not pd.api.types.is_numeric_dtype(found[name]):
        fail(_place(row), line, f"column {name!r} must hold numbers, it holds {found[name].dtype}")
    return float(found[name].iloc[0])
