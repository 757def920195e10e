"""Means over seeds, and paired differences, of studies of regularised training."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from nonideal import stats
from nonideal.schemas.regularised import FAULT_SUMMARY, PCM_SUMMARY, QAT_SUMMARY, VARIABILITY_SUMMARY

PERCENT = 100.0
FULL_PRECISION = 32  # bits


def difference(first: pd.Series, second: pd.Series) -> tuple[float, float, float, int]:
    """Mean of first - second over the seeds both have, ends of its 95 % interval, and number of seeds.

    Parameters
    ----------
    first, second
        Accuracies as shares, indexed by seed.

    Returns
    -------
    tuple
        Mean, low and high in percentage points (NaN ends below two seeds), count.
    """
    points = PERCENT * (first - second).dropna()
    low, high = stats.ends(points)
    return float(points.mean()), low, high, len(points)


def summary(networks: pd.DataFrame, floats: pd.DataFrame, keys: Iterable[str]) -> pd.DataFrame:
    """Rows of a summary table: mean and interval over seeds, and change against full precision.

    Parameters
    ----------
    networks
        One row per network, with the columns `keys`, ``seed`` and ``test_accuracy``.
    floats
        Rows of the full-precision networks.
    keys
        Columns that name a condition.
    """
    keys = list(keys)
    reference = floats.set_index("seed")["test_accuracy"]
    means = stats.summarise(networks, keys, "test_accuracy").rename(columns={"count": "seeds"})
    means["low"], means["high"] = stats.interval(means["mean"], means["sem"], means["seeds"], share=True)
    changes = {
        name: difference(rows.set_index("seed")["test_accuracy"], reference)[:3]
        for name, rows in networks.groupby(keys, sort=True)
    }
    found = pd.DataFrame(
        changes.values(),
        columns=["change", "change_low", "change_high"],
        index=pd.MultiIndex.from_tuples(changes, names=keys),
    )
    return means.drop(columns=["std", "sem"]).merge(found.reset_index(), on=keys)


def qat_summary(networks: pd.DataFrame) -> pd.DataFrame:
    """Rows of table ``regularised_qat_summary``."""
    return summary(networks, networks[networks["method"] == "float"], QAT_SUMMARY.unique)


def fault_summary(networks: pd.DataFrame, floats: pd.DataFrame) -> pd.DataFrame:
    """Rows of table ``regularised_faults_summary``."""
    return summary(networks, floats, FAULT_SUMMARY.unique)


def variability_summary(networks: pd.DataFrame, floats: pd.DataFrame) -> pd.DataFrame:
    """Rows of table ``regularised_variability_summary``."""
    return summary(networks, floats, VARIABILITY_SUMMARY.unique)


def pcm_summary(runs: pd.DataFrame, floats: pd.DataFrame) -> pd.DataFrame:
    """Rows of table ``regularised_pcm_summary``.

    Parameters
    ----------
    runs
        Rows of table ``regularised_pcm``.
    floats
        Rows of the full-precision networks in table ``regularised_qat``.
    """
    keys = list(PCM_SUMMARY.unique)
    frame = summary(runs, floats, keys)
    others = [key for key in keys if key != "levels"]
    accuracy = {name: part.set_index("seed")["test_accuracy"] for name, part in runs.groupby(keys)}
    gains = []
    for row in frame.to_dict("records"):
        own, fixed = (
            accuracy[tuple(levels if key == "levels" else row[key] for key in keys)]
            for levels in (row["levels"], "fixed")
        )
        gains.append(difference(own, fixed)[:3])
    frame[["over_fixed", "over_fixed_low", "over_fixed_high"]] = gains
    return frame.sort_values([*others, "levels"], ignore_index=True)
