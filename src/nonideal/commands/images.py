"""The images a command works with: a data set by name, prepared, or in a file of the user's."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nonideal import archives, data, recipe, training
from nonideal.commands import UsageError
from nonideal.models.cnn import Cnn
from nonideal.models.fc import FullyConnected
from nonideal.preprocessing import moments

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
NAMES = tuple(name for name in data.NAMES if name != "imagenet")  # imagenet is read in place, not as arrays


def add_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Arguments that say which images are meant."""
    parser.add_argument(
        "--data",
        required=required,
        metavar="DATA",
        help=f"{', '.join(NAMES)} (digits is built in, others are looked for below $NONIDEAL_DATA); a folder "
        f"prepared by the workflow; or an .npz file with {', '.join(ARRAYS)} (images uint8 [n, c, h, w])",
    )
    parser.add_argument(
        "--pixels",
        type=int,
        metavar="N",
        help="height and width to resize images to; what the network takes if not given",
    )
    for name in ("--mean", "--std"):
        parser.add_argument(
            name,
            type=float,
            nargs="+",
            metavar="X",
            help="of the pixels from 0 to 1, one for all channels or one each, as the network was trained "
            "(default: those of the training images)",
        )


def check_given(arguments: argparse.Namespace) -> None:
    """Refuse options on images where none are given.

    Raises
    ------
    UsageError
        If there is no ``--data``, but an option that says how to read them.
    """
    if arguments.data is not None:
        return
    for name in ("pixels", "mean", "std"):
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name}: says how to read images; give them by --data, or leave it out")


def load(arguments: argparse.Namespace, model: nn.Module) -> training.Tensors:
    """Images as tensors for a network, normalised as the arguments say, and say so.

    Raises
    ------
    UsageError
        If the data are not there or not as described, or the network cannot take the images.
    nonideal.data.DataError
        If a file of a data set is damaged.
    """
    if arguments.pixels is not None and arguments.pixels < 1:
        raise UsageError(f"--pixels {arguments.pixels}: must be at least 1")
    _check_moments(arguments)
    dataset = _dataset(arguments.data)
    own = isinstance(model, FullyConnected | Cnn)  # trained by this project's studies, with their moments
    size = arguments.pixels or (recipe.PIXELS if isinstance(model, Cnn) else _size(model, dataset))
    channels = dataset.train_images.shape[1]
    try:
        if arguments.mean or arguments.std:
            mean, std = (_of_channels(values, channels) for values in (arguments.mean, arguments.std))
        elif own and dataset.name in recipe.PUBLISHED_MOMENTS:
            mean, std = recipe.PUBLISHED_MOMENTS[dataset.name]
        else:
            mean, std = moments(torch.from_numpy(dataset.train_images))
        tensors = training.prepare(dataset, size=size, mean=mean, std=std)
    except ValueError as error:
        raise UsageError(f"{arguments.data}: {error}") from error
    _probe(model, tensors, arguments.data)
    values = ["/".join(f"{value:.4g}" for value in numbers) for numbers in (mean, std)]
    print(
        f"images normalised by mean {values[0]} and standard deviation {values[1]} of pixels from 0 to 1; "
        "--mean and --std, if the network was trained otherwise",
        file=sys.stderr,
    )
    return tensors


def _check_moments(arguments: argparse.Namespace) -> None:
    """Refuse moments of another scale than that of pixels from 0 to 1.

    No such pixels deviate by more than 0.5, but 0 and 1 are given for those that are not normalised.
    """
    for name in ("mean", "std"):
        for value in getattr(arguments, name) or ():
            if value < 0 or value > 1:
                raise UsageError(
                    f"--{name} {value:g}: is of pixels from 0 to 1 and lies there too; divide the moments of "
                    "pixels from 0 to 255 by 255"
                )


def _of_channels(values: list[float] | None, channels: int) -> list[float] | None:
    """One value for each channel."""
    return values * channels if values is not None and len(values) == 1 else values


def _size(model: nn.Module, dataset: data.Dataset) -> int:
    channels, height, _ = dataset.train_images.shape[1:]
    if isinstance(model, FullyConnected):
        return round((model.layers[0].weight.shape[1] / channels) ** 0.5)
    return height


def _probe(model: nn.Module, tensors: training.Tensors, named: str) -> None:
    """Refuse images that the network cannot take, or more classes than it has, before any work is done."""
    shape = list(tensors.test_images.shape[1:])
    try:
        with torch.no_grad():
            logits = model(tensors.test_images[:1])
    except Exception as error:  # the user's network can raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"{named}: the network refuses images {shape} ({reason}); "
            "set --pixels, or give images with the channels it was trained on"
        ) from error
    highest = int(max(tensors.train_labels.max(), tensors.test_labels.max()))
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] <= highest:
        found = list(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise UsageError(
            f"{named}: labels go up to {highest}, but the network's output for one image is {found}; it must "
            "be [1, classes]"
        )


def _dataset(named: str) -> data.Dataset:
    path = Path(named)
    if named in NAMES and not path.exists():
        with tempfile.TemporaryDirectory(prefix="nonideal-") as folder:
            data.prepare(named, folder)
            return data.load(folder)
    if path.suffix == ".npz" and not path.with_name("manifest.json").exists():
        return _own(path)
    if not path.exists():
        raise UsageError(
            f"{named}: no such folder or file, and no data set of that name ({', '.join(NAMES)})"
        )
    return data.load(path)


def _own(path: Path) -> data.Dataset:
    try:
        arrays = archives.read_npz(path, ARRAYS)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file; write one with numpy.savez, arrays {', '.join(ARRAYS)}"
        ) from None
    except archives.ArchiveError as error:
        raise UsageError(f"{error}; write it with numpy.savez, arrays {', '.join(ARRAYS)}") from error
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if (
            images.dtype != np.uint8
            or images.ndim != 4
            or images.shape[2] != images.shape[3]
            or not len(images)
        ):
            raise UsageError(
                f"{path}: {part}_images must be uint8 [n, c, h, w], square and not empty; "
                f"found {images.dtype} {list(images.shape)}"
            )
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1] or labels.min() < 0:
            raise UsageError(
                f"{path}: {part}_labels must be whole numbers from 0, one an image; "
                f"found {labels.dtype} {list(labels.shape)}"
            )
    kinds = [arrays[f"{part}_images"].shape[1] for part in ("train", "test")]
    if kinds[0] != kinds[1]:
        raise UsageError(f"{path}: train_images have {kinds[0]} channels and test_images {kinds[1]}")
    labels = {key: arrays[key].astype(np.int64) for key in ARRAYS if key.endswith("labels")}
    classes = int(max(part.max() for part in labels.values())) + 1
    # With its ending, so that a file called mnist.npz is not taken for MNIST and given its published moments.
    return data.Dataset(path.name, **(arrays | labels), class_names=tuple(map(str, range(classes))))
