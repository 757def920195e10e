"""Bit-serial integer inference with learned multipliers (Biswas et al. 2025, arXiv:2503.01297, Fig. 8b).

With x the integers of the input and B_k the k-th bits of the codes, a layer is

    y = s (sum_k r_k (B_k x) + c (1 x)),

where every product in brackets is made of additions of integers alone; input bits enter one after the other
and are shifted. The multipliers, whatever their values, appear once per output in the final scaling, which
any quantised network has. Accumulators are whole numbers carried in float64, exact below 2^53; a larger one
is refused. Codes of layers with stuck cells are those the array holds. Cells that all conduct differently
have no r_k of their layer, and are refused.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from nonideal.faults import StuckCells
from nonideal.quantize import attach
from nonideal.quantize.learned import LearnedQuantiser
from nonideal.variability import VariableQuantiser

EXACT = 2**53  # float64 holds every whole number below


class BitSerial(nn.Module):
    """Layer computed from bit planes.

    Parameters
    ----------
    layer
        `Linear` or `Conv2d` (ungrouped, padded by zeros) whose weight has a `LearnedQuantiser` and whose
        input is quantised.

    Attributes
    ----------
    planes
        Bits of the codes, and a last filter of ones for the offset: float64 [N out + 1, in, ...], 0 or 1.
    largest
        Largest accumulator so far.

    Raises
    ------
    ValueError
        If the layer is of another kind, has no such quantisers, its cells vary, or its input has no step.
    """

    planes: Tensor

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        if not isinstance(layer, nn.Linear | nn.Conv2d) or getattr(layer, "groups", 1) != 1:
            raise ValueError(f"bit-serial inference knows Linear and ungrouped Conv2d, not {layer}")
        if getattr(layer, "padding_mode", "zeros") != "zeros":
            raise ValueError(
                f"bit-serial inference pads by zeros, not {layer}; train it with padding of zeros"
            )
        quantiser = attach.attached(layer).get("")
        if not isinstance(quantiser, LearnedQuantiser) or not hasattr(layer, "input_quantiser"):
            raise ValueError(f"{layer} needs a learned quantiser on its weight and a quantised input")
        if isinstance(quantiser, VariableQuantiser):
            raise ValueError(
                f"{layer} has variable cells, and so no multipliers that all its weights share; convert the "
                "network as it was before it met them"
            )
        if not layer.input_quantiser.started:
            raise ValueError(f"the input of {layer} has no step yet; run the network on a batch first")
        weight = attach.original(layer)[""].detach()
        codes = quantiser.written(weight) if isinstance(quantiser, StuckCells) else quantiser.encode(weight)
        bits = [(codes >> k & 1).double() for k in range(quantiser.bits)]
        self.register_buffer("planes", torch.cat([*bits, torch.ones_like(bits[0][:1])]))
        self.register_buffer("multipliers", quantiser.multipliers().detach().double())
        self.register_buffer("offset", quantiser.c.detach().double())
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().double())
        self.input = layer.input_quantiser
        convolution = isinstance(layer, nn.Conv2d)
        self.options = (
            {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
            if convolution
            else {}
        )
        self.operate = functional.conv2d if convolution else functional.linear
        self.largest = 0

    def accumulate(self, integers: Tensor) -> Tensor:
        """Sums B_k x for all k and outputs, and 1 x: whole numbers [n, N out + 1, ...]."""
        total = torch.zeros(())
        for bit in range(self.input.bits):
            plane = (integers / 2**bit).floor_().remainder_(2)
            total = total + 2**bit * self.operate(plane, self.planes, **self.options)
        self.largest = max(self.largest, int(total.abs().max()))
        if self.largest >= EXACT:
            raise ValueError(f"an accumulator reaches {self.largest}, beyond what float64 holds exactly")
        return total

    def forward(self, x: Tensor) -> Tensor:
        """Layer on float inputs, as the network passes them."""
        if self.operate is functional.linear and x.ndim != 2:  # the last axis is that of the inputs
            return self(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)
        sums = self.accumulate(self.input.integers(x.double()))
        parts = sums[:, :-1].unflatten(1, (len(self.multipliers), -1))  # [n, N, out, ...]
        y = torch.einsum("nk...,k->n...", parts, self.multipliers) + self.offset * sums[:, -1:]
        y = y * self.input.step.detach().double()
        if self.bias is not None:
            y = y + self.bias.view(-1, *[1] * (y.ndim - 2))
        return y


def convert(model: nn.Module) -> nn.Module:
    """Copy of a trained network in float64 whose quantised layers compute bit-serially; evaluation mode.

    Raises
    ------
    ValueError
        If the network has no quantised layer, or one that cannot be converted.
    """
    result = copy.deepcopy(model).double().eval()
    names = list(attach.attached(result))
    if not names:
        raise ValueError("the network has no quantised layer; quantise it first")
    for name in names:
        parent, _, child = name.rpartition(".")
        setattr(result.get_submodule(parent), child, BitSerial(result.get_submodule(name)))
    return result


def accumulators(model: nn.Module) -> int:
    """Largest integer that any accumulator of a converted network held so far."""
    return max(layer.largest for layer in model.modules() if isinstance(layer, BitSerial))
