"""From trained spiking networks to integers: quantisers before their weights, and the levels behind them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from nonideal.models.spiking import SpikingNetwork
from nonideal.quantize import attach, fixed_point, twn
from nonideal.quantize.attach import FormatQuantiser
from nonideal.spiking import integer
from nonideal.spiking.neurons import LIF
from nonideal.spiking.packing import levels_of

FLOAT_BITS = 32.0  # of a weight in single precision
GREY = 2**integer.PIXEL_BITS  # what an input of 1 stands for


def bits_of(weight_format: str) -> float:
    """Information per weight, in bit; 32 for ``float``.

    Raises
    ------
    ValueError
        If no kernel knows the format.
    """
    return FLOAT_BITS if weight_format == "float" else math.log2(len(levels_of(weight_format)))


def quantiser(weight: Tensor, weight_format: str, *, trained: bool) -> nn.Module:
    """Quantiser of a weight format, for `nonideal.quantize.attach`.

    Parameters
    ----------
    weight
        Weight that the first scale is chosen for.
    weight_format
        A fixed-point format, ``twn``, or a format of `nonideal.quantize.formats`.
    trained
        True for weights that will not be trained further: formats with a scale then take the one of least
        squared error.
    """
    if weight_format in fixed_point.FIXED_POINT:
        return fixed_point.FixedPointQuantiser(weight_format)
    if weight_format == twn.NAME:
        return twn.TernaryQuantiser(weight)
    return FormatQuantiser(weight, weight_format, clipping="mse" if trained else None)


def quantise(model: nn.Module, weight_format: str, *, trained: bool = False) -> nn.Module:
    """Put a quantiser in front of every weight of a network, in place; parameters as `quantiser`."""
    attach.attach(model, lambda _, layer: quantiser(layer.weight, weight_format, trained=trained))
    return model


def grey_levels(images: Tensor) -> np.ndarray:
    """Images [n, ...] of values k / 256 as the integers k, uint8 [n, pixels].

    Raises
    ------
    ValueError
        If a value is no such fraction.
    """
    levels = images.detach().cpu().flatten(1).double().mul(GREY)
    rounded = levels.round()
    close = (levels - rounded).abs() < 0.01
    if not bool((close & (rounded >= 0) & (rounded < GREY)).all()):
        raise ValueError(f"images must hold multiples of 1/{GREY} from 0 to {GREY - 1}/{GREY}")
    return rounded.to(torch.uint8).numpy()


def to_integers(model: SpikingNetwork, weight_format: str) -> integer.SpikingNetwork:
    """Integers of a dense spiking network with attached quantisers.

    Raises
    ------
    ValueError
        If the network is not dense layers and neurons, its neurons are others than those of the integers, or
        a weight has no quantiser, one of another format or one with several scales.
    """
    order = _in_order(nn.Sequential(model.body, *([] if model.output is None else [model.output])))
    dense, neurons = order[::2], order[1::2]
    if (
        len(dense) != len(neurons)
        or not all(isinstance(layer, nn.Linear) for layer in dense)
        or not all(isinstance(lif, LIF) for lif in neurons)
    ):
        raise ValueError("only dense layers, each followed by neurons, can be put into integers")
    if any(layer.bias is not None for layer in dense):
        raise ValueError("a dense layer has a bias, which the integers do not have")
    if any((lif.share, lif.gap) != (2.0**-integer.LEAK_SHIFT, 1.0) for lif in neurons):
        raise ValueError("the integers have neurons with beta = 1/4, V_th = 1 and V_reset = 0 only")
    quantisers, weights = attach.attached(model), attach.original(model)
    if len(quantisers) != len(dense):
        raise ValueError(f"{len(quantisers)} of {len(dense)} weights have a quantiser; quantise all")
    layers = []
    for k, (name, made) in enumerate(quantisers.items()):
        _check_quantiser(name, made, weight_format)
        levels = made.integers(weights[name]).cpu().numpy().astype(np.int16)
        current = k == 0 and not model.frames
        bits = integer.PIXEL_BITS if current else 0
        layers.append(integer.SpikingLayer(weight_format, levels, float(made.scale), bits))
    return integer.SpikingNetwork(tuple(layers), model.steps)


def _in_order(module: nn.Module) -> list[nn.Module]:
    """Modules in the order of the signal; those that change no value of a trained network are left out."""
    if isinstance(module, nn.Sequential):
        return [inner for child in module for inner in _in_order(child)]
    return [] if isinstance(module, nn.Flatten | nn.Identity | nn.Dropout) else [module]


def _check_quantiser(name: str, made: nn.Module, weight_format: str) -> None:
    """Require one scale, and the format that the integers are said to have."""
    ternary = isinstance(made, twn.TernaryQuantiser)  # its levels are those of another format
    found = twn.NAME if ternary else getattr(getattr(made, "format", None), "name", type(made).__name__)
    if found != weight_format:
        raise ValueError(f"layer {name!r} has a quantiser of {found!r}, not of {weight_format!r}")
    if made.scale.numel() != 1:
        raise ValueError(f"layer {name!r} has {made.scale.numel()} scales; the integers have one for a layer")


class SpikeCounter:
    """Counts the spikes of a network's neurons while it is called, as a context.

    Attributes
    ----------
    spikes
        Spikes so far, of all neurons.
    slots
        Chances to spike so far: neurons times steps.
    """

    def __init__(self, model: SpikingNetwork) -> None:
        self.model, self.spikes, self.slots = model, 0, 0
        self._handles: list = []

    def _count(self, module: LIF, arguments: tuple[Tensor], spikes: Tensor) -> None:
        self.spikes += int(spikes.sum(dtype=torch.float64))
        self.slots += spikes.numel()

    def __enter__(self) -> SpikeCounter:
        self._handles = [neurons.register_forward_hook(self._count) for neurons in self.model.neurons()]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
