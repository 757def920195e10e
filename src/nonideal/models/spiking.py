"""Spiking networks: multilayer perceptron, small convolutional network, Spiking VGG-11, Spiking ResNet-19.

Ordinary PyTorch layers with neurons of `nonideal.spiking.neurons` between them, trained by backpropagation
through time: one call of `forward` runs all time steps, and its gradient goes through all of them. Signals
have the shape [T, n, ...]; a signal that is constant in time has T = 1 until it reaches the first neurons.

An image is a constant current into the first layer. A recording is an image whose channels are its frames one
after the other, [n, T * channels, h, w], so that the training loop and its augmentation, which move all
channels of an image alike, serve both.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nonideal import initial
from nonideal.spiking.neurons import LIF

READOUTS = ("spikes", "current")
VGG11 = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # channels of each stage over those of the first
RESNET19 = ((1, 3), (2, 3), (4, 2))  # channels of each stage over those of the first, blocks


class Timed(nn.Sequential):
    """Layers one after the other; those that know no time are applied to all steps at once."""

    def forward(self, x: Tensor) -> Tensor:
        """Signal [T, n, ...] to signal [T, n, ...]."""
        for layer in self:
            knows_time = isinstance(layer, LIF | Timed | Block)
            x = layer(x) if knows_time else layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return x


class Block(nn.Module):
    """Two convolutions beside a shortcut; neurons after the first and after the sum (Zheng et al., 2021).

    Parameters
    ----------
    inputs, outputs
        Channels.
    stride
        Of the first convolution and of the shortcut.
    steps
        T.
    generator
        For the initial weights.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, *, steps: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.main = Timed(
            *_conv(inputs, outputs, stride, generator), LIF(steps), *_conv(outputs, outputs, 1, generator)
        )
        changes = stride > 1 or inputs != outputs
        self.shortcut = Timed(*_conv(inputs, outputs, stride, generator, size=1)) if changes else Timed()
        self.neurons = LIF(steps)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes [T, n, in, h, w] to spikes [T, n, out, h / stride, w / stride]."""
        return self.neurons(self.main(x) + self.shortcut(x))


class SpikingNetwork(nn.Module):
    """Layers and neurons, from images or frames to logits.

    Parameters
    ----------
    body
        Layers up to the last weights.
    steps
        T.
    frames
        True if the input's channels are the frames of a recording.
    readout
        ``spikes``: the logit is the number of spikes of an output neuron; ``current``: the sum over time of
        the current into it.

    Raises
    ------
    ValueError
        If the readout is unknown.
    """

    def __init__(self, body: Timed, *, steps: int, frames: bool, readout: str) -> None:
        super().__init__()
        if readout not in READOUTS:
            raise ValueError(f"readout must be one of {', '.join(READOUTS)}, got {readout!r}")
        self.body, self.steps, self.frames = body, steps, frames
        self.output = LIF(steps) if readout == "spikes" else None

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, c, h, w] or recordings [n, T * c, h, w] to logits [n, classes]."""
        x = x.unflatten(1, (self.steps, -1)).transpose(0, 1) if self.frames else x[None]
        x = self.body(x)
        return (x if self.output is None else self.output(x)).sum(dim=0)

    def neurons(self) -> list[LIF]:
        """Neurons of all layers, in the order of the layers."""
        return [module for module in self.modules() if isinstance(module, LIF)]


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Dense layer without bias, weights uniform within +-1/sqrt(fan-in)."""
    layer = nn.Linear(inputs, outputs, bias=False)
    initial.uniform(layer.weight, fan_in=inputs, generator=generator)
    return layer


def _conv(
    inputs: int, outputs: int, stride: int, generator: torch.Generator, *, size: int = 3
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Convolution without bias, weights normal with variance 2 / fan-out, and its normalisation."""
    layer = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
    nn.init.normal_(layer.weight, std=math.sqrt(2 / (size**2 * outputs)), generator=generator)
    return layer, nn.BatchNorm2d(outputs)


def _check(name: str, **sizes: int) -> None:
    if min(sizes.values()) < 1:
        raise ValueError(f"model {name!r}: sizes must be positive, got {sizes}")


