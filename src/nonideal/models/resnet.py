"""Residual networks for small images: He et al., arXiv:1512.03385, section 4.2.

Ordinary PyTorch layers, so that every study can convert them in its own way: noise or a grid goes onto the
weights as a parametrisation, a crossbar takes the place of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from nonideal import initial

STAGES = 3


def conv3x3(inputs: int, outputs: int, stride: int, generator: torch.Generator) -> nn.Conv2d:
    """3 x 3 convolution, no bias, weights normal with variance 2 / fan-out (He et al., arXiv:1502.01852)."""
    layer = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * outputs)), generator=generator)
    return layer


class Block(nn.Module):
    """Two convolutions beside a shortcut; where the size changes, it subsamples and pads with zeros.

    Parameters
    ----------
    inputs, outputs
        Channels.
    stride
        Of the first convolution and of the shortcut.
    generator
        For the initial weights.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, generator: torch.Generator) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride, generator)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs, 1, generator)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """X [n, in, h, w] to [n, out, h / stride, w / stride]."""
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.stride > 1 or self.added:
            before = self.added // 2
            # Pooling over one pixel subsamples. Its gradient keeps the layout of x; that of a slice, or of a
            # mean, comes channel by channel, and mixed layouts are slow.
            x = functional.max_pool2d(x, 1, self.stride)
            x = functional.pad(x, (0, 0, 0, 0, before, self.added - before))
        return functional.relu(x + y)


class ResNet(nn.Module):
    """Residual network with three stages of 16, 32 and 64 channels (times `width` / 16).

    Parameters
    ----------
    blocks
        Blocks per stage; the network has 6 * blocks + 2 weighted layers.
    channels
        Channels of the images.
    classes
        Number of classes.
    width
        Channels of the first stage.
    generator
        For the initial weights.
    """

    def __init__(
        self, blocks: int, *, channels: int, classes: int, width: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.conv = conv3x3(channels, width, 1, generator)
        self.norm = nn.BatchNorm2d(width)
        layers: list[nn.Module] = []
        inputs = width
        for stage in range(STAGES):
            outputs = width * 2**stage
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layers.append(Block(inputs, outputs, stride, generator))
                inputs = outputs
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)
        initial.uniform(*self.classifier.parameters(), fan_in=inputs, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, channels, h, w] to logits [n, classes]."""
        x = self.blocks(functional.relu(self.norm(self.conv(x))))
        return self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))

    @torch.no_grad()
    def deepen(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a network that is shallower or as deep, and compute what it computes.

        Blocks that it does not have come last in their stages and add zero to their shortcuts, by a factor of
        zero in their last normalisation (a deeper student in the sense of Chen et al., arXiv:1511.05641; the
        factor as in Goyal et al., arXiv:1706.02677, section 5.1); a gradient reaches them all the same.

        Parameters
        ----------
        state
            Of a `ResNet` with as many channels and classes.

        Raises
        ------
        ValueError
            If the state is of another network or of a deeper one.
        """
        blocks = len(self.blocks) // STAGES
        found = len({key.split(".")[1] for key in state if key.startswith("blocks.")}) // STAGES
        own = self.state_dict()
        taken = {}
        for key in own:
            head, *rest = key.split(".")
            if head == "blocks":
                stage, block = divmod(int(rest[0]), blocks)
                if block >= found:
                    if ".".join(rest[1:]) == "norm2.weight":
                        taken[key] = torch.zeros_like(own[key])
                    continue
                rest[0] = str(stage * found + block)
            taken[key] = state.get(".".join((head, *rest)))
        fits = all(value is not None and value.shape == own[key].shape for key, value in taken.items())
        if not 0 < found <= blocks or not fits:
            raise ValueError(
                f"a ResNet of {6 * blocks + 2} layers takes the weights of one at most as deep, with as many "
                f"channels and classes; found one of {found} blocks in each of {STAGES} stages"
            )
        self.load_state_dict(own | taken)


def _resnet(depth: int, generator: torch.Generator, channels: int, classes: int, width: int) -> ResNet:
    if min(channels, classes, width) < 1:
        raise ValueError(
            f"model 'resnet{depth}': channels, classes and width must be positive, "
            f"got {channels}, {classes}, {width}"
        )
    return ResNet((depth - 2) // 6, channels=channels, classes=classes, width=width, generator=generator)


def resnet8(*, generator: torch.Generator, channels: int = 3, classes: int = 10, width: int = 16) -> ResNet:
    """ResNet-8: 75 thousand weights; parameters as `ResNet`."""
    return _resnet(8, generator, channels, classes, width)


def resnet20(*, generator: torch.Generator, channels: int = 3, classes: int = 10, width: int = 16) -> ResNet:
    """ResNet-20: 270 thousand weights; parameters as `ResNet`."""
    return _resnet(20, generator, channels, classes, width)


def resnet32(*, generator: torch.Generator, channels: int = 3, classes: int = 10, width: int = 16) -> ResNet:
    """ResNet-32: 460 thousand weights; parameters as `ResNet`."""
    return _resnet(32, generator, channels, classes, width)
