"""Cross-validation of spiking networks on recordings: full precision against weight formats, fold by fold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from nonideal import rng, training
from nonideal.models import spiking
from nonideal.spiking import convert, recordings
from nonideal.training.checkpoint import folder_of

EVALUATION_BATCH = 100  # recordings: T frames each
NETWORKS = {
    "spiking_cnn": spiking.spiking_cnn,
    "spiking_vgg11": spiking.spiking_vgg11,
    "spiking_resnet19": spiking.spiking_resnet19,
}


def settings_of(config: Mapping[str, Any], threads: int, device: str) -> training.Settings:
    """Settings of the training loop from the section ``spiking.events``."""
    return training.Settings(
        epochs=config["epochs"],
        lr=config["learning_rate"],
        batch_size=config["batch_size"],
        augmentation="affine" if config["augmented_copies"] else "none",
        augmented_copies=config["augmented_copies"],
        evaluation_batch=EVALUATION_BATCH,
        threads=threads,
        device=device,
    )


def network(config: Mapping[str, Any], classes: int, *, seed: int) -> nn.Module:
    """Untrained network; the same for every weight format of a fold."""
    sizes = {"size": config["size"]} if config["network"] == "spiking_cnn" else {}
    return NETWORKS[config["network"]](
        generator=rng.torch_stream(seed, "init"),
        classes=classes,
        width=config["width"],
        steps=config["steps"],
        **sizes,
    )


def fold_tensors(frames: recordings.Frames, fold: torch.Tensor, index: int) -> training.Tensors:
    """Recordings of all folds but one for training, those of that one for testing."""
    test = (fold == index).numpy()
    # Part by part: as floats all frames take twice the memory that they take as counts.
    images = (torch.from_numpy(frames.frames[part].astype(np.float32)) for part in (~test, test))
    labels = (torch.from_numpy(frames.labels[part]) for part in (~test, test))
    background = torch.zeros(frames.frames.shape[1], 1, 1)
    (train_images, test_images), (train_labels, test_labels) = images, labels
    return training.Tensors(train_images, train_labels, test_images, test_labels, background)


def run_format(
    config: Mapping[str, Any],
    weight_format: str,
    path: str | os.PathLike[str],
    *,
    threads: int,
    device: str,
    seed: int,
    progress: str | os.PathLike[str],
    fingerprint: str,
) -> pd.DataFrame:
    """Train and test a network for each fold left out.

    Folds, initial weights and batches do not depend on the format, so that differences are paired.

    Parameters
    ----------
    config
        Section ``spiking.events`` of the configuration.
    weight_format
        Name of a format, or ``float``.
    path
        Frames, as `recordings.save` writes them.
    threads, device
        As `nonideal.training.Settings`.
    seed
        Seed of the run.
    progress, fingerprint
        As `nonideal.training.checkpoint.folder_of`.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``spiking_events``.
    """
    frames = recordings.read(path)
    generator = rng.stream(seed, "spiking", "folds")
    fold = torch.from_numpy(recordings.folds(frames.labels, config["folds"], generator=generator))
    folder = folder_of(progress, fingerprint)
    rows = []
    for index in range(config["folds"]):
        child = rng.child_seed(seed, "spiking", "events", index)
        model = network(config, int(frames.labels.max()) + 1, seed=child)
        if weight_format != "float":
            convert.quantise(model, weight_format)
        examples = fold_tensors(frames, fold, index)
        print(f"{weight_format}: fold {index + 1} of {config['folds']}", flush=True)
        training.train(
            model, examples, settings_of(config, threads, device), seed=child,
            checkpoint=folder / f"fold-{index}.pt",
        )  # fmt: skip
        rows.append(labels(config, weight_format) | {"fold": index} | _measure(model, examples))
        del examples  # before those of the next fold are made: they are most of the memory
    return pd.DataFrame(rows)


def labels(config: Mapping[str, Any], weight_format: str) -> dict[str, Any]:
    """Columns that name what is cross-validated."""
    named = {key: config[key] for key in ("source", "network", "split")}
    return named | {"format": weight_format, "bits": convert.bits_of(weight_format)}


def _measure(model: nn.Module, examples: training.Tensors) -> dict[str, Any]:
    device = next(model.parameters()).device
    images, truth = examples.test_images.to(device), examples.test_labels.to(device)
    with convert.SpikeCounter(model) as counter:
        result = training.evaluate(model, images, truth, batch=EVALUATION_BATCH)
    return {
        "recordings": len(truth),
        "correct": round(result.accuracy * len(truth)),
        "test_accuracy": result.accuracy,
        "spike_share": counter.spikes / counter.slots,
    }
