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
from nonideal.stats import half_width, t_quantile

REFERENCE = "4bitsym"
POOLED = "pooled"
ROUNDING = 1e-9  # relative, of a loss read off a line
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
                remedy = "raise capacity.seeds or name more capacity.widths"
                if name == POOLED:
                    remedy = f"add formats of up to {POOLED_BITS:g} bit to capacity.formats"
                raise ValueError(
                    f"group {name!r} has {len(part)} networks, a fitted slope needs three; {remedy}"
                )
            if part["weights"].nunique() < 2:
                raise ValueError(f"group {name!r} has one width only; a slope needs two in capacity.widths")
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

    The ratio of weights comes from lines of log loss over log weights, with an intercept a_f and a slope b_f
    for each format. At the loss L that the line of 4bitsym has at a width, a network of format f has
    N_f = exp((log L - a_f) / b_f) weights; the interval of log(N_f / N_ref) comes from the covariance of the
    coefficients (delta method). Slopes differ, so the ratio depends on the loss: there is one for each width.

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
        If 4bitsym is missing, or a format has fewer than three networks.
    """
    rows = []
    for dataset, frame in networks.groupby("dataset"):
        formats = sorted(set(frame["format"]))
        if REFERENCE not in formats:
            raise ValueError(f"the reference format {REFERENCE!r} is missing; add it to capacity.formats")
        pooled = fit(frame).set_index("group").loc[POOLED]
        dummies = np.column_stack([frame["format"] == name for name in formats]).astype(float)
        design = np.hstack((dummies, dummies * np.log(frame[["weights"]].to_numpy())))
        value, covariance, quantile = _least_squares(design, np.log(frame["train_loss"].to_numpy()))
        reference = formats.index(REFERENCE)
        for (name, width), alike in frame.groupby(["format", "width"]):
            # All formats of a width have as many weights.
            logarithm = math.log(alike["weights"].iloc[0])
            loss = math.exp(value[reference] + value[len(formats) + reference] * logarithm)
            ratio = _weights_ratio(value, covariance, quantile, formats.index(name), reference, logarithm)
            losses = frame.loc[frame["format"] == name, "train_loss"]
            rows.append(
                {
                    "dataset": dataset,
                    "format": name,
                    "bits": alike["bits"].iloc[0],
                    "width": width,
                    "loss": loss,
                    "extrapolated": not losses.min() * (1 - ROUNDING)
                    <= loss
                    <= losses.max() * (1 + ROUNDING),
                }
                | _with_ends("weights_ratio", *ratio)
                | _with_ends("weights_added", *(end - 1 for end in ratio))
                | _with_ends("effective_bits", *_effective_bits(alike, pooled))
                | {"points": len(losses)}
            )
    return pd.DataFrame(rows)


def _with_ends(name: str, value: float, low: float, high: float) -> dict[str, float]:
    """Value and the ends of its interval, by column."""
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _weights_ratio(
    value: np.ndarray, covariance: np.ndarray, quantile: float, place: int, reference: int, logarithm: float
) -> tuple[float, float, float]:
    """Ratio of weights at the loss that the reference has at exp(`logarithm`) weights, and its interval.

    NaN for all where the format's line does not fall: no number of weights has the loss then.
    """
    if place == reference:
        return 1.0, 1.0, 1.0
    formats = len(value) // 2
    slope = value[formats + place]
    if slope >= 0:
        return math.nan, math.nan, math.nan
    needed = (value[reference] + value[formats + reference] * logarithm - value[place]) / slope
    gradient = np.zeros(len(value))
    gradient[[reference, formats + reference]] = 1 / slope, logarithm / slope
    gradient[[place, formats + place]] = -1 / slope, -needed / slope
    half = quantile * math.sqrt(gradient @ covariance @ gradient)
    exponent = needed - logarithm
    return math.exp(exponent), math.exp(exponent - half), math.exp(exponent + half)


def _effective_bits(alike: pd.DataFrame, pooled: pd.Series) -> tuple[float, float, float]:
    """Geometric mean of the bits per weight read off the pooled line, and its interval over seeds.

    NaN for all where the line does not fall: no number of bits has the loss then.
    """
    if pooled["slope"] >= 0:
        return math.nan, math.nan, math.nan
    bits_read = (np.log(alike["train_loss"]) - np.log(pooled["prefactor"])) / pooled["slope"]
    worth = bits_read - np.log(alike["weights"])
    half = float(half_width(worth.sem(), len(worth)))
    mean = float(worth.mean())
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _least_squares(design: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients [k], their covariance [k, k], and the factor from standard error to 95 % interval."""
    value, *_ = np.linalg.lstsq(design, target, rcond=None)
    freedom = len(target) - design.shape[1]
    residual = target - design @ value
    covariance = np.linalg.inv(design.T @ design) * (residual @ residual / freedom)
    return value, covariance, float(t_quantile(freedom))
