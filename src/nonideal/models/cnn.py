"""Convolutional network of a microcontroller: three convolutions per channel, then fully connected layers.

Its convolutions are those of the integer engine to the last bit (`nonideal.mcu.convolutions`): trained on
integer images, with integer filters and shifts. The fully connected layers are those of `FullyConnected`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nonideal.layers import QuantLayer, QuantLinear
from nonideal.quantize.formats import fake_quantise

CONVOLUTIONS = 3
CONVOLUTION_FORMAT = "8bit"
IMAGE_BITS = 8
SHIFTS = (7, 7, 3)  # bits dropped after each convolution


def integer_input(x: Tensor, bits: int) -> Tensor:
    """Images as integers in floating point: max|x| of a sample becomes 2^(bits - 1) - 1.

    Rounds as `normalise_quantise` and `nonideal.mcu.integer.quantise_images` do; no gradient.
    """
    x = x.detach()
    axes = tuple(range(1, x.ndim))
    largest = 2 ** (bits - 1) - 1
    step = x.abs().amax(dim=axes, keepdim=True).clamp_(min=torch.finfo(x.dtype).tiny).div_(largest)
    return (x / step).round_()


class FilterBank(QuantLayer):
    """One 3x3 filter of 8-bit weights per channel; it hands out levels, `Cnn` applies them.

    Parameters
    ----------
    channels
        Number of filters.
    **settings
        As `nonideal.layers.QuantLayer`.
    """

    def __init__(self, channels: int, **settings) -> None:
        super().__init__((channels, 1, 3, 3), weight_format=CONVOLUTION_FORMAT, **settings)

    def levels(self) -> Tensor:
        """Integer weights in floating point, [channels, 1, 3, 3]; gradients pass straight through."""
        if self.training:
            self.update_scale()
        return fake_quantise(self.weight / self.scale, torch.ones(()), self.format)


class Cnn(nn.Module):
    """Three convolutions per channel with two 2x2 maximum pools, then fully connected layers.

    Parameters
    ----------
    channels
        Channels of every convolution.
    widths
        Outputs of the hidden fully connected layers.
    classes
        Outputs of the last layer.
    formats
        Weight formats of the fully connected layers: the first, and all others.
    generator
        For the initial weights.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        classes: int,
        *,
        formats: tuple[str, str],
        generator: torch.Generator,
    ) -> None:
        from nonideal.depthwise import LAST  # here and below: not every user of a network needs the compiler

        super().__init__()
        self.shifts = SHIFTS
        self.convolutions = nn.ModuleList(
            FilterBank(channels, generator=generator) for _ in range(CONVOLUTIONS)
        )
        sizes = itertools.pairwise((channels * LAST**2, *widths, classes))
        self.layers = nn.ModuleList(
            QuantLinear(*pair, weight_format=formats[k > 0], generator=generator)
            for k, pair in enumerate(sizes)
        )

    def features(self, x: Tensor) -> Tensor:
        """Output of the convolutions, integers [n, channels, 2, 2], of images [n, 1, 16, 16].

        Raises
        ------
        ValueError
            If the images have another shape.
        """
        from nonideal.depthwise import SIZE, features

        if x.ndim != 4 or tuple(x.shape[1:]) != (1, SIZE, SIZE):
            raise ValueError(
                f"a cnn takes grey images [n, 1, {SIZE}, {SIZE}], got {list(x.shape)}; resize them "
                f"(--pixels {SIZE})"
            )

        return features(
            integer_input(x, IMAGE_BITS), [bank.levels() for bank in self.convolutions], self.shifts
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, 1, 16, 16] to logits [n, classes]."""
        x = self.features(x).flatten(1)
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return self.layers[-1](x)

    def extra_repr(self) -> str:
        """Settings of the network, as printed and as compared when a checkpoint is loaded."""
        return f"shifts={self.shifts}"


def cnn(
    *,
    generator: torch.Generator,
    channels: int = 16,
    widths: Sequence[int] = (96, 64),
    classes: int = 10,
    first_format: str = "2bitsym",
    weight_format: str = "4bitsym",
) -> Cnn:
    """Convolutional network for 16x16 grey images.

    Parameters
    ----------
    generator
        For the initial weights.
    channels
        Channels of the convolutions; each has a filter in every one of them.
    widths
        Outputs of the hidden fully connected layers.
    classes
        Outputs of the last layer.
    first_format
        Weights of the first fully connected layer, which is the largest.
    weight_format
        Weights of the other fully connected layers.

    Raises
    ------
    ValueError
        If a size is not positive, or a layer refuses its format.
    """
    if any(size < 1 for size in (channels, *widths, classes)):
        raise ValueError(
            f"model 'cnn': channels, widths and classes must be positive, got {channels}, {widths}, {classes}"
        )
    return Cnn(channels, widths, classes, formats=(first_format, weight_format), generator=generator)
