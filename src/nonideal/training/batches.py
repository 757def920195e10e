"""Batches of an epoch.

An epoch is every training image once, as `Settings.augmentation` says; with affine augmentation it is the
clean set and once more each augmented copy, and each batch holds the same share of all. All random numbers of
epoch k come from streams named by the seed and k, drawn on the CPU.

With a teacher's lessons, crops are those that the teacher was asked about, one of them at random for each
image and epoch, or the first, the image as it is, for one that is not shifted; mirrored and hidden is as
without.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nonideal import augment
from nonideal.preprocessing import Tensors
from nonideal.rng import torch_stream
from nonideal.training.distillation import Lessons
from nonideal.training.settings import Settings

Batch = tuple[float, Tensor, Tensor, Tensor | None]


def batches(
    tensors: Tensors, settings: Settings, seed: int, epoch: int, lessons: Lessons | None = None
) -> Iterator[Batch]:
    """Batches of an epoch.

    Parameters
    ----------
    tensors
        Data set, on the device of the training.
    settings
        Settings of the run.
    seed, epoch
        Name the random stream of order and augmentation; the first epoch is 0.
    lessons
        A teacher's, on the device of the data set, for augmentation ``crop_flip``.

    Yields
    ------
    tuple
        Fraction of the epoch that precedes the batch, its images, its labels, and the teacher's outputs or
        None.
    """
    generator = torch_stream(seed, "training", "epoch", epoch)
    if settings.augmentation == "affine":
        yield from _affine(tensors, settings, generator)
        return
    images, labels = tensors.train_images, tensors.train_labels
    count, size = len(images), settings.batch_size
    order = torch.randperm(count, generator=generator)
    moved = settings.augmentation == "crop_flip"
    draws = augment.draw_crop_flip(count, generator=generator) if moved else None
    hidden = None
    if settings.cutout:  # drawn last and only if asked for: without it the batches stay as they are
        hidden = augment.draw_cutout(count, *images.shape[2:], generator=generator)
    views = None if lessons is None else torch.randint(len(lessons.corners), (count,), generator=generator)
    if settings.still_share:
        still = torch.rand(count, generator=generator) < settings.still_share
        draws[0][still] = augment.CROP_PADDING
        if views is not None:
            views[still] = 0
    for start in range(0, count, size):
        index = order[start : start + size].to(images.device)
        batch, outputs = images[index], None
        if draws is not None:
            corners, mirrored = (values[start : start + size].to(images.device) for values in draws)
            if lessons is not None:
                view = views[start : start + size].to(images.device)
                corners, outputs = (values[view, index] for values in lessons)
            batch = augment.crop_flip(batch, corners, mirrored, tensors.background)
        if hidden is not None:
            batch = augment.cutout(batch, hidden[start : start + size].to(images.device), settings.cutout)
        yield start / count, batch, labels[index], outputs


def _affine(tensors: Tensors, settings: Settings, generator: torch.Generator) -> Iterator[Batch]:
    images, labels = tensors.train_images, tensors.train_labels
    copies, count = settings.copies, len(images)
    # One order of the set for the clean images and one for each copy: [1 + copies, n].
    order = torch.stack([torch.randperm(count, generator=generator) for _ in range(1 + copies)])
    matrices = settings.affine().matrices(copies * count, generator=generator)
    order, matrices = order.to(images.device), matrices.view(copies, count, 2, 3).to(images.device)
    elastic = None
    if (
        settings.elastic and copies
    ):  # drawn last and only if asked for: without it the batches stay as they are
        drawn = settings.elastic * augment.draw_elastic(copies * count, generator=generator)
        elastic = drawn.view(copies, count, *drawn.shape[1:]).to(images.device)
    share = settings.batch_size // (1 + copies)
    for start in range(0, count, share):
        index = order[:, start : start + share]
        batch = images[index[0]]
        if copies:
            maps = matrices[:, start : start + share].flatten(0, 1)
            knots = None if elastic is None else elastic[:, start : start + share].flatten(0, 1)
            batch = torch.cat((batch, _moved(tensors, index[1:].flatten(), maps, knots)))
        yield start / count, batch, labels[index.flatten()], None


def _moved(tensors: Tensors, index: Tensor, maps: Tensor, knots: Tensor | None) -> Tensor:
    """Training images under affine and elastic maps, from the finest resolution there is."""
    if tensors.fine_images is None:
        return augment.transform(tensors.train_images[index], maps, tensors.background, knots)
    size = tensors.train_images.shape[-1]
    return augment.transform_fine(tensors.fine_images[index], maps, tensors.background, knots, size=size)
