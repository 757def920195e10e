"""Weights of spiking layers as the C kernels read them: codes in 32-bit words, output after output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nonideal.mcu import packing
from nonideal.mcu.limits import MAX_INPUTS
from nonideal.mcu.packing import Packed
from nonideal.quantize import twn
from nonideal.quantize.fixed_point import FIXED_POINT
from nonideal.quantize.formats import FORMATS

if TYPE_CHECKING:
    from nonideal.spiking.integer import SpikingNetwork

# Kernel for each format: fixed-point numbers have the levels of plain integers of their width.
KERNELS = {name: name for name in FORMATS} | {
    "q8.8": "16bit",
    "q4.4": "8bit",
    "q2.2": "4bit",
    twn.NAME: "ternary",
}


def levels_of(weight_format: str) -> tuple[int, ...]:
    """Levels of a format in integer units.

    Raises
    ------
    ValueError
        If no kernel knows the format.
    """
    if weight_format not in KERNELS:
        raise ValueError(f"no kernel knows weight format {weight_format!r}; formats are {', '.join(KERNELS)}")
    return (FIXED_POINT | FORMATS | {twn.NAME: FORMATS["ternary"]})[weight_format].levels


def check_engine(network: SpikingNetwork) -> None:
    """Refuse what the engine's 16 bits cannot count: they would wrap without notice.

    Raises
    ------
    ValueError
        If a layer is larger or the steps are more; the message names layer and limit.
    """
    if network.steps > MAX_INPUTS:
        raise ValueError(f"{network.steps} steps: the engine counts {MAX_INPUTS}")
    for k, layer in enumerate(network.layers, 1):
        if max(layer.inputs, layer.outputs) > MAX_INPUTS:
            raise ValueError(
                f"layer {k} has {layer.inputs} inputs and {layer.outputs} outputs: "
                f"the engine counts {MAX_INPUTS} of each"
            )


def pack(weights: np.ndarray, weight_format: str) -> Packed:
    """Pack levels int16 [outputs, inputs]; every row starts on a word.

    Raises
    ------
    ValueError
        If the format is unknown or a weight is none of its levels.
    """
    levels = np.array(levels_of(weight_format))
    if not np.isin(weights, levels).all():
        wrong = weights[~np.isin(weights, levels)][0]
        raise ValueError(f"{wrong} is no level of format {weight_format!r}, which has {len(levels)} levels")
    if KERNELS[weight_format] != "16bit":
        return packing.pack(weights, KERNELS[weight_format], "plain")
    even = np.pad(weights, ((0, 0), (0, weights.shape[1] % 2)))
    words = np.ascontiguousarray(even.astype("<i2")).view("<u4").astype(np.uint32)
    return Packed(words.reshape(-1), words.shape[1])


def stored_bits(weight_format: str) -> float:
    """Bits a weight occupies where rows fill words exactly."""
    kernel = KERNELS[weight_format]
    return 16.0 if kernel == "16bit" else float(packing.stored_bits(kernel, "plain"))
