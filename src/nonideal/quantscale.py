"""How coarse the weights' grid should be: a scan of the scale, beside methods that choose it.

`quantscale` is the weights' standard deviation relative to the grid's largest level: large values clip the
tail and use all levels, small ones keep the tail and leave the outer levels empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from nonideal import codes, recipe, stats
from nonideal.quantize.formats import get_format


def variants(training: Mapping[str, Any], scan: Mapping[str, Any]) -> list[recipe.Variant]:
    """A network at every value of quantscale and with every other clipping, for `recipe.train_variants`.

    Parameters
    ----------
    training, scan
        Sections ``training`` and ``quantscale`` of the configuration; what `scan` does not name is as in
        `training`.
    """
    name = scan["format"]
    settings = [("proportional", value) for value in scan["values"]]
    settings += [(clipping, math.nan) for clipping in scan["references"]]
    return [
        recipe.Variant(
            name=f"{clipping}-{value}",
            config=recipe.variant(training, scan, clipping={name: clipping}, seeds=scan["seeds"]),
            weight_format=name,
            labels={"clipping": clipping, "quantscale": value},
            quantscale=None if math.isnan(value) else value,
        )
        for clipping, value in settings
    ]


def measured(trained: Iterable[tuple[torch.nn.Module, dict[str, Any]]]) -> pd.DataFrame:
    """Rows of table ``quantscale`` of trained networks and what is known of them."""
    return pd.DataFrame([row | {"entropy": codes.mean_entropy(model)} for model, row in trained])


def summarise(networks: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, and the lowest entropy that suffices for the best accuracy.

    An entropy suffices if its mean accuracy is not shown to differ from that of the best setting at the 5 %
    level (t test, two-sided, paired by seeds with their scatter pooled over settings): few seeds show little.
    With one seed nothing can be tested and the best alone suffices.

    Parameters
    ----------
    networks
        Rows of table ``quantscale``.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``quantscale_summary``.
    """
    keys = ["dataset", "format", "clipping", "quantscale"]
    rows, samples = [], []
    for key, part in networks.groupby(keys, dropna=False, sort=True):
        row = dict(zip(keys, key, strict=True))
        for name, column in (
            ("accuracy", "test_accuracy"),
            ("train_loss", "train_loss"),
            ("entropy", "entropy"),
        ):
            low, high = stats.ends(part[column], share=name == "accuracy")
            row |= {name: part[column].mean(), f"{name}_low": low, f"{name}_high": high}
        row["size"] = row["entropy"] / get_format(row["format"]).bits
        rows.append(row | {"seeds": len(part)})
        samples.append(part.sort_values("seed")["test_accuracy"].to_numpy())
    result = pd.DataFrame(rows)
    as_good = _as_good(np.array(samples))
    result["suffices"] = result.index == result.loc[as_good, "entropy"].idxmin()
    return result[[*result.columns.drop("seeds"), "seeds"]]


def _as_good(accuracies: np.ndarray) -> np.ndarray:
    """Which settings [k] are not shown to be worse than the best, from their accuracies [k, n] by seed.

    The scatter is what is left of accuracies without the means of settings and seeds, pooled over all of them
    (two-way analysis of variance): that of one setting's few seeds would be too uncertain.
    """
    count, seeds = accuracies.shape
    of_settings = accuracies.mean(axis=1, keepdims=True)
    behind = (of_settings.max() - of_settings)[:, 0]
    freedom = (count - 1) * (seeds - 1)
    if freedom < 1:
        return behind == 0
    rest = accuracies - of_settings - accuracies.mean(axis=0) + accuracies.mean()
    error = math.sqrt(2 / seeds * (rest**2).sum() / freedom)
    return behind <= stats.t_quantile(freedom) * error
