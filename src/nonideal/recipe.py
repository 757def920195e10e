"""The recipe of the fully connected networks: data, settings, network and training of one repetition.

The network, its initial weights, its batches and their augmentation are the same for every format of a
repetition, so that differences between formats are paired.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
import torch

from nonideal import preprocessing, pruning, rng, training
from nonideal.data import load
from nonideal.layers import quant_layers
from nonideal.models.fc import fc
from nonideal.training.checkpoint import folder_of

PIXELS = 16  # height and width of the network's input, BitNetMCU
PUBLISHED_MOMENTS = {"mnist": ([preprocessing.MNIST_MEAN], [preprocessing.MNIST_STD])}  # as BitNetMCU


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
        elastic=config["elastic"],
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
        # At the last epoch at the latest, or nothing would be pruned.
        epoch = min(round(config["prune_at"] * config["epochs"]), config["epochs"] - 1)
        hooks = [pruning.PruneUnits(model, config["prune_share"], epoch), *hooks]
    history = training.train(
        model, examples, settings_of(config), seed=child, checkpoint=checkpoint, hooks=hooks
    )
    return pruning.shrink(model) if config["prune_share"] else model, history


class Variant(NamedTuple):
    """A network to train in a study of many.

    Parameters
    ----------
    name
        Name of its checkpoints, and in the log.
    config
        Section ``training`` with what is otherwise for this network, see `variant`.
    weight_format, quantscale
        As `network`.
    labels
        Columns that name the network in the study's table.
    """

    name: str
    config: Mapping[str, Any]
    weight_format: str
    labels: Mapping[str, Any]
    quantscale: float | None = None


def train_variants(
    variants: Sequence[Variant],
    data: str | os.PathLike[str],
    *,
    seed: int,
    progress: str | os.PathLike[str],
    fingerprint: str,
) -> Iterator[tuple[torch.nn.Module, dict[str, Any]]]:
    """Train every repetition of every variant.

    Parameters
    ----------
    variants
        What to train; all on the same data.
    data
        Folder of a prepared data set.
    seed
        Seed of the run.
    progress
        Folder for checkpoints; an interrupted call resumes from them, bit for bit.
    fingerprint
        What the checkpoints depend on (code, settings, seed, data); others are discarded.

    Yields
    ------
    model : torch.nn.Module
        Trained network.
    row : dict
        Data set, format, labels, seed, and losses and accuracies of the last epoch.
    """
    examples, classes = tensors(data, fine=variants[0].config["augment_fine"])
    folder = folder_of(progress, fingerprint)
    for made in variants:
        for repetition in range(made.config["seeds"]):
            print(f"{made.name}: repetition {repetition + 1} of {made.config['seeds']}", flush=True)
            model, history = train_network(
                made.config,
                made.weight_format,
                examples,
                classes,
                seed=seed,
                repetition=repetition,
                checkpoint=folder / f"{made.name}-seed-{repetition}.pt",
                quantscale=made.quantscale,
            )
            names = {"dataset": made.config["dataset"], "format": made.weight_format}
            yield model, names | dict(made.labels) | {"seed": repetition} | last_epoch(history)


def count_weights(model: torch.nn.Module) -> int:
    """Number of weights in quantised layers."""
    return sum(layer.weight.numel() for layer in quant_layers(model))


def last_epoch(history: pd.DataFrame) -> dict[str, float]:
    """Losses and accuracies of a run's last epoch."""
    names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
    return {name: float(history[name].iloc[-1]) for name in names}
