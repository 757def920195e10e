"""The data set in memory, and stratified parts of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nonideal import rng


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels of a classification task.

    Attributes
    ----------
    name
        Name of the data set.
    train_images, test_images
        uint8 arrays ``[n, c, h, w]``, 0 to 255.
    train_labels, test_labels
        int64 arrays ``[n]``, 0 to ``len(class_names) - 1``.
    class_names
        Names in the order of the labels.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]


def stratified_choice(labels: np.ndarray, n: int, seed: int, *stream: rng.Label) -> np.ndarray:
    """Choose `n` positions so that each class keeps its share.

    Shares that are not whole numbers are rounded by largest remainder (Hamilton's method), ties going to the
    lower label. Within a class the order of choice does not depend on `n`, so a larger choice contains a
    smaller one except where rounding moves an image between classes.

    Parameters
    ----------
    labels
        Integer array ``[m]``.
    n
        Number of positions, 1 to m.
    seed
        Seed of the run.
    *stream
        Labels of the random stream.

    Returns
    -------
    numpy.ndarray
        int64 positions ``[n]``, ascending.

    Raises
    ------
    ValueError
        If `n` is not from 1 to m.
    """
    if not 1 <= n <= len(labels):
        raise ValueError(
            f"cannot choose {n} of {len(labels)} images; the number must be from 1 to {len(labels)}"
        )
    classes, counts = np.unique(labels, return_counts=True)
    # Whole numbers throughout: n * count / m as quotient and remainder.
    quotas, remainders = np.divmod(n * counts.astype(np.int64), len(labels))
    most = np.argsort(-remainders, kind="stable")[: n - quotas.sum()]
    quotas[most] += 1
    chosen = []
    for label, quota in zip(classes, quotas, strict=True):
        positions = np.flatnonzero(labels == label)
        order = rng.stream(seed, *stream, int(label)).permutation(len(positions))
        chosen.append(positions[order[:quota]])
    return np.sort(np.concatenate(chosen))


def subset(dataset: Dataset, *, train: int | None = None, test: int | None = None, seed: int) -> Dataset:
    """Keep a stratified part of the training and the test images, in their order.

    Parameters
    ----------
    dataset
        The whole data set.
    train, test
        Number of images to keep; None keeps all.
    seed
        Seed of the choice.

    Raises
    ------
    ValueError
        If more images are asked for than there are, or none.
    """
    parts = {}
    for split, n in (("train", train), ("test", test)):
        if n is not None:
            labels = getattr(dataset, f"{split}_labels")
            chosen = stratified_choice(labels, n, seed, "data", "subset", split)
            parts[f"{split}_images"] = getattr(dataset, f"{split}_images")[chosen]
            parts[f"{split}_labels"] = labels[chosen]
    return replace(dataset, **parts)


def hold_out(dataset: Dataset, n: int, *, seed: int) -> Dataset:
    """Set `n` training images aside for choosing settings without looking at the test images.

    Parameters
    ----------
    dataset
        The whole data set.
    n
        Number of training images to hold out, stratified by class.
    seed
        Seed of the choice.

    Returns
    -------
    Dataset
        The remaining training images, with the held-out ones in place of the test images.

    Raises
    ------
    ValueError
        If no training image would be left, or `n` is less than 1.
    """
    total = len(dataset.train_labels)
    if n >= total:
        raise ValueError(f"cannot hold out {n} of {total} training images; at least one must remain")
    held = np.zeros(total, dtype=bool)
    held[stratified_choice(dataset.train_labels, n, seed, "data", "hold_out")] = True
    return replace(
        dataset,
        train_images=dataset.train_images[~held],
        train_labels=dataset.train_labels[~held],
        test_images=dataset.train_images[held],
        test_labels=dataset.train_labels[held],
    )
