"""Accuracy against bits per weight: one network trained at every weight format, and quantised afterwards.

The network, its initial weights, its batches and their augmentation are the same for every format of a
repetition, so that differences between formats are paired.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
import torch

from nonideal import codes, preprocessing, pruning, rng, tensorfile, training
from nonideal.data import load
from nonideal.layers import quant_layers
from nonideal.models.fc import fc
from nonideal.quantize.formats import get_format
from nonideal.quantize.post_training import post_training_quantise
from nonideal.training.checkpoint import folder_of

PIXELS = 16  # height and width of the network's input, BitNetMCU
FLOAT_BITS = 32.0  # bits a weight occupies in single precision
PUBLISHED_MOMENTS = {"mnist": ([preprocessing.MNIST_MEAN], [preprocessing.MNIST_STD])}  # as BitNetMCU


class Trained(NamedTuple):
    """States of the networks by repetition, and rows of the tables of a format.

    The tables are ``training_history``, ``code_usage`` (no rows for ``float``) and ``accuracy``.
    """

    networks: dict[int, dict[str, torch.Tensor]]
    history: pd.DataFrame
    usage: pd.DataFrame
    accuracy: pd.DataFrame


def tensors(folder: str | os.PathLike[str], *, fine: bool = False) -> tuple[training.Tensors, int]:
    """Prepared data set as tensors of 16 x 16 images, and its number of classes.

    Parameters
    ----------
    folder
        Folder of a prepared data set, or the array file in it.
    fine
        Keep the training images in their own resolution too, for the augmentation to start from.
    """
    dataset = load(folder)
    mean, std = PUBLISHED_MOMENTS.get(dataset.name, (None, None))
    examples = training.prepare(dataset, size=PIXELS, mean=mean, std=std, fine=fine)
    return examples, len(dataset.class_names)


def settings_of(config: Mapping[str, Any]) -> training.Settings:
    """Settings of the training loop from the keys of the configuration's section ``training``."""
    return training.Settings(
        epochs=config["epochs"],
        batch_size=config["batch_size"],
        optimiser=config["optimiser"],
        lr=config["learning_rate"],
        schedule=config["schedule"],
        milestones=config["milestones"],
        step_epochs=config["step_epochs"],
        weight_decay=config["weight_decay"],
        label_smoothing=config["label_smoothing"],
        augmented_copies=config["augmented_copies"],
        degrees=config["degrees"],
        translate=config["translate"],
        scale_range=config["scale_range"],
        shear=config["shear"],
        freeze_scale=config["freeze_scale"],
        threads=config["threads"],
        device=config["device"],
    )


