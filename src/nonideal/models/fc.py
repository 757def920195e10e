"""Fully connected networks of quantised layers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nonideal.layers import QuantLinear


class FullyConnected(nn.Module):
    """Quantised fully connected layers with ReLU between them.

    Parameters
    ----------
    sizes
        Input pixels, hidden widths, classes.
    **settings
        As `nonideal.layers.QuantLayer`, the same for every layer.
    """

    def __init__(self, sizes: Sequence[int], **settings) -> None:
        super().__init__()
        self.layers = nn.ModuleList(QuantLinear(*pair, **settings) for pair in itertools.pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, c, h, w] or [n, pixels] to logits [n, classes]."""
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return self.layers[-1](x)


def fc(
    *,
    generator: torch.Generator,
    input_pixels: int = 256,
    widths: Sequence[int] = (64, 64, 64),
    classes: int = 10,
    weight_format: str = "4bitsym",
    activation_bits: int | None = 8,
    clipping: str | None = None,
    quantscale: float | None = None,
    per_channel: bool = False,
) -> FullyConnected:
    """Fully connected network.

    Parameters
    ----------
    generator
        For the initial weights.
    input_pixels
        Values per image, all channels together (256: 16x16 grey).
    widths
        Outputs of the hidden layers.
    classes
        Outputs of the last layer.
    weight_format, activation_bits, clipping, quantscale, per_channel
        As `nonideal.layers.QuantLayer`.

    Raises
    ------
    ValueError
        If a size is not positive, or a layer refuses its settings.
    """
    sizes = (input_pixels, *widths, classes)
    if any(size < 1 for size in sizes):
        raise ValueError(f"model 'fc': input_pixels, widths and classes must be positive, got {sizes}")
    return FullyConnected(
        sizes,
        weight_format=weight_format,
        activation_bits=activation_bits,
        clipping=clipping,
        quantscale=quantscale,
        per_channel=per_channel,
        generator=generator,
    )
