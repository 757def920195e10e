"""Accuracy against bits per weight: one network trained at every weight format, and quantised afterwards.

The network, its initial weights, its batches and their augmentation are the same for every format of a
repetition, so that differences between formats are paired.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
import torch

from nonideal import codes, recipe, tensorfile, training
from nonideal.quantize.formats import get_format
from nonideal.quantize.post_training import post_training_quantise
from nonideal.training.checkpoint import folder_of

FLOAT_BITS = 32.0  # bits a weight occupies in single precision


class Trained(NamedTuple):
    """States of the networks by repetition, and rows of the tables of a format.

    The tables are ``training_history``, ``code_usage`` (no rows for ``float``) and ``accuracy``.
    """

    networks: dict[int, dict[str, torch.Tensor]]
    history: pd.DataFrame
    usage: pd.DataFrame
    accuracy: pd.DataFrame


def train_format(
    config: Mapping[str, Any],
    weight_format: str,
    data: str | os.PathLike[str],
    *,
    seed: int,
    progress: str | os.PathLike[str],
    fingerprint: str,
) -> Trained:
    """Train every repetition of one weight format.

    Parameters
    ----------
    config
        Section ``training`` of the configuration.
    weight_format
        Name of a format, or ``float``.
    data
        Folder of a prepared data set.
    seed, progress, fingerprint
        As `nonideal.recipe.train_variants`.

    Returns
    -------
    Trained
        Networks and tables.
    """
    examples, classes = recipe.tensors(data, fine=config["augment_fine"])
    folder = folder_of(progress, fingerprint)
    is_float = weight_format == "float"
    networks, histories, usages, results = {}, [], [], []
    for repetition in range(config["seeds"]):
        print(f"{weight_format}: repetition {repetition + 1} of {config['seeds']}", flush=True)
        model, history = recipe.train_network(
            config,
            weight_format,
            examples,
            classes,
            seed=seed,
            repetition=repetition,
            checkpoint=folder / f"seed-{repetition}.pt",
            hooks=() if is_float else [codes.CodeUsage()],
        )
        names = labels(config["dataset"], weight_format, "float" if is_float else "qat", repetition)
        history, usage = codes.split(history)
        histories.append(history.drop(columns="seconds").assign(**names))
        usages.append(usage.assign(**names))
        results.append(names | _result(model, examples))
        networks[repetition] = tensorfile.state_of(model)
    tables = (pd.concat(parts, ignore_index=True) for parts in (histories, usages))
    return Trained(networks, *tables, pd.DataFrame(results))


def quantise_after_training(
    config: Mapping[str, Any],
    networks: Mapping[int, Mapping[str, torch.Tensor]],
    data: str | os.PathLike[str],
) -> pd.DataFrame:
    """Accuracy of the float networks with their weights put on each format's grid.

    Parameters
    ----------
    config
        Section ``training`` of the configuration.
    networks
        States of the float networks by repetition, from `nonideal.tensorfile.load_networks`.
    data
        Folder of a prepared data set.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``accuracy``.
    """
    examples, _ = recipe.tensors(data)
    results = []
    for repetition, state in networks.items():
        model = recipe.restore(config, "float", state)
        for weight_format in config["formats"]:
            quantised = post_training_quantise(model, weight_format, per_channel=config["per_channel"])
            names = labels(config["dataset"], weight_format, "ptq", repetition)
            results.append(names | _result(quantised, examples))
    return pd.DataFrame(results)


def labels(dataset: str, weight_format: str, method: str, repetition: int) -> dict[str, Any]:
    """Columns that name a trained network."""
    bits = FLOAT_BITS if weight_format == "float" else get_format(weight_format).bits
    return {
        "dataset": dataset,
        "method": method,
        "format": weight_format,
        "bits": float(bits),
        "seed": repetition,
    }


def _result(model: torch.nn.Module, examples: training.Tensors) -> dict[str, Any]:
    device = next(model.parameters()).device
    result = training.evaluate(model, examples.test_images.to(device), examples.test_labels.to(device))
    return {
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
        "weights": recipe.count_weights(model),
    }
