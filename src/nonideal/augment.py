"""Random affine and elastic maps, crops, mirrorings and cut-outs, a batch at a time."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Affine:
    """Ranges of a random affine map; every quantity is uniform in its range.

    Parameters
    ----------
    degrees
        Rotation by up to plus or minus this angle, in degrees.
    translate
        Shift by up to plus or minus this fraction of the width and of the height, before the image is
        magnified and turned: magnification multiplies it.
    scale
        Smallest and largest magnification.
    shear
        Shear along x by up to plus or minus this angle, in degrees, below 90.

    Raises
    ------
    ValueError
        If a range is negative, reversed or not finite.
    """

    degrees: float = 10.0
    translate: float = 0.1
    scale: tuple[float, float] = (0.9, 1.1)
    shear: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.degrees < math.inf and 0 <= self.translate < math.inf):
            raise ValueError(f"degrees and translate must be finite and not negative, got {self}")
        if not 0 <= self.shear < 90:
            raise ValueError(f"shear must lie in [0, 90) degrees, got {self}")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
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


KNOTS = 5  # of an elastic map, along each axis


def draw_elastic(count: int, *, generator: torch.Generator) -> Tensor:
    """Draw elastic maps: a smooth random displacement of every pixel.

    Displacements are drawn at a few knots and interpolated between them, where Simard et al. (2003,
    "Best practices for convolutional neural networks applied to visual document analysis") draw them for
    every pixel and smooth them.

    Parameters
    ----------
    count
        Number of maps.
    generator
        Source of the random numbers; the displacements lie on its device.

    Returns
    -------
    Tensor
        Displacements of the knots in x and y, of unit standard deviation, [count, 2, KNOTS, KNOTS].
    """
    return torch.randn(count, 2, KNOTS, KNOTS, generator=generator, device=generator.device)


def transform(
    images: Tensor, matrices: Tensor, background: Tensor, displacements: Tensor | None = None
) -> Tensor:
    """Apply one map per image, bilinearly; what comes from outside the image is background.

    Parameters
    ----------
    images
        [n, c, h, w], floating point.
    matrices
        [n, 2, 3], see `Affine.matrices`.
    background
        Value of an empty pixel, [c, 1, 1].
    displacements
        In pixels, of the knots of an elastic map on top, see `draw_elastic`; the outer knots are the corners.

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
    if displacements is not None:
        down, right = (
            _interpolation(KNOTS, size, images.device, mode="bicubic", align_corners=True)
            for size in (height, width)
        )
        pixels = 2 / torch.tensor([width, height], device=images.device)  # coordinates span 2
        grid = grid + down @ (displacements * pixels[:, None, None]) @ right.T
    grid = grid.permute(0, 2, 3, 1)
    moved = functional.grid_sample(
        images - background, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return moved.add_(background)


def transform_fine(
    images: Tensor, matrices: Tensor, background: Tensor, displacements: Tensor | None = None, *, size: int
) -> Tensor:
    """Apply one map per image in its own resolution, then resize as `preprocess` does.

    Maps of images that are already small blur them: each new pixel is a mean of its neighbours. Here the
    blur is that of the fine resolution, and what is left of it after antialiasing hardly differs from the
    unmoved images.

    Parameters
    ----------
    images, matrices, background, displacements
        As `transform`; [n, c, h, w] with h = w, displacements in pixels of these images.
    size
        Height and width of the result.

    Returns
    -------
    Tensor
        [n, c, size, size].
    """
    weights = _interpolation(
        images.shape[-1], size, images.device, mode="bilinear", antialias=True, align_corners=False
    )
    return weights @ transform(images, matrices, background, displacements) @ weights.T


@functools.lru_cache(maxsize=8)
def _interpolation(before: int, after: int, device: torch.device, **how: str | bool) -> Tensor:
    """Interpolation of one axis as a matrix [after, before]; `how` goes to torch's `interpolate`."""
    with torch.inference_mode(False):
        unit = torch.eye(before, device=device)[None, None]
        return functional.interpolate(unit, size=(after, before), **how)[0, 0]


@functools.lru_cache(maxsize=8)
def _pixel_centres(height: int, width: int, device: torch.device) -> Tensor:
    """Homogeneous coordinates (x, y, 1) of the pixel centres, [3, h * w]; the image spans -1 .. 1."""
    with torch.inference_mode(False):
        x = (torch.arange(width, device=device) * 2 + 1) / width - 1
        y = (torch.arange(height, device=device) * 2 + 1) / height - 1
        y, x = torch.meshgrid(y, x, indexing="ij")
        return torch.stack((x.flatten(), y.flatten(), torch.ones_like(x).flatten()))


def resize(images: Tensor, size: int) -> Tensor:
    """Images [n, c, h, w] made smaller, to [n, c, size, size], bilinearly and antialiased.

    Raises
    ------
    ValueError
        If they are not larger than that.
    """
    if size >= min(images.shape[2:]):
        height, width = images.shape[2:]
        raise ValueError(f"images of {height} x {width} pixels cannot be made smaller to {size}")
    return functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)


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


def crop_flip(images: Tensor, corners: Tensor, mirrored: Tensor | None, background: Tensor) -> Tensor:
    """Crop each image from a copy padded with background, and mirror some left to right.

    Parameters
    ----------
    images
        [n, c, h, w].
    corners, mirrored
        See `draw_crop_flip`; None mirrors no image.
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
    down, right = corners.long().unbind(dim=1)
    cropped = windows[image, :, down, right]
    if mirrored is None:
        return cropped.add_(background)
    return torch.where(mirrored.view(-1, 1, 1, 1), cropped.flip(3), cropped).add_(background)


def draw_cutout(count: int, height: int, width: int, *, generator: torch.Generator) -> Tensor:
    """Draw the centres of `cutout` for `count` images of one size, anywhere in them.

    Returns
    -------
    Tensor
        Rows and columns, int64 [count, 2].
    """
    rows, columns = (torch.randint(0, size, (count,), generator=generator) for size in (height, width))
    return torch.stack((rows, columns), dim=1)


def cutout(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """Replace a square of each image by zeros, the mean of normalised images.

    Squares at the border are cut off there (DeVries and Taylor, arXiv:1708.04552, section 3.2): some images
    show more than the others, and pixels within half a side of the border are hidden less often, those in
    the corners about a quarter as often as those in the middle.

    Parameters
    ----------
    images
        [n, c, h, w].
    centres
        See `draw_cutout`; of an even side, the lower and right one of the middle pixels.
    side
        Of the square, in pixels.

    Returns
    -------
    Tensor
        [n, c, h, w].
    """
    first = centres - side // 2
    rows, columns = (torch.arange(size, device=images.device) for size in images.shape[2:])
    down = (first[:, :1] <= rows) & (rows < first[:, :1] + side)
    right = (first[:, 1:] <= columns) & (columns < first[:, 1:] + side)
    return images.masked_fill((down[:, :, None] & right[:, None, :])[:, None], 0)
