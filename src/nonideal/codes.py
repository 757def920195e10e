"""How often each level of a weight format is used, layer by layer, while a network trains.

A layer's entropy is what an ideal entropy coder would store its weights in, per weight. It is largest, log2
of the number of levels, when all levels are used alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from nonideal.layers import quant_layers
from nonideal.training import Hook

_PREFIX = "codes"  # of the columns that travel in the history: codes/layer/level


class CodeUsage(Hook):
    """Record after every epoch the share of each layer's weights on each level.

    The shares travel as columns of the training history, and with it through checkpoints; `split` takes them
    out again. Layers without a weight format are left out.
    """

    def after_epoch(self, model: nn.Module, epoch: int) -> dict[str, float]:
        """Shares of the levels in use, by ``codes/layer/level``; layers count from 1."""
        shares = {}
        for k, layer in enumerate(quant_layers(model), 1):
            if layer.format is not None:
                levels, counts = torch.unique(layer.integer_weight(), return_counts=True)
                for level, count in zip(levels.tolist(), counts.tolist(), strict=True):
                    shares[f"{_PREFIX}/{k}/{level}"] = count / layer.weight.numel()
        return shares


def split(history: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Separate the training history from the shares that `CodeUsage` added.

    Parameters
    ----------
    history
        Frame of `nonideal.training.train` with a column ``epoch``.

    Returns
    -------
    history, usage : pandas.DataFrame
        The history without the shares, and columns epoch, layer, code (level in integer units) and share;
        levels that no weight has are left out.
    """
    names = [name for name in history.columns if name.startswith(f"{_PREFIX}/")]
    long = history.melt(id_vars="epoch", value_vars=names, var_name="name", value_name="share").dropna()
    parts = long["name"].str.split("/", expand=True).reindex(columns=range(3))
    usage = pd.DataFrame(
        {
            "epoch": long["epoch"].astype("int64"),
            "layer": parts[1].astype("int64"),
            "code": parts[2].astype("int64"),
            "share": long["share"].astype("float64"),
        }
    )
    return history.drop(columns=names), usage.sort_values(["epoch", "layer", "code"], ignore_index=True)


def statistics(usage: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Entropy and standard deviation of the levels.

    Parameters
    ----------
    usage
        Columns code and share, and those of `by`.
    by
        Columns that name a layer of a network at an epoch.

    Returns
    -------
    pandas.DataFrame
        Columns of `by`, entropy (bit) and deviation (integer units), one row per group.
    """
    share, code = usage["share"], usage["code"].astype("float64")
    terms = usage[list(by)].assign(entropy=-share * np.log2(share), mean=share * code, square=share * code**2)
    result = terms.groupby(list(by), sort=True)[["entropy", "mean", "square"]].sum().reset_index()
    # A single level gives -1 * log2(1) = -0.0, and rounding may leave a variance just below zero.
    result["entropy"] = result["entropy"].abs()
    result["deviation"] = np.sqrt((result["square"] - result["mean"] ** 2).clip(lower=0))
    return result.drop(columns=["mean", "square"])


def mean_entropy(model: nn.Module) -> float:
    """Entropy of the codes of a network in bit per weight, the mean over all its weights.

    Raises
    ------
    ValueError
        If no layer has a weight format.
    """
    layers = [layer for layer in quant_layers(model) if layer.format is not None]
    if not layers:
        raise ValueError("no layer has a weight format, so there are no codes; quantise the network first")
    total = 0.0
    for layer in layers:
        _, counts = torch.unique(layer.integer_weight(), return_counts=True)
        share = counts.double() / layer.weight.numel()
        total -= float((share * share.log2()).sum()) * layer.weight.numel()
    return abs(total) / sum(layer.weight.numel() for layer in layers)
