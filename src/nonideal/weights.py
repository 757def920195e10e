"""What trained weights look like: how evenly their codes are used, and the first layer as images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch

from nonideal import codes, recipe, stats
from nonideal.layers import quant_layers


def entropies(usage: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Entropy and spread of the codes of every layer at every epoch, and their means over seeds.

    Parameters
    ----------
    usage
        Rows of table ``code_usage``.

    Returns
    -------
    entropy, summary : pandas.DataFrame
        Rows of tables ``code_entropy`` and ``entropy_summary``.
    """
    keys = ["dataset", "format", "bits", "epoch", "layer"]
    entropy = codes.statistics(usage, [*keys, "method", "seed"])
    columns = []
    for value in ("entropy", "deviation"):
        mean = stats.summarise(entropy, keys, value).set_index(keys)
        low, high = stats.interval(mean["mean"], mean["sem"], mean["count"])
        columns.append(pd.DataFrame({value: mean["mean"], f"{value}_low": low, f"{value}_high": high}))
    return entropy, pd.concat([*columns, mean["count"].rename("seeds")], axis=1).reset_index()


def first_layers(
    config: Mapping[str, Any],
    weight_format: str,
    networks: Mapping[int, Mapping[str, torch.Tensor]],
    neurons: int,
) -> pd.DataFrame:
    """Weights of the first hidden neurons of the first repetition, as images.

    Parameters
    ----------
    config
        Section ``training`` of the configuration.
    weight_format
        Name of a format.
    networks
        States by repetition, from `load_networks`.
    neurons
        How many neurons.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``first_layer``.
    """
    layer = quant_layers(recipe.restore(config, weight_format, networks[0]))[0]
    levels = layer.integer_weight()[:neurons].long()
    neuron, pixel = torch.meshgrid(*(torch.arange(n) for n in levels.shape), indexing="ij")
    return pd.DataFrame(
        {
            "dataset": config["dataset"],
            "format": weight_format,
            "neuron": neuron.flatten().numpy() + 1,
            "row": pixel.flatten().numpy() // recipe.PIXELS,
            "column": pixel.flatten().numpy() % recipe.PIXELS,
            "level": levels.flatten().numpy(),
            "relative": levels.flatten().double().numpy() / layer.format.largest,
        }
    )
