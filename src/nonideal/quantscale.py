"""How coarse the weights' grid should be: a scan of the scale, beside methods that choose it.

`quantscale` is the weights' standard deviation relative to the grid's largest level: large values clip the
tail and use all levels, small ones keep the tail and leave the outer levels empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import torch

from nonideal import codes, recipe, stats
from nonideal.quantize.formats import get_format

SIGNIFICANCE = 1 - stats.CONFIDENCE


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

    An entropy suffices if the accuracies of its networks are not shown to differ from those of the best
    setting at the 5 % level (Welch's t test, two-sided): few seeds show little. With one seed nothing can be
    tested and the best alone suffices.

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
        for name, column in (("accuracy", "test_accuracy"), ("train_loss", "train_loss")):
            row |= _interval(name, part[column])
        row["accuracy_low"] = max(row["accuracy_low"], 0.0)
        row["accuracy_high"] = min(row["accuracy_high"], 1.0)
        row |= _interval("entropy", part["entropy"])
        row["size"] = row["entropy"] / get_format(row["format"]).bits
        rows.append(row | {"seeds": len(part)})
        samples.append(part["test_accuracy"])
    result = pd.DataFrame(rows)
    best = samples[result["accuracy"].to_numpy().argmax()]
    as_good = pd.Series([_alike(sample, best) for sample in samples])
    result["suffices"] = result.index == result.loc[as_good, "entropy"].idxmin()
    return result[[*result.columns.drop("seeds"), "seeds"]]


def _interval(name: str, values: pd.Series) -> dict[str, float]:
    """Mean and the ends of its interval; NaN ends for a single value."""
    low, high = map(float, stats.interval(values.mean(), values.sem(), len(values)))
    return {name: values.mean(), f"{name}_low": low, f"{name}_high": high}


def _alike(sample: pd.Series, best: pd.Series) -> bool:
    if sample is best:
        return True
    if min(len(sample), len(best)) < 2 or sample.std() + best.std() == 0:
        return bool(sample.mean() == best.mean())
    from scipy.stats import ttest_ind  # here: it takes half a second to import

    return bool(ttest_ind(sample, best, equal_var=False).pvalue > SIGNIFICANCE)