def variant(training: Mapping[str, Any], study: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Section ``training`` with what a study's section says otherwise, and `changes` on top."""
    return {**training, **{key: value for key, value in study.items() if key in training}, **changes}


def network(
    config: Mapping[str, Any],
    weight_format: str,
    classes: int,
    *,
    seed: int,
    quantscale: float | None = None,
    widths: Sequence[int] | None = None,
) -> torch.nn.Module:
    """Untrained network of a repetition; the initial weights do not depend on the format.

    Parameters
    ----------
    config
        Section ``training`` of the configuration.
    weight_format
        Name of a format, or ``float``.
    classes
        Outputs of the last layer.
    seed
        Names the stream of the initial weights.
    quantscale
        For the clipping ``proportional``; None takes the format's default.
    widths
        Of the hidden layers; those of `config` if None.
    """
    is_float = weight_format == "float"
    return fc(
        generator=rng.torch_stream(seed, "init"),
        input_pixels=PIXELS**2,
        widths=tuple(config["widths"] if widths is None else widths),
        classes=classes,
        weight_format=weight_format,
        activation_bits=None if is_float else 8,
        clipping=None if is_float else config["clipping"].get(weight_format),
        quantscale=quantscale,
        per_channel=not is_float and config["per_channel"],
    )


def restore(
    config: Mapping[str, Any], weight_format: str, state: Mapping[str, torch.Tensor]
) -> torch.nn.Module:
    """Trained network from its state; pruned ones have the widths that were left of them."""
    matrices = [value for key, value in state.items() if key.endswith(".weight")]
    widths = [len(matrix) for matrix in matrices]
    model = network(config, weight_format, widths[-1], seed=0, widths=widths[:-1])
    model.load_state_dict(state)
    return model.eval()


def train_network(
    config: Mapping[str, Any],
    weight_format: str,
    examples: training.Tensors,
    classes: int,
    *,
    seed: int,
    repetition: int,
    checkpoint: str | os.PathLike[str],
    quantscale: float | None = None,
    hooks: Sequence[training.Hook] = (),
) -> tuple[torch.nn.Module, pd.DataFrame]:
    """Train one network.

    Parameters
    ----------
    config
        Section ``training`` of the configuration.
    weight_format, classes, quantscale
        As `network`.
    examples
        Data set.
    seed, repetition
        Seed of the run and index of the repetition; together they name all random streams.
    checkpoint
        File to resume from.
    hooks
        Called by the training loop.

    Returns
    -------
    model : torch.nn.Module
        Trained network, without the neurons that were pruned.
    history : pandas.DataFrame
        As `nonideal.training.train`; of the network before it shrank.
    """
    child = rng.child_seed(seed, "training", repetition)
    model = network(config, weight_format, classes, seed=child, quantscale=quantscale)
    if config["prune_share"]:
        epoch = round(config["prune_at"] * config["epochs"])
        hooks = [pruning.PruneUnits(model, config["prune_share"], epoch), *hooks]
    history = training.train(
        model, examples, settings_of(config), seed=child, checkpoint=checkpoint, hooks=hooks
    )
    return pruning.shrink(model) if config["prune_share"] else model, history


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
    seed
        Seed of the run.
    progress
        Folder for checkpoints; an interrupted call resumes from them, bit for bit.
    fingerprint
        What the checkpoints depend on (code, settings, seed, data); others are discarded.

    Returns
    -------
    Trained
        Networks and tables.
    """
    examples, classes = tensors(data, fine=config["augment_fine"])
    folder = folder_of(progress, fingerprint)
    is_float = weight_format == "float"
    networks, histories, usages, results = {}, [], [], []
    for repetition in range(config["seeds"]):
        print(f"{weight_format}: repetition {repetition + 1} of {config['seeds']}", flush=True)
        model, history = train_network(
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
        histories.append(
            history.rename(columns={"lr": "learning_rate"}).drop(columns="seconds").assign(**names)
        )
        usages.append(usage.assign(**names))
        results.append(names | _result(model, examples))
        networks[repetition] = {key: value.cpu() for key, value in model.state_dict().items()}
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
        States of the float networks by repetition, from `load_networks`.
    data
        Folder of a prepared data set.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``accuracy``.
    """
    examples, _ = tensors(data)
    results = []
    for repetition, state in networks.items():
        model = restore(config, "float", state)
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
    tensorfile.save(dict(networks), path)


def load_networks(path: str | os.PathLike[str]) -> dict[int, dict[str, torch.Tensor]]:
    """Read what `save_networks` wrote; no code in the file is executed.

    Raises
    ------
    nonideal.tensorfile.TensorFileError
        If the file is damaged or holds something else.
    """
    networks = tensorfile.load(path)
    states = networks.values() if isinstance(networks, dict) else [None]
    whole = all(
        isinstance(state, dict) and all(isinstance(value, torch.Tensor) for value in state.values())
        for state in states
    )
    if not whole or not all(type(key) is int for key in networks):
        raise tensorfile.TensorFileError(
            f"{path}: holds no networks by repetition; delete it and train again"
        )
    return networks


def count_weights(model: torch.nn.Module) -> int:
    """Number of weights in quantised layers."""
    return sum(layer.weight.numel() for layer in quant_layers(model))


def last_epoch(history: pd.DataFrame) -> dict[str, float]:
    """Losses and accuracies of a run's last epoch."""
    names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
    return {name: float(history[name].iloc[-1]) for name in names}


def _result(model: torch.nn.Module, examples: training.Tensors) -> dict[str, Any]:
    device = next(model.parameters()).device
    result = training.evaluate(model, examples.test_images.to(device), examples.test_labels.to(device))
    return {
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
        "weights": count_weights(model),
    }
