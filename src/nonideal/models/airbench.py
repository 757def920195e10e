"""A convolutional network that learns small images in few epochs: Jordan, arXiv:2404.00498, section 3."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nonideal import initial
from nonideal.models.resnet import conv3x3

PATCH = 2  # pixels a side, of the whitened patches
WHITENING_IMAGES = 5000  # whose patches are measured
SMALLEST_VARIANCE = 5e-4  # added to each variance: noise is not blown up
STAGES = (1, 4, 4)  # channels of each stage, in widths
TEMPERATURE = 9  # divides the logits


class Stage(nn.Module):
    """Two 3 x 3 convolutions, each batch-normalised and smoothly rectified, pooling after the first."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, 1, generator)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs, 1, generator)
        self.norm2 = nn.BatchNorm2d(outputs)
        for layer in (self.conv1, self.conv2):
            # As much as can be is passed on at first ("identity initialisation").
            with torch.no_grad():
                nn.init.dirac_(layer.weight[:inputs])

    def forward(self, x: Tensor) -> Tensor:
        """X [n, in, h, w] to [n, out, h / 2, w / 2]."""
        x = functional.gelu(self.norm1(functional.max_pool2d(self.conv1(x), 2)))
        return functional.gelu(self.norm2(self.conv2(x)))


class Airbench(nn.Module):
    """Whitened patches, stages of `width`, 4 `width` and 4 `width` channels, a pooling, and a linear layer.

    Parameters
    ----------
    channels
        Channels of the images, which have 9 pixels a side at least: three poolings leave one.
    classes
        Number of classes.
    width
        Channels of the first stage.
    generator
        For the initial weights.
    """

    def __init__(self, *, channels: int, classes: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        patch = channels * PATCH**2
        # Not trained, so no parameter: see `whiten`. Each direction of the patches, and its opposite.
        self.register_buffer("filters", torch.empty(2 * patch, channels, PATCH, PATCH))
        nn.init.normal_(self.filters, std=1 / math.sqrt(patch), generator=generator)
        self.bias = nn.Parameter(torch.zeros(2 * patch))
        stages, inputs = [], 2 * patch
        for factor in STAGES:
            stages.append(Stage(inputs, factor * width, generator))
            inputs = factor * width
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(inputs, classes, bias=False)
        initial.uniform(self.classifier.weight, fan_in=inputs, generator=generator)

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Set the first filters so that patches of the images have uncorrelated outputs of variance one.

        Parameters
        ----------
        images
            Training images, [n, channels, h, w]; the first few thousand are used.
        """
        patches = functional.unfold(images[:WHITENING_IMAGES], PATCH).double()  # [n, patch, positions]
        patches = patches.transpose(0, 1).flatten(1)
        variances, directions = torch.linalg.eigh(patches @ patches.T / patches.shape[1])
        filters = directions.T / (variances + SMALLEST_VARIANCE).sqrt()[:, None]
        self.filters.copy_(torch.cat((filters, -filters)).view_as(self.filters))

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, channels, h, w] to logits [n, classes]."""
        x = functional.gelu(functional.conv2d(x, self.filters, self.bias))
        return self.classifier(self.stages(x).amax(dim=(2, 3))) / TEMPERATURE


def airbench(
    *, generator: torch.Generator, channels: int = 3, classes: int = 10, width: int = 64
) -> Airbench:
    """Network of Jordan's ``airbench94``, two million weights at width 64; parameters as `Airbench`.

    Raises
    ------
    ValueError
        If a size is not positive.
    """
    if min(channels, classes, width) < 1:
        raise ValueError(
            f"model 'airbench': channels, classes and width must be positive, "
            f"got {channels}, {classes}, {width}"
        )
    return Airbench(channels=channels, classes=classes, width=width, generator=generator)
