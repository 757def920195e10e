"""Convolutional networks on the microcontroller: trained at several widths, and verified.

The recipe is one for all widths. A width's first repetition is exported and run on the emulated CH32V003.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from nonideal import rng, tensorfile, training
from nonideal.layers import quant_layers
from nonideal.mcu import build, host, study
from nonideal.mcu.integer import from_model, quantise_images
from nonideal.mcu.packing import LAYOUTS
from nonideal.models.cnn import Cnn, cnn
from nonideal.recipe import settings_of, tensors
from nonideal.training.checkpoint import folder_of

REPETITION = 0  # of the trained networks: one program a width
# The plain kernel is the baseline: the emulator runs this part of the images on it.
EMULATED_PART = {"plain": 10, "fast": 1}
# Images whose cycles are counted, which takes seconds each; they differ little, as no convolution is skipped.
CYCLE_IMAGES = {"plain": 2, "fast": 20}


def network(config: Mapping[str, Any], channels: int, classes: int, *, seed: int) -> Cnn:
    """Untrained network of a repetition.

    Parameters
    ----------
    config
        Section ``cnn`` of the configuration.
    channels
        Channels of its convolutions.
    classes
        Outputs.
    seed
        Of the repetition.
    """
    return cnn(
        generator=rng.torch_stream(seed, "init"),
        channels=channels,
        classes=classes,
        first_format=config["first_format"],
    )


def weight_bits(model: Cnn) -> int:
    """Information in a network's weights, in bit."""
    return math.ceil(sum(layer.weight.numel() * layer.format.bits for layer in quant_layers(model)))


def train_width(
    config: Mapping[str, Any],
    channels: int,
    data: str | os.PathLike[str],
    *,
    seed: int,
    progress: str | os.PathLike[str],
    fingerprint: str,
) -> tuple[dict[int, dict[str, torch.Tensor]], pd.DataFrame, pd.DataFrame]:
    """Train every repetition of one width.

    Parameters
    ----------
    config
        Section ``cnn`` of the configuration, and from section ``training`` what else the recipe has.
    channels
        Channels of the convolutions.
    data
        Folder of a prepared data set.
    seed, progress, fingerprint
        As `nonideal.recipe.train_variants`.

    Returns
    -------
    networks : dict
        State of each repetition's trained network.
    history, accuracy : pandas.DataFrame
        Rows of tables ``cnn_history`` and ``cnn_accuracy``.
    """
    examples, classes = tensors(data, fine=config["augment_fine"])
    folder = folder_of(progress, fingerprint)
    networks, histories, results = {}, [], []
    for repetition in range(config["seeds"]):
        child = rng.child_seed(seed, "cnn", repetition)
        model = network(config, channels, classes, seed=child)
        print(f"{channels} channels: repetition {repetition + 1} of {config['seeds']}", flush=True)
        history = training.train(
            model, examples, settings_of(config), seed=child, checkpoint=folder / f"seed-{repetition}.pt"
        )
        names = labels(config, channels) | {"seed": repetition}
        histories.append(history.drop(columns="seconds").assign(**names))
        results.append(names | _result(model, examples))
        networks[repetition] = tensorfile.state_of(model)
    return networks, pd.concat(histories, ignore_index=True), pd.DataFrame(results)


def labels(config: Mapping[str, Any], channels: int) -> dict[str, Any]:
    """Columns that name a width."""
    return {"dataset": config["dataset"], "first_format": config["first_format"], "channels": channels}


def _result(model: Cnn, examples: training.Tensors) -> dict[str, Any]:
    model.cpu()
    found = training.evaluate(model, examples.test_images, examples.test_labels)
    decided = from_model(model).classify(quantise_images(examples.test_images))
    return {
        "test_loss": found.loss,
        "test_accuracy": found.accuracy,
        "integer_accuracy": float((decided == examples.test_labels.numpy()).mean()),
        "weight_bits": weight_bits(model),
    }


def run_width(
    config: Mapping[str, Any],
    channels: int,
    networks: Mapping[int, Mapping[str, torch.Tensor]],
    data: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put a trained network on the emulated CH32V003 and verify it.

    Parameters
    ----------
    config
        Section ``cnn`` of the configuration.
    channels
        Channels of the convolutions.
    networks
        States by repetition, from `nonideal.tensorfile.load_networks`; the first is used.
    data
        Folder of a prepared data set.
    folder
        For ``plain/`` and ``fast/``, each with the export and the firmware.
    seed
        Of the random images verified besides the test set.

    Returns
    -------
    kernels, cycles : pandas.DataFrame
        Rows of tables ``cnn_kernels`` and ``cnn_cycles``.

    Raises
    ------
    nonideal.mcu.verify.MismatchError
        If Python, host C and emulated firmware differ in one value.
    ValueError
        If the network does not fit the engine or the target; the message names layer and limit.
    """
    examples, classes = tensors(data)
    model = network(config, channels, classes, seed=0)
    model.load_state_dict(networks[REPETITION])
    integers = from_model(model.eval())
    images = quantise_images(examples.test_images)
    decided = integers.classify(images)
    engine = host.HostEngine(build.host_library(Path(folder) / "host"))
    counts = {
        kernel: {
            "cycle_images": CYCLE_IMAGES[kernel],
            "emulated_images": max(1, config["emulated_images"] // EMULATED_PART[kernel]),
        }
        for kernel in LAYOUTS
    }
    kernels, cycles = [], []
    for made, measured in study.verified(
        integers, images, folder, name=f"{channels} channels", engine=engine, seed=seed, counts=counts
    ):
        other = int((engine.infer(integers, images, kernel=made.kernel)[1] != decided).sum())
        row = {key: value for key, value in measured.row(made).items() if key not in ("format", "sizes")}
        kernels.append(labels(config, channels) | row | {"mismatches": other})
        counted = measured.classes(made).drop(columns="format")
        cycles.append(counted.assign(**labels(config, channels)))
    return pd.DataFrame(kernels), pd.concat(cycles, ignore_index=True)
