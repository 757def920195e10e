"""How much a network of a given number of bits can learn: training loss against total weight bits.

Networks of several widths are trained at several weight formats. If each bit carries the same information
wherever it is spent, the losses of all formats lie on one power law of the total number of bits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from nonideal import recipe
from nonideal.quantize.formats import get_format
from nonideal.stats import t_quantile

REFERENCE = "4bitsym"
POOLED = "pooled"
POOLED_BITS = 4.0  # BitNetMCU: formats of up to 4 bit lie on one line


def variants(training: Mapping[str, Any], capacity: Mapping[str, Any]) -> list[recipe.Variant]:
    """Networks of every width at every weight format, to be trained by `nonideal.recipe.train_variants`.

    Parameters
    ----------
    training, capacity
        Sections of the configuration; what `capacity` does not name is as in `training`.
    """
    depth = len(training["widths"])
    return [
        recipe.Variant(
            name=f"{name}-width-{width}",
            config=recipe.variant(training, capacity, widths=[width] * depth, seeds=capacity["seeds"]),
            weight_format=name,
            labels={"bits": get_format(name).bits, "width": width},
        )
        for name, width in itertools.product(capacity["formats"], capacity["widths"])
    ]


def measured(trained: Iterable[tuple[torch.nn.Module, dict[str, Any]]]) -> pd.DataFrame:
    """Rows of table ``capacity`` of trained networks and what is known of them."""
    rows = []
    for model, row in trained:
        weights = recipe.count_weights(model)
        rows.append(row | {"weights": weights, "total_bits": weights * row["bits"]})
    return pd.DataFrame(rows)


def fit(networks: pd.DataFrame) -> pd.DataFrame:
    """Power law of the training loss over total bits, for each format and for all of up to 4 bit together.

    Parameters
    ----------
    networks
        Rows of table ``capacity``.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``capacity_fit``.

    Raises
    ------
    ValueError
        If a format has fewer than three networks: two points leave nothing to judge a line by.
    """
    rows = []
    for dataset, frame in networks.groupby("dataset"):
        groups = {str(name): part for name, part in frame.groupby("format")}
        groups[POOLED] = frame[frame["bits"] <= POOLED_BITS]
        for name, part in groups.items():
            if len(part) < 3:
                raise ValueError(
                    f"group {name!r} has {len(part)} networks, a fitted slope needs three; "
                    f"raise capacity.seeds or name more capacity.widths"
                )
            design = np.column_stack((np.ones(len(part)), np.log(part["total_bits"])))
            value, covariance, quantile = _least_squares(design, np.log(part["train_loss"].to_numpy()))
            half = quantile * np.sqrt(covariance[1, 1])
            rows.append(
                {
                    "dataset": dataset,
                    "group": name,
                    "slope": value[1],
                    "low": value[1] - half,
                    "high": value[1] + half,
                    "prefactor": np.exp(value[0]),
                    "points": len(part),
                }
            )
    return pd.DataFrame(rows)


def equal_loss(networks: pd.DataFrame) -> pd.DataFrame:
    """What a weight of each format is worth: in weights of 4bitsym, and in bits on the pooled line.

    The ratio of weights comes from lines of log loss over log weights with one slope b for all formats and
    an intercept a_f for each: N_f / N_ref = exp((a_ref - a_f) / b), its interval from the covariance of the
    coefficients (delta method).

    Parameters
    ----------
    networks
        Rows of table ``capacity``; the format 4bitsym among them.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``capacity_equal_loss``.

    Raises
    ------
    ValueError
        If 4bitsym is missing.
    """
    rows = []
    for dataset, frame in networks.groupby("dataset"):
        formats = sorted(set(frame["format"]))
        if REFERENCE not in formats:
            raise ValueError(f"the reference format {REFERENCE!r} is missing; add it to capacity.formats")
        dummies = np.column_stack([frame["format"] == name for name in formats]).astype(float)
        design = np.column_stack((dummies, np.log(frame["weights"])))
        value, covariance, quantile = _least_squares(design, np.log(frame["train_loss"].to_numpy()))
        pooled = fit(frame).set_index("group").loc[POOLED]
        for place, name in enumerate(formats):
            part = frame[frame["format"] == name]
            ratio, half = _weights_ratio(value, covariance, place, formats.index(REFERENCE))
            worth, worth_half = _effective_bits(part, pooled)
            rows.append(
                {
                    "dataset": dataset,
                    "format": name,
                    "bits": part["bits"].iloc[0],
                    "points": len(part),
                }
                | _with_ends("weights_ratio", ratio, quantile * half)
                | _with_ends("weights_added", ratio - 1, quantile * half)
                | _with_ends("effective_bits", worth, worth_half)
            )
    return pd.DataFrame(rows)


def _with_ends(name: str, value: float, half: float) -> dict[str, float]:
    """Value and the ends of its interval, by column."""
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def _weights_ratio(
    value: np.ndarray, covariance: np.ndarray, place: int, reference: int
) -> tuple[float, float]:
    """Ratio of weights at equal loss and its standard error."""
    if place == reference:
        return 1.0, 0.0
    slope = value[-1]
    exponent = (value[reference] - value[place]) / slope
    gradient = np.zeros(len(value))
    gradient[reference], gradient[place], gradient[-1] = 1 / slope, -1 / slope, -exponent / slope
    ratio = float(np.exp(exponent))
    return ratio, ratio * float(np.sqrt(gradient @ covariance @ gradient))


def _effective_bits(part: pd.DataFrame, pooled: pd.Series) -> tuple[float, float]:
    """Geometric mean of the bits per weight read off the pooled line, and half its interval.

    NaN for both where the line does not fall: no number of bits has the loss then.
    """
    if pooled["slope"] >= 0:
        return math.nan, math.nan
    bits_read = (np.log(part["train_loss"]) - np.log(pooled["prefactor"])) / pooled["slope"]
    worth = bits_read - np.log(part["weights"])
    quantile = t_quantile(len(part) - 1)
    mean = float(np.exp(worth.mean()))
    return mean, mean * float(quantile * worth.sem())


def _least_squares(design: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients [k], their covariance [k, k], and the factor from standard error to 95 % interval."""
    value, *_ = np.linalg.lstsq(design, target, rcond=None)
    freedom = len(target) - design.shape[1]
    residual = target - design @ value
    covariance = np.linalg.inv(design.T @ design) * (residual @ residual / freedom)
    return value, covariance, float(t_quantile(freedom))
