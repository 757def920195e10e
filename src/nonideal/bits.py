"""Accuracy against bits per weight: one network trained at every weight format, and quantised afterwards.

The network, its initial weights, its batches and their augmentation are the same for every format of a
repetition, so that differences between formats are paired.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from nonideal import augment, rng, training
from nonideal.data import load
from nonideal.files import atomic
from nonideal.layers import quant_layers
from nonideal.models.fc import fc
from nonideal.quantize.formats import get_format
from nonideal.quantize.post_training import post_training_quantise

PIXELS = 16  # height and width of the network's input, BitNetMCU
FLOAT_BITS = 32.0  # bits a weight occupies in single precision
PUBLISHED_MOMENTS = {"mnist": ([augment.MNIST_MEAN], [augment.MNIST_STD])}  # as BitNetMCU


def tensors(folder: str | os.PathLike[str]) -> tuple[training.Tensors, int]:
    """Prepared data set as tensors of 16 x 16 images, and its number of classes.

    Parameters
    ----------
    folder
        Folder of a prepared data set, or the array file in it.
    """
    dataset = load(folder)
    mean, std = PUBLISHED_MOMENTS.get(dataset.name, (None, None))
    return training.prepare(dataset, size=PIXELS, mean=mean, std=std), len(dataset.class_names)


def settings_of(config: Mapping[str, Any]) -> training.Settings:
    """Settings of the training loop from the keys of the configuration's section ``training``."""
    return training.Settings(
        epochs=config["epochs"],
        batch_size=config["batch_size"],
        optimiser=config["optimiser"],
        lr=config["learning_rate"],
        schedule=config["schedule"],
        augmented_copies=config["augmented_copies"],
        threads=config["threads"],
    )


def network(config: Mapping[str, Any], weight_format: str, classes: int, *, seed: int) -> torch.nn.Module:
    """Untrained network of a repetition; the initial weights do not depend on the format."""
    return fc(
        generator=rng.torch_stream(seed, "init"),
        input_pixels=PIXELS**2,
        widths=tuple(config["widths"]),
        classes=classes,
        weight_format=weight_format,
        activation_bits=None if weight_format == "float" else 8,
    )


def train_format(
    config: Mapping[str, Any],
    weight_format: str,
    data: str | os.PathLike[str],
    *,
    seed: int,
    progress: str | os.PathLike[str],
    fingerprint: str,
) -> tuple[dict[int, dict[str, torch.Tensor]], pd.DataFrame, pd.DataFrame]:
    """Train every repetition of one weight format.

    Parameters
    ----------
    config
        Section ``training`` of the configuration.
    weight_format
        Name of a format, or ``float``.
    data
        Folder of a prepared data set.
    seed
        Seed of the run.
    progress
        Folder for checkpoints; an interrupted call resumes from them, bit for bit.
    fingerprint
        What the checkpoints depend on (code, settings, seed, data); others are discarded.

    Returns
    -------
    networks : dict
        State of each repetition's trained network.
    history : pandas.DataFrame
        Rows of table ``training_history``.
    accuracy : pandas.DataFrame
        Rows of table ``accuracy``.
    """
    examples, classes = tensors(data)
    folder = _checkpoints(Path(progress), fingerprint)
    networks, histories, results = {}, [], []
    for repetition in range(config["seeds"]):
        child = rng.child_seed(seed, "training", repetition)
        model = network(config, weight_format, classes, seed=child)
        print(f"{weight_format}: repetition {repetition + 1} of {config['seeds']}", flush=True)
        history = training.train(
            model, examples, settings_of(config), seed=child, checkpoint=folder / f"seed-{repetition}.pt"
        )
        names = labels(
            config["dataset"], weight_format, "float" if weight_format == "float" else "qat", repetition
        )
        histories.append(
            history.rename(columns={"lr": "learning_rate"}).drop(columns="seconds").assign(**names)
        )
        results.append(names | _result(model, examples))
        networks[repetition] = {key: value.cpu() for key, value in model.state_dict().items()}
    return networks, pd.concat(histories, ignore_index=True), pd.DataFrame(results)


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
        States of the float networks by repetition, from `load_networks`.
    data
        Folder of a prepared data set.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``accuracy``.
    """
    examples, classes = tensors(data)
    results = []
    for repetition, state in networks.items():
        model = network(config, "float", classes, seed=0)
        model.load_state_dict(state)
        for weight_format in config["formats"]:
            quantised = post_training_quantise(model, weight_format)
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


def save_networks(networks: Mapping[int, Mapping[str, torch.Tensor]], path: str | os.PathLike[str]) -> None:
    """Write the states of all repetitions into one file."""
    with atomic(path) as temporary:
        torch.save(dict(networks), temporary)


def load_networks(path: str | os.PathLike[str]) -> dict[int, dict[str, torch.Tensor]]:
    """Read what `save_networks` wrote; no code in the file is executed."""
    return torch.load(path, map_location="cpu", weights_only=True)


def _result(model: torch.nn.Module, examples: training.Tensors) -> dict[str, Any]:
    device = next(model.parameters()).device
    result = training.evaluate(model, examples.test_images.to(device), examples.test_labels.to(device))
    weights = sum(layer.weight.numel() for layer in quant_layers(model))
    return {"test_loss": result.loss, "test_accuracy": result.accuracy, "weights": weights}


def _checkpoints(progress: Path, fingerprint: str) -> Path:
    """Folder of the checkpoints of this code; those of other code are removed."""
    folder = progress / fingerprint[:16]
    if progress.is_dir():
        for other in progress.iterdir():
            if other != folder:
                print(f"discarding {other}: made by other code, settings, seed or data", flush=True)
                shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
