"""Recordings of event cameras as frames for a spiking network: read or synthesised once, kept in one file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nonideal.data import DataError, load, stratified_choice
from nonideal.events import Recording, datasets, saccades
from nonideal.events.frames import SPLITS
from nonideal.files import atomic

SYNTHETIC = "synthetic"


class Frames(NamedTuple):
    """Frames in the channels, uint16 [n, T * 2, h, w], and labels, int64 [n]."""

    frames: np.ndarray
    labels: np.ndarray


def source_files(
    source: str, root: str | os.PathLike[str] | None = None, *, required: bool = False
) -> list[list[Any]]:
    """Names and sizes of the files a source is read from; none for the synthetic one or if there are none.

    Raises
    ------
    DataError
        If a file is damaged, or there are none and they are required.
    """
    look = datasets.require if required else datasets.find
    files = None if source == SYNTHETIC else look(source, root)
    return sorted([path.name, path.stat().st_size] for path in (files.paths if files else ()))


def prepare(
    config: Mapping[str, Any],
    pictures: str | os.PathLike[str] | None,
    *,
    seed: int,
    root: str | os.PathLike[str] | None = None,
) -> Frames:
    """Read or synthesise recordings and cut them into frames.

    Parameters
    ----------
    config
        Section ``spiking.events`` of the configuration.
    pictures
        Folder of the prepared data set that recordings are synthesised from; None for files.
    seed
        Seed of the run: names the random streams of the choice of recordings and of synthesised ones.
    root
        Local root of data; the environment's ``NONIDEAL_DATA`` if None.

    Raises
    ------
    DataError
        If there are no recordings, or one is damaged.
    ValueError
        If the recordings cannot be cut as asked.
    """
    found, labels = _recordings(config, pictures, seed, root)
    size, steps = config["size"], config["steps"]
    cut = SPLITS[config["split"]]
    frames = np.empty((len(labels), steps, 2, size, size), np.uint16)
    for index, recording in enumerate(found):
        if (recording.width, recording.height) != (size, size):
            recording = recording.resized(size, size)
        frames[index] = cut(recording, steps)
    return Frames(frames.reshape(len(labels), steps * 2, size, size), labels)


def _recordings(
    config: Mapping[str, Any],
    pictures: str | os.PathLike[str] | None,
    seed: int,
    root: str | os.PathLike[str] | None,
) -> tuple[Iterator[Recording], np.ndarray]:
    """Recordings of the configured source, as many as it asks for, and their labels."""
    source, count = config["source"], config["recordings"]
    if source == SYNTHETIC:
        dataset = load(pictures)
        images = np.concatenate((dataset.train_images, dataset.test_images))
        labels = np.concatenate((dataset.train_labels, dataset.test_labels))
        chosen = stratified_choice(labels, min(count or len(labels), len(labels)), seed, "spiking", "events")
        made = (saccades.record(images[index, 0], seed=seed, index=int(index)) for index in chosen)
        return made, labels[chosen]
    files = datasets.require(source, root)
    total = len(files.labels)
    chosen = stratified_choice(files.labels, min(count or total, total), seed, "spiking", "events")
    part = datasets.Files(tuple(files.paths[k] for k in chosen), files.labels[chosen], files.class_names)
    return datasets.recordings(source, part), part.labels


def save(frames: Frames, path: str | os.PathLike[str]) -> None:
    """Write frames into one compressed file."""
    with atomic(path) as temporary:
        np.savez_compressed(temporary, frames=frames.frames, labels=frames.labels)


def read(path: str | os.PathLike[str]) -> Frames:
    """Read what `save` wrote.

    Raises
    ------
    DataError
        If the file is not readable.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Frames(arrays["frames"], arrays["labels"])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        remedy = "Delete it and build it again."
        raise DataError(path, "frames and labels", f"{type(error).__name__}: {error}", remedy) from error


def folds(labels: np.ndarray, count: int, *, generator: np.random.Generator) -> np.ndarray:
    """Fold of each recording, int64 [n], sizes and shares of the classes as equal as they can be.

    Parameters
    ----------
    labels
        Class of each recording.
    count
        Number of folds.
    generator
        For the order within each class.

    Raises
    ------
    ValueError
        If there are fewer recordings than folds.
    """
    if not 2 <= count <= len(labels):
        raise ValueError(f"cannot divide {len(labels)} recordings into {count} folds")
    order = generator.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    result = np.empty(len(labels), np.int64)
    result[order] = np.arange(len(labels)) % count
    return result