def spiking_mlp(
    *,
    generator: torch.Generator,
    input_pixels: int = 784,
    widths: Sequence[int] = (128,),
    classes: int = 10,
    steps: int = 25,
    frames: bool = False,
) -> SpikingNetwork:
    """Dense spiking layers without bias; the logits count output spikes.

    Parameters
    ----------
    generator
        For the initial weights.
    input_pixels
        Values per image, or per frame of a recording, all channels together.
    widths
        Neurons of the hidden layers.
    classes
        Output neurons.
    steps
        T.
    frames
        As `SpikingNetwork`.

    Raises
    ------
    ValueError
        If a size is not positive.
    """
    sizes = (input_pixels, *widths, classes)
    _check("spiking_mlp", steps=steps, **{f"size {k}": size for k, size in enumerate(sizes)})
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [_linear(inputs, outputs, generator), LIF(steps)]
    # The last neurons belong to the readout.
    return SpikingNetwork(Timed(*layers[:-1]), steps=steps, frames=frames, readout="spikes")


def spiking_cnn(
    *,
    generator: torch.Generator,
    channels: int = 2,
    size: int = 34,
    classes: int = 10,
    width: int = 8,
    steps: int = 10,
    frames: bool = True,
    readout: str = "current",
) -> SpikingNetwork:
    """Two convolutions with average pooling, then a dense layer.

    Parameters
    ----------
    generator
        For the initial weights.
    channels, size
        Of an image or of a frame: channels, and height and width in pixels.
    classes
        Outputs.
    width
        Channels of the first convolution; the second has twice as many.
    steps
        T.
    frames, readout
        As `SpikingNetwork`.

    Raises
    ------
    ValueError
        If a size is not positive or the readout is unknown.
    """
    _check("spiking_cnn", channels=channels, size=size // 4, classes=classes, width=width, steps=steps)
    body = Timed(
        *_conv(channels, width, 1, generator), LIF(steps), nn.AvgPool2d(2),
        *_conv(width, 2 * width, 1, generator), LIF(steps), nn.AvgPool2d(2),
        nn.Flatten(), _linear(2 * width * (size // 4) ** 2, classes, generator),
    )  # fmt: skip
    return SpikingNetwork(body, steps=steps, frames=frames, readout=readout)


def spiking_vgg11(
    *,
    generator: torch.Generator,
    channels: int = 2,
    classes: int = 10,
    width: int = 64,
    steps: int = 10,
    frames: bool = True,
    readout: str = "current",
) -> SpikingNetwork:
    """Spiking VGG-11 with average pooling: eight convolutions and three dense layers.

    Simonyan & Zisserman, arXiv:1409.1556, configuration A, with batch normalisation; as in Biswas et al.
    2025 (arXiv:2503.01297). Images of at least 32 x 32 pixels.

    Parameters
    ----------
    width
        Channels of the first convolution (64 in VGG-11).
    generator, channels, classes, steps, frames, readout
        As `spiking_cnn`.
    """
    _check("spiking_vgg11", channels=channels, classes=classes, width=width, steps=steps)
    layers: list[nn.Module] = []
    inputs = channels
    for stage in VGG11:
        for factor in stage:
            layers += [*_conv(inputs, factor * width, 1, generator), LIF(steps)]
            inputs = factor * width
        layers.append(nn.AvgPool2d(2))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for _ in range(2):
        layers += [_linear(inputs, inputs, generator), LIF(steps)]
    layers.append(_linear(inputs, classes, generator))
    return SpikingNetwork(Timed(*layers), steps=steps, frames=frames, readout=readout)


def spiking_resnet19(
    *,
    generator: torch.Generator,
    channels: int = 2,
    classes: int = 10,
    width: int = 128,
    steps: int = 10,
    frames: bool = True,
    readout: str = "current",
) -> SpikingNetwork:
    """Spiking ResNet-19 with average pooling: a convolution, eight blocks of two, two dense layers.

    Zheng et al., "Going deeper with directly-trained larger spiking neural networks", AAAI 2021; as in Biswas
    et al. 2025 (arXiv:2503.01297).

    Parameters
    ----------
    width
        Channels of the first convolution (128 in ResNet-19).
    generator, channels, classes, steps, frames, readout
        As `spiking_cnn`.
    """
    _check("spiking_resnet19", channels=channels, classes=classes, width=width, steps=steps)
    layers: list[nn.Module] = [*_conv(channels, width, 1, generator), LIF(steps)]
    inputs = width
    for stage, (factor, blocks) in enumerate(RESNET19):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers.append(Block(inputs, factor * width, stride, steps=steps, generator=generator))
            inputs = factor * width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    layers += [_linear(inputs, 2 * width, generator), LIF(steps), _linear(2 * width, classes, generator)]
    return SpikingNetwork(Timed(*layers), steps=steps, frames=frames, readout=readout)
