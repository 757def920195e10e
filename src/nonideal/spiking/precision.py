"""The study of accuracy against precision: one dense spiking network at every weight format.

A float network is trained; from the same float network each format is reached by quantisation alone (PTQ) and
by further training with the quantiser in the loop (QAT). What a quantised network is exported to, integers,
is evaluated as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from nonideal import preprocessing, rng, tensorfile, training
from nonideal.data import load
from nonideal.models.spiking import SpikingNetwork, spiking_mlp
from nonideal.spiking import convert
from nonideal.spiking.export import export
from nonideal.training.checkpoint import folder_of

Networks = dict[int, dict[str, torch.Tensor]]


def tensors(folder: str | os.PathLike[str]) -> tuple[training.Tensors, int]:
    """Prepared data set as images of grey levels over 256, and its number of classes.

    Parameters
    ----------
    folder
        Folder of a prepared data set, or the array file in it.
    """
    dataset = load(folder)
    size = dataset.train_images.shape[-1]
    mean, std = [0.0], [convert.GREY / preprocessing.BYTE]
    return preprocessing.prepare(dataset, size=size, mean=mean, std=std), len(dataset.class_names)


def settings_of(config: Mapping[str, Any], phase: str) -> training.Settings:
    """Settings of the training loop from the section ``spiking``; `phase` is ``float`` or ``qat``."""
    return training.Settings(
        epochs=config[phase]["epochs"],
        lr=config[phase]["learning_rate"],
        batch_size=config["batch_size"],
        augmentation="none",
        augmented_copies=0,
        threads=config["threads"],
        device=config["device"],
    )


def network(
    config: Mapping[str, Any], examples: training.Tensors, classes: int, *, seed: int
) -> SpikingNetwork:
    """Untrained float network of a repetition."""
    return spiking_mlp(
        generator=rng.torch_stream(seed, "init"),
        input_pixels=examples.train_images[0].numel(),
        widths=tuple(config["widths"]),
        classes=classes,
        steps=config["steps"],
    )


def train_float(
    config: Mapping[str, Any],
    data: str | os.PathLike[str],
    *,
    seed: int,
    progress: str | os.PathLike[str],
    fingerprint: str,
) -> tuple[Networks, pd.DataFrame, pd.DataFrame]:
    """Train the float network of every repetition.

    Parameters
    ----------
    config
        Section ``spiking`` of the configuration.
    data
        Folder of a prepared data set.
    seed
        Seed of the run.
    progress, fingerprint
        As `nonideal.training.checkpoint.folder_of`; an interrupted call resumes, bit for bit.

    Returns
    -------
    networks : dict
        State of each repetition's network.
    history, precision : pandas.DataFrame
        Rows of tables ``spiking_history`` and ``spiking_precision``.
    """
    examples, classes = tensors(data)
    folder = folder_of(progress, fingerprint)
    networks, histories, rows = {}, [], []
    for repetition in range(config["seeds"]):
        child = rng.child_seed(seed, "spiking", repetition)
        model = network(config, examples, classes, seed=child)
        print(f"float: repetition {repetition + 1} of {config['seeds']}", flush=True)
        history = training.train(
            model, examples, settings_of(config, "float"), seed=child,
            checkpoint=folder / f"seed-{repetition}.pt",
        )  # fmt: skip
        names = labels(config, "float", "float", repetition)
        histories.append(_history(history, names))
        rows.append(names | measure(model, examples))
        networks[repetition] = tensorfile.state_of(model)
    return networks, pd.concat(histories, ignore_index=True), pd.DataFrame(rows)


def quantise_format(
    config: Mapping[str, Any],
    weight_format: str,
    networks: Networks,
    data: str | os.PathLike[str],
    *,
    seed: int,
    progress: str | os.PathLike[str],
    fingerprint: str,
) -> tuple[Networks, pd.DataFrame, pd.DataFrame]:
    """Quantise the float network of every repetition, without and with further training.

    Parameters
    ----------
    config, data, seed, progress, fingerprint
        As `train_float`.
    weight_format
        Name of a format.
    networks
        States of the float networks.

    Returns
    -------
    networks : dict
        State of each repetition's network after training with the quantiser.
    history, precision : pandas.DataFrame
        Rows of tables ``spiking_history`` and ``spiking_precision``.
    """
    examples, classes = tensors(data)
    folder = folder_of(progress, fingerprint)
    trained, histories, rows = {}, [], []
    for repetition, state in networks.items():
        child = rng.child_seed(seed, "spiking", repetition, "qat")
        model = network(config, examples, classes, seed=0)
        model.load_state_dict(state)
        ptq = convert.quantise(model, weight_format, trained=True)
        names = labels(config, weight_format, "ptq", repetition)
        rows.append(names | measure(ptq, examples, weight_format))
        model = network(config, examples, classes, seed=0)
        model.load_state_dict(state)
        convert.quantise(model, weight_format)
        print(f"{weight_format}: repetition {repetition + 1} of {len(networks)}", flush=True)
        history = training.train(
            model, examples, settings_of(config, "qat"), seed=child,
            checkpoint=folder / f"seed-{repetition}.pt",
        )  # fmt: skip
        names |= {"method": "qat"}
        histories.append(_history(history, names))
        rows.append(names | measure(model, examples, weight_format))
        trained[repetition] = tensorfile.state_of(model)
    return trained, pd.concat(histories, ignore_index=True), pd.DataFrame(rows)


def restore(
    config: Mapping[str, Any],
    weight_format: str,
    state: Mapping[str, torch.Tensor],
    examples: Any,
    classes: int,
) -> SpikingNetwork:
    """Network of `quantise_format` from its state, in evaluation mode."""
    model = network(config, examples, classes, seed=0)
    convert.quantise(model, weight_format)
    model.load_state_dict(state)
    return model.eval()


def measure(
    model: SpikingNetwork, examples: training.Tensors, weight_format: str = "float"
) -> dict[str, float | int]:
    """Columns of table ``spiking_precision`` that are measured."""
    model.eval()
    device = next(model.parameters()).device
    images, truth = examples.test_images.to(device), examples.test_labels.to(device)
    with convert.SpikeCounter(model) as counter:
        result = training.evaluate(model, images, truth)
    weights = [layer.weight.detach() for layer in model.modules() if isinstance(layer, nn.Linear)]
    count = sum(weight.numel() for weight in weights)
    row = {
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
        "integer_accuracy": np.nan,
        "weights": count,
        "zero_share": sum(int((weight == 0).sum()) for weight in weights) / count,
        "weight_bytes": count * int(convert.FLOAT_BITS) // 8,
        "spikes": counter.spikes / len(truth),
        "spike_share": counter.spikes / counter.slots,
    }
    if weight_format != "float":
        integers = convert.to_integers(model, weight_format)
        inputs = convert.grey_levels(images)
        row["integer_accuracy"] = float((integers.classify(inputs) == truth.cpu().numpy()).mean())
        row["weight_bytes"] = export(integers, inputs[:1]).weight_bytes
    return row


def labels(config: Mapping[str, Any], weight_format: str, method: str, repetition: int) -> dict[str, Any]:
    """Columns that name a network."""
    return {
        "dataset": config["dataset"],
        "method": method,
        "format": weight_format,
        "bits": convert.bits_of(weight_format),
        "seed": repetition,
    }


def _history(history: pd.DataFrame, names: Mapping[str, Any]) -> pd.DataFrame:
    return history.drop(columns="seconds").assign(**names)
