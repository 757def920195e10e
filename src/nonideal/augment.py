"""Data sets as tensors: preprocessing once, random affine maps a batch at a time."""

from __future__ import annotations

import functools
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


@dataclass(frozen=True)
class Affine:
    """Ranges of a random affine map; every quantity is uniform in its range.

    Parameters
    ----------
    degrees
        Rotation by up to plus or minus this angle, in degrees.
    translate
        Shift by up to plus or minus this fraction of the width and of the height.
    scale
        Smallest and largest magnification.
    shear
        Shear along x by up to plus or minus this angle, in degrees, below 90.

    Raises
    ------
    ValueError
        If a range is negative or reversed.
    """

    degrees: float = 10.0
    translate: float = 0.1
    scale: tuple[float, float] = (0.9, 1.1)
    shear: float = 0.0

    def __post_init__(self) -> None:
        if self.degrees < 0 or self.translate < 0:
            raise ValueError(f"degrees and translate must not be negative, got {self}")
        if not 0 <= self.shear < 90:
            raise ValueError(f"shear must lie in [0, 90) degrees, got {self}")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be two positive numbers in ascending order, got {self.scale}")

    def matrices(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Draw maps from output to input coordinates, which span -1 .. 1 (torch's `affine_grid`).

        Parameters
        ----------
        count
            Number of maps.
        generator
            Source of the random numbers; the matrices lie on its device.

        Returns
        -------
        Tensor
            [count, 2, 3].
        """
        uniform = torch.rand(4, count, generator=generator, device=generator.device)
        angle = (2 * uniform[0] - 1) * math.radians(self.degrees)
        low, high = self.scale
        # The map leads from the output back to the input, so a magnification divides.
        factor = 1 / (low + (high - low) * uniform[1])
        shift = (2 * uniform[2:] - 1) * (2 * self.translate)  # coordinates span 2
        cos, sin = angle.cos() * factor, angle.sin() * factor
        maps = torch.stack((cos, -sin, shift[0], sin, cos, shift[1]), dim=1).view(count, 2, 3)
        if self.shear:  # drawn last and only if asked for: without it the maps stay as they are
            slant = 2 * torch.rand(count, generator=generator, device=generator.device) - 1
            maps[:, :, 1] += maps[:, :, 0] * torch.tan(slant * math.radians(self.shear))[:, None]
        return maps


def transform(images: Tensor, matrices: Tensor, background: Tensor) -> Tensor:
    """Apply one affine map per image, bilinearly; what comes from outside the image is background.

    Parameters
    ----------
    images
        [n, c, h, w], floating point.
    matrices
        [n, 2, 3], see `Affine.matrices`.
    background
        Value of an empty pixel, [c, 1, 1].

    Returns
    -------
    Tensor
        [n, c, h, w].
    """
    count, _, height, width = images.shape
    # One small matrix product for the batch, where torch's affine_grid makes one per image.
    grid = (matrices.reshape(-1, 3) @ _pixel_centres(height, width, images.device)).view(
        count, 2, height, width
    )
    grid = grid.permute(0, 2, 3, 1)
    moved = functional.grid_sample(
        images - background, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return moved.add_(background)


def transform_fine(images: Tensor, matrices: Tensor, background: Tensor, *, size: int) -> Tensor:
    """Apply one affine map per image in its own resolution, then resize as `preprocess` does.

    Maps of images that are already small blur them: each new pixel is a mean of its neighbours. Here the
    blur is that of the fine resolution, and what is left of it after antialiasing hardly differs from the
    unmoved images.

    Parameters
    ----------
    images, matrices, background
        As `transform`; [n, c, h, w] with h = w.
    size
        Height and width of the result.

    Returns
    -------
    Tensor
        [n, c, size, size].
    """
    weights = _resize_weights(images.shape[-1], size, images.device)
    return weights @ transform(images, matrices, background) @ weights.T


@functools.lru_cache(maxsize=8)
def _resize_weights(before: int, after: int, device: torch.device) -> Tensor:
    """Antialiased bilinear resizing of one axis as a matrix [after, before]: the images are separable."""
    with torch.inference_mode(False):
        unit = torch.eye(before, device=device)[None, None]
        return functional.interpolate(
            unit, size=(after, before), mode="bilinear", antialias=True, align_corners=False
        )[0, 0]


@functools.lru_cache(maxsize=8)
def _pixel_centres(height: int, width: int, device: torch.device) -> Tensor:
    """Homogeneous coordinates (x, y, 1) of the pixel centres, [3, h * w]; the image spans -1 .. 1."""
    with torch.inference_mode(False):
        x = (torch.arange(width, device=device) * 2 + 1) / width - 1
        y = (torch.arange(height, device=device) * 2 + 1) / height - 1
        y, x = torch.meshgrid(y, x, indexing="ij")
        return torch.stack((x.flatten(), y.flatten(), torch.ones_like(x).flatten()))


CROP_PADDING = 4  # pixels, He et al., arXiv:1512.03385


def draw_crop_flip(count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw the shifts and mirrorings of `crop_flip` for `count` images.

    Returns
    -------
    tuple of Tensor
        Corners of the crop in the padded image, int64 [count, 2] (down, right), and bool [count].
    """
    corners = torch.randint(0, 2 * CROP_PADDING + 1, (count, 2), generator=generator)
    return corners, torch.rand(count, generator=generator) < 0.5


def crop_flip(images: Tensor, corners: Tensor, mirrored: Tensor, background: Tensor) -> Tensor:
    """Crop each image from a copy padded with background, and mirror some left to right.

    Parameters
    ----------
    images
        [n, c, h, w].
    corners, mirrored
        See `draw_crop_flip`.
    background
        Value of an empty pixel, [c, 1, 1].

    Returns
    -------
    Tensor
        [n, c, h, w].
    """
    height, width = images.shape[2:]
    padded = functional.pad(images - background, (CROP_PADDING,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: [n, c, down, right, h, w]
    image = torch.arange(len(images), device=images.device)
    cropped = windows[image, :, corners[:, 0], corners[:, 1]]
    return torch.where(mirrored.view(-1, 1, 1, 1), cropped.flip(3), cropped).add_(background)


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
    if not len(mean) == len(std) == images.shape[1] or min(std) <= 0:
        raise ValueError(
            f"mean and std need one value for each of {images.shape[1]} channels, std above 0; "
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
