"""Plain convolutional networks for small images: Simonyan & Zisserman, arXiv:1409.1556, narrowed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nonideal import initial
from nonideal.models.resnet import conv3x3

STAGES = 3
CONVOLUTIONS = 2  # in each stage, before its pooling


class NarrowVGG(nn.Module):
    """Three stages of two 3 x 3 convolutions and a 2 x 2 max pool: 16-16-M-32-32-M-64-64-M, then linear.

    Parameters
    ----------
    channels
        Channels of the images.
    classes
        Number of classes.
    width
        Channels of the first stage; each further stage has twice as many.
    generator
        For the initial weights.
    """

    def __init__(self, *, channels: int, classes: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for stage in range(STAGES):
            outputs = width * 2**stage
            for _ in range(CONVOLUTIONS):
                layers += [conv3x3(inputs, outputs, 1, generator), nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)
        initial.uniform(*self.classifier.parameters(), fan_in=inputs, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, channels, h, w], at least 8 x 8, to logits [n, classes]."""
        return self.classifier(self.features(x).mean(dim=(2, 3)))


def vgg_narrow(
    *, generator: torch.Generator, channels: int = 3, classes: int = 10, width: int = 16
) -> NarrowVGG:
    """Narrow VGG with six convolutions; parameters as `NarrowVGG`.

    Raises
    ------
    ValueError
        If a size is not positive.
    """
    if min(channels, classes, width) < 1:
        raise ValueError(
            f"model 'vgg_narrow': channels, classes and width must be positive, "
            f"got {channels}, {classes}, {width}"
        )
    return NarrowVGG(channels=channels, classes=classes, width=width, generator=generator)
