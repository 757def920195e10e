"""What the designs of a spiking layer share: stored weights, products, widths of signals, one neuron's step.

Widths follow from the layer's bounds. Every partial sum lies between the sum of the negative and that of the
positive terms, so between `lowest` and `highest` of the layer. H = V + floor((X - V) / 4) lies between V and
X, so by induction all three stay in that range, and V, if not reset, below the threshold.
"""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Mux, Shape, Value, signed

from nonideal.spiking.integer import LEAK_SHIFT, SpikingLayer

TERNARY = ("ternary", "twn")
"""Formats whose levels are -1, 0 and +1; they differ in how a weight is put on them."""

WEIGHT_BITS = {"binary": 1} | dict.fromkeys(TERNARY, 2) | {"q2.2": 4, "q4.4": 8, "q8.8": 16}
"""Bits of a stored weight: two's complement, but binary, where 1 stands for +1 and 0 for -1."""


def encode(weights: np.ndarray, weight_format: str) -> np.ndarray:
    """Stored codes of levels, non-negative int64 of the same shape.

    Raises
    ------
    ValueError
        If the format has no hardware or a weight is none of its levels.
    """
    if weight_format not in WEIGHT_BITS:
        raise ValueError(
            f"weight format {weight_format!r} has no hardware; known are {', '.join(WEIGHT_BITS)}"
        )
    bits, levels = WEIGHT_BITS[weight_format], weights.astype(np.int64)
    largest = 2 ** (bits - 1) - 1
    if weight_format == "binary":
        allowed = np.abs(levels) == 1
    else:
        allowed = (levels >= (-largest if weight_format in TERNARY else -largest - 1)) & (levels <= largest)
    if not allowed.all():
        raise ValueError(f"weight {levels[~allowed][0]} is no level of format {weight_format!r}")
    return (levels > 0).astype(np.int64) if bits == 1 else levels & (2**bits - 1)


def product(code: Value, x: Value, weight_format: str, input_bits: int) -> Value:
    """Weight times input: a choice where one of them has one bit or the weight is ternary, else a multiplier.

    Parameters
    ----------
    code
        Stored weight, unsigned.
    x
        Spike (`input_bits` 0) or unsigned current.
    weight_format
        Of the code.
    input_bits
        Width of the current; 0 for spikes.
    """
    if weight_format == "binary":
        return Mux(code, x, -x) if input_bits else Mux(x, Mux(code, 1, -1), 0)
    if not input_bits:
        return Mux(x, code.as_signed(), 0)
    if weight_format in TERNARY:
        return Mux(code[0], Mux(code[1], -x, x), 0)
    return code.as_signed() * x


def _range(lowest: int, highest: int) -> Shape:
    """Narrowest signed shape that holds both ends."""
    return signed(max(highest.bit_length(), (-lowest - 1).bit_length() if lowest else 0) + 1)


def sum_shape(layer: SpikingLayer) -> Shape:
    """Shape of the weighted sum, before its shift to the state's unit."""
    return _range(layer.lowest >> layer.shift, layer.highest >> layer.shift)


def state_shape(layer: SpikingLayer) -> Shape:
    """Shape of the state V."""
    return _range(layer.lowest, min(layer.highest, layer.threshold - 1))


def neuron(state: Value, total: Value, layer: SpikingLayer) -> tuple[Value, Value]:
    """State and spike after one step, from the state and the weighted sum before its shift."""
    charged = state + (((total << layer.shift) - state) >> LEAK_SHIFT)
    spike = charged >= layer.threshold
    return Mux(spike, 0, charged), spike
