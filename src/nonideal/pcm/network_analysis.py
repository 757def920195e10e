"""Tables drawn from chips: means and spreads, paired differences, and crossovers in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from nonideal import stats
from nonideal.pcm import crossovers
from nonideal.schemas.network_architectures import NETWORK_ARCHITECTURES

CONFIGURATION = ["mapping", "base", "n_slices"]
KEY = ["network", *CONFIGURATION, "time_s"]


def summary_table(chips: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """Mean, spread and 95 % interval over chips: rows of table ``network_summary``.

    Parameters
    ----------
    chips
        Rows of table ``network_chips``.
    references
        Rows of table ``network_references``; accuracies are also given as shares of the float network's.
    """
    parts = []
    for value, name in (("accuracy", "accuracy"), ("logit_error", "error")):
        part = stats.summarise(chips, KEY, value).rename(columns={"count": "chips"})
        part["half_width"] = stats.half_width(part["sem"], part["chips"])
        columns = ["mean", "std", "sem", "half_width"]
        parts.append(part.rename(columns={column: f"{name}_{column}" for column in columns}))
    table = parts[0].merge(parts[1], on=[*KEY, "chips"], validate="one_to_one")
    full = references.set_index("network").loc["float"]
    return table.assign(
        dataset=full["dataset"],
        kept=table["accuracy_mean"] / full["accuracy"],
        kept_half_width=table["accuracy_half_width"] / full["accuracy"],
    )


def architecture_table(
    histories: Mapping[str, pd.DataFrame], mirrored: Iterable[float], starts: Iterable[str]
) -> pd.DataFrame:
    """Last epoch of each float network: rows of table ``network_architectures``.

    Parameters
    ----------
    histories
        Rows of table ``network_history`` of each network, by its name.
    mirrored
        Accuracy of each network by the mean over an image and its mirror image, or not a number.
    starts
        Name of the network that each is continued from, or nothing.
    """
    last = [
        history.loc[[history["epoch"].idxmax()]].assign(
            name=name, start=start, mirrored_accuracy=accuracy, minutes=history["seconds"].sum() / 60
        )
        for (name, history), accuracy, start in zip(histories.items(), mirrored, starts, strict=True)
    ]
    columns = list(NETWORK_ARCHITECTURES.columns)
    return pd.concat(last, ignore_index=True).rename(columns={"epoch": "epochs"})[columns]


def difference_table(chips: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """Paired differences of configurations of the noise-aware network: rows of table ``network_differences``.

    Every two mappings at the same number of slices are compared, and every number of slices of max-fill at
    base 1 with one slice. Parameters as for `summary_table`. A ValueError if there is no such pair.
    """
    found = dict(list(_of(chips).groupby(CONFIGURATION)))
    pairs = [
        (a, b)
        for a, b in combinations(sorted(found), 2)
        if a[2] == b[2] or (a[:2] == b[:2] == ("max_fill", 1) and min(a[2], b[2]) == 1)
    ]
    if not pairs:
        raise ValueError(
            f"the noise-aware network has no two configurations to compare ({', '.join(map(str, found))}): "
            "give two mappings at one number of slices, or max-fill at base 1 with one slice and with more"
        )
    rows = []
    for a, b in pairs:
        first, second = (b, a) if a[2] < b[2] else (a, b)
        pair = found[first].merge(found[second], on=["time_s", "chip"], suffixes=("", "_other"))
        pair["accuracy_difference"] = pair["accuracy"] - pair["accuracy_other"]
        pair["error_difference"] = pair["logit_error"] - pair["logit_error_other"]
        rows.append(_differences(pair).assign(**_names("first", first), **_names("second", second)))
    return pd.concat(rows, ignore_index=True).assign(dataset=references["dataset"].iloc[0])


def _of(chips: pd.DataFrame) -> pd.DataFrame:
    return chips[chips["network"] == "noise_aware"]


def _names(which: str, configuration: tuple[str, int, int]) -> dict[str, object]:
    return {f"{which}_{name}": value for name, value in zip(CONFIGURATION, configuration, strict=True)}


def _differences(pair: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard error and half interval of the paired differences at every time."""
    parts = []
    for value in ("accuracy_difference", "error_difference"):
        part = stats.summarise(pair, ["time_s"], value).rename(columns={"count": "chips"})
        part["half_width"] = stats.half_width(part["sem"], part["chips"])
        named = {"mean": value, "sem": f"{value}_sem", "half_width": f"{value}_half_width"}
        parts.append(part.drop(columns="std").rename(columns=named))
    return parts[0].merge(parts[1], on=["time_s", "chips"])


def crossover_table(chips: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """Find when the better of two mappings changes: rows of table ``network_crossover``.

    Parameters
    ----------
    chips
        Rows of table ``network_chips``; the largest number of slices of the noise-aware network is compared.
    rng
        Generator for the bootstrap over chips.

    Returns
    -------
    pandas.DataFrame
        One row for each pair of mappings and each measure; ``first`` is the better one at first.
        The measure of accuracy is the share of images classified wrongly.
    """
    chips = _of(chips).assign(wrong=lambda frame: 1 - frame["accuracy"])
    chips = chips[chips["n_slices"] == chips["n_slices"].max()]
    rows = []
    for measure, value in (("accuracy", "wrong"), ("logit_error", "logit_error")):
        errors = {
            configuration: group.pivot(index="chip", columns="time_s", values=value)
            for configuration, group in chips.groupby(CONFIGURATION)
        }
        for first, second, row in crossovers.pairs(errors, rng=rng):
            named = {"measure": measure, **_names("first", first), **_names("second", second)}
            rows.append(named | row)
    return crossovers.table(rows)
