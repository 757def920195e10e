"""Data sets as tensors: resized, normalised, once and for all."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from nonideal.data import Dataset

BYTE = 255.0  # value of white in an 8-bit image
MNIST_MEAN, MNIST_STD = 0.1307, 0.3081  # of the training pixels scaled to 0 .. 1, as customary


def preprocess(images: Tensor, *, size: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Resize 8-bit images bilinearly with antialiasing and normalise each channel.

    Parameters
    ----------
    images
        uint8 [n, c, h, w].
    size
        Height and width of the result, in pixels.
    mean, std
        Per channel, of pixel values scaled to 0 .. 1.

    Returns
    -------
    Tensor
        float32 [n, c, size, size]: (resized / 255 - mean) / std.

    Raises
    ------
    ValueError
        If the images are not uint8 [n, c, h, w], or mean and std do not have one positive std per channel.
    """
    _check_images(images)
    finite = all(map(math.isfinite, (*mean, *std)))
    if not len(mean) == len(std) == images.shape[1] or not finite or min(std) <= 0:
        raise ValueError(
            f"mean and std need one finite value for each of {images.shape[1]} channels, std above 0; "
            f"got mean {list(mean)}, std {list(std)}"
        )
    pixels = images.float().div_(BYTE)
    if images.shape[2:] != (size, size):
        pixels = functional.interpolate(
            pixels, size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
    return pixels.sub_(_per_channel(mean)).div_(_per_channel(std))


def moments(images: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of uint8 images [n, c, h, w], scaled to 0 .. 1.

    Raises
    ------
    ValueError
        If the images are not uint8 [n, c, h, w], or a channel is constant.
    """
    _check_images(images)
    means, stds = [], []
    for channel in images.unbind(dim=1):
        # Exact in integers, from the histogram: no rounding that depends on the number of threads.
        counts = torch.bincount(channel.reshape(-1), minlength=256).tolist()
        total = sum(counts)
        first = sum(value * count for value, count in enumerate(counts))
        second = sum(value * value * count for value, count in enumerate(counts))
        variance = (second * total - first * first) / total**2
        if variance <= 0:
            raise ValueError(
                f"channel {len(means)} of the training images is constant: nothing to learn from"
            )
        means.append(first / total / BYTE)
        stds.append(math.sqrt(variance) / BYTE)
    return means, stds


def background(mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Value of a black pixel after `preprocess`, float32 [c, 1, 1]."""
    return -_per_channel(mean) / _per_channel(std)


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float32).view(-1, 1, 1)


def _check_images(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or not images.numel():
        raise ValueError(f"images must be uint8 [n, c, h, w], got {images.dtype} {list(images.shape)}")


@dataclass(frozen=True)
class Tensors:
    """A data set ready for training.

    Parameters
    ----------
    train_images, test_images
        float32 [n, c, h, w], normalised.
    train_labels, test_labels
        int64 [n].
    background
        Value of an empty pixel, float32 [c, 1, 1].
    fine_images
        Training images before they were resized, float32 [n, c, h, h], normalised alike, for augmentation to
        start from; None augments `train_images`.

    Raises
    ------
    ValueError
        If images and labels do not match in number.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    background: Tensor
    fine_images: Tensor | None = None

    def __post_init__(self) -> None:
        if self.fine_images is not None and len(self.fine_images) != len(self.train_images):
            raise ValueError(
                f"train set: found {len(self.train_images)} images and {len(self.fine_images)} fine ones"
            )
        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            if not 0 < len(images) == len(labels):
                raise ValueError(f"{part} set: found {len(images)} images and {len(labels)} labels")

    def to(self, device: torch.device) -> Tensors:
        """Copy on another device."""
        return Tensors(**{name: values.to(device) for name, values in self._present().items()})

    def digest(self) -> str:
        """Hexadecimal SHA-256 over all tensors."""
        state = hashlib.sha256()
        for name, values in self._present().items():
            values = values.cpu().contiguous()
            state.update(f"{name} {values.dtype} {list(values.shape)}".encode())
            state.update(values.numpy().data)
        return state.hexdigest()

    def _present(self) -> dict[str, Tensor]:
        """Tensors by name, without the one that may be missing."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in named.items() if values is not None}


def prepare(
    dataset: Dataset,
    *,
    size: int = 16,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    fine: bool = False,
) -> Tensors:
    """Preprocess the images of a data set once.

    Parameters
    ----------
    dataset
        Images uint8 [n, c, h, w] and labels [n].
    size
        Height and width in pixels to resize to.
    mean, std
        Per channel, of pixels scaled to 0 .. 1; None computes both from the training images.
    fine
        Keep the training images in their own resolution too, if it is higher, for augmentation.

    Raises
    ------
    ValueError
        If only one of mean and std is given, or the images are not as described.
    """
    if (mean is None) != (std is None):
        raise ValueError("give both mean and std, or neither to compute them from the training images")
    images = {part: torch.tensor(getattr(dataset, f"{part}_images")) for part in ("train", "test")}
    if mean is None or std is None:
        mean, std = moments(images["train"])
    parts = {}
    for part, pixels in images.items():
        parts[f"{part}_images"] = preprocess(pixels, size=size, mean=mean, std=std)
        parts[f"{part}_labels"] = torch.tensor(getattr(dataset, f"{part}_labels"), dtype=torch.int64)
    height = images["train"].shape[-1]
    if fine and height > size:
        parts["fine_images"] = preprocess(images["train"], size=height, mean=mean, std=std)
    return Tensors(**parts, background=background(mean, std))
