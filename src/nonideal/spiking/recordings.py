"""Recordings of event cameras as frames for a spiking network: read or synthesised once, kept in one file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
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
    """Name, size and class of each file a source is read from; the synthetic one has none.

    Raises
    ------
    DataError
        If a file is damaged, or there are none and they are required.
    """
    look = datasets.require if required else datasets.find
    files = None if source == SYNTHETIC else look(source, root)
    if files is None:
        return []
    return sorted(
        [path.name, path.stat().st_size, files.class_names[label]]
        for path, label in zip(files.paths, files.labels, strict=True)
    )


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
        If there are no recordings, fewer than asked for, or one is damaged or cannot be cut as asked.
    """
    places, found, labels = _recordings(config, pictures, seed, root)
    size, steps = config["size"], config["steps"]
    cut = SPLITS[config["split"]]
    frames = np.empty((len(labels), steps, 2, size, size), np.uint16)
    for index, (place, recording) in enumerate(zip(places, found, strict=True)):
        if (recording.width, recording.height) != (size, size):
            recording = recording.resized(size, size)
        try:
            frames[index] = cut(recording, steps)
        except ValueError as error:
            remedy = "Change spiking.events.steps or spiking.events.split, or leave the recording out."
            raise DataError(
                place, f"a recording for {steps} frames", f"one that fails: {error}", remedy
            ) from error
    return Frames(frames.reshape(len(labels), steps * 2, size, size), labels)


def _recordings(
    config: Mapping[str, Any],
    pictures: str | os.PathLike[str] | None,
    seed: int,
    root: str | os.PathLike[str] | None,
) -> tuple[Sequence[str | os.PathLike[str]], Iterator[Recording], np.ndarray]:
    """Names and recordings of the configured source, as many as it asks for, and their labels."""
    source = config["source"]
    if source == SYNTHETIC:
        dataset = load(pictures)
        images = np.concatenate((dataset.train_images, dataset.test_images))
        labels = np.concatenate((dataset.train_labels, dataset.test_labels))
        chosen = _chosen(config, labels, str(pictures), seed)
        made = (saccades.record(images[index, 0], seed=seed, index=int(index)) for index in chosen)
        return [f"{pictures}, image {index}" for index in chosen], made, labels[chosen]
    files = datasets.require(source, root)
    chosen = _chosen(config, files.labels, files.paths[0].parent, seed)
    part = datasets.Files(tuple(files.paths[k] for k in chosen), files.labels[chosen], files.class_names)
    return part.paths, datasets.recordings(source, part), part.labels


def _chosen(
    config: Mapping[str, Any], labels: np.ndarray, place: str | os.PathLike[str], seed: int
) -> np.ndarray:
    """Indices of as many recordings as are asked for, int64 [n]."""
    asked = config["recordings"]
    if asked > len(labels):
        expected = f"spiking.events.recordings = {asked} recordings"
        raise DataError(place, expected, str(len(labels)), "Lower it (0: all of them), or add recordings.")
    return stratified_choice(labels, asked or len(labels), seed, "spiking", "events")


def save(frames: Frames, path: str | os.PathLike[str], sources: list[list[Any]] | None = None) -> None:
    """Write frames into one compressed file, and beside them what `source_files` said of their files."""
    listed = np.array(json.dumps(sources or []))
    # An open file: to the name of one NumPy would add an ending, and leave the file of that name empty.
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, frames=frames.frames, labels=frames.labels, sources=listed)


def recorded_files(path: str | os.PathLike[str]) -> list[list[Any]]:
    """What `source_files` said when these frames were made, for when the files are gone."""
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return json.loads(str(arrays["sources"]))
    except Exception:  # as in `read`
        return []  # made anew, or missed by name


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
    except MemoryError:  # nothing is wrong with the file
        raise
    except Exception as error:  # damaged archives raise many kinds: zlib.error, NotImplementedError ...
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
        raise ValueError(
            f"cannot divide {len(labels)} recordings into {count} folds: lower spiking.events.folds"
        )
    order = generator.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    result = np.empty(len(labels), np.int64)
    result[order] = np.arange(len(labels)) % count
    return result
