"""What the engine and a microcontroller can hold, checked before anything is compiled."""

from __future__ import annotations

from dataclasses import dataclass

from nonideal.mcu.integer import (
    ACCUMULATOR_LARGEST,
    INPUT_LARGEST,
    INPUT_LOWEST,
    IntegerLayer,
    IntegerNetwork,
)
from nonideal.mcu.packing import CODE_BITS, TRITS, WORD_BITS, pack

MAX_INPUTS = 2**16 - 1  # uint16 in ni_layer
MAX_WIDTH = 1024  # NI_MAX_WIDTH of the host library, work.h
MAX_ROW = 2**14 - 2  # row offset + 1 in 14 bits, lanes.h
LANE_FORMATS = ("binary", "ternary", "2bitsym", "4bitsym", "4bit", "8bit")  # fast kernels made of lanes.h
WIDTH_MULTIPLE = 32  # accumulators have room for the outputs rounded up to this, nonideal.h
PRODUCTS = 16  # words of the fast nf4 kernel's table
LANE_WORDS = 8  # work.h
ROW_LIST_BYTES = 2 * 2 * (31 + 1)  # work.h


@dataclass(frozen=True)
class Target:
    """Memory of a microcontroller.

    Parameters
    ----------
    flash, ram
        In bytes.
    stack
        Bytes of RAM reserved for the stack.
    active
        NI_ACTIVE of work.h: inputs the fast kernels treat at once.
    """

    flash: int
    ram: int
    stack: int
    active: int


# CH32V003 data sheet: 16 KB flash, 2 KB SRAM.
TARGETS = {"ch32v003": Target(flash=16 * 1024, ram=2 * 1024, stack=192, active=96)}


def padded(width: int) -> int:
    """Accumulators that a layer of that width needs room for."""
    return -(-width // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def get_target(name: str) -> Target:
    """Target of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in TARGETS:
        raise ValueError(f"target {name!r} is not known; targets are {', '.join(TARGETS)}")
    return TARGETS[name]


def check_engine(network: IntegerNetwork, kernel: str) -> None:
    """Refuse what the engine cannot compute.

    Raises
    ------
    ValueError
        If a layer is too wide or an accumulator could overflow; the message names layer and limit.
    """
    for index, layer in enumerate(network.layers, 1):
        name = f"layer {index} ({layer.weight_format}, {layer.inputs} to {layer.outputs})"
        for what, found, limit in (
            ("inputs", layer.inputs, MAX_INPUTS),
            ("outputs", layer.outputs, MAX_WIDTH),
        ):
            if found > limit:
                raise ValueError(f"{name}: too wide, {found} {what}; the engine takes at most {limit}")
        bound = layer.bound(lowest=INPUT_LOWEST if index == 1 else 0, highest=INPUT_LARGEST)
        if bound > ACCUMULATOR_LARGEST:
            raise ValueError(
                f"{name}: an accumulator could reach {bound}, 32 bits hold {ACCUMULATOR_LARGEST}; "
                f"use fewer inputs or smaller weights"
            )
        rows = layer.inputs * row_units(layer)
        if kernel == "fast" and layer.weight_format in LANE_FORMATS and rows > MAX_ROW:
            raise ValueError(
                f"{name}: too wide, its rows take {rows} words (ternary: bytes) where the fast kernel "
                f"addresses {MAX_ROW}; make it narrower or use kernel='plain'"
            )


def row_units(layer: IntegerLayer) -> int:
    """Stride of the fast layout: words, of ternary weights bytes."""
    if layer.weight_format == "ternary":
        return -(-layer.outputs // TRITS)
    return -(-layer.outputs * CODE_BITS[layer.weight_format] // WORD_BITS)


def sum_words(network: IntegerNetwork, kernel: str) -> int:
    """NI_SUM_WORDS of work.h: 16-bit sums, two a word, of the layer that needs most."""
    if kernel == "plain":
        return 1
    needs = []
    for layer in network.layers:
        units = row_units(layer)
        if layer.weight_format == "ternary":
            needs.append(-(-units * TRITS // 2))
        elif layer.weight_format in LANE_FORMATS:
            needs.append(units * WORD_BITS // min(CODE_BITS[layer.weight_format], 4) // 2)
        else:
            needs.append(PRODUCTS)
    return max(needs)


def memory_of_data(network: IntegerNetwork, kernel: str, target: Target) -> tuple[list[int], int]:
    """Flash for each layer's weights, and RAM for images, accumulators and workspace, in bytes."""
    flash = [4 * len(pack(layer.weights, layer.weight_format, kernel).words) for layer in network.layers]
    flash[0] += 4 * network.layers[0].outputs  # row sums
    ram = -(-max(network.sizes) // 4) * 4 + 4 * padded(max(network.sizes[1:]))
    if kernel == "fast" and any(layer.weight_format in LANE_FORMATS for layer in network.layers):
        ram += 4 * (target.active + 1 + LANE_WORDS) + ROW_LIST_BYTES
    return flash, ram + 4 * sum_words(network, kernel)


def check_target(network: IntegerNetwork, kernel: str, name: str) -> None:
    """Refuse what cannot fit a microcontroller, counting data only; the linker counts the code as well.

    Raises
    ------
    ValueError
        If flash or RAM do not suffice; the message names the layer that passes the limit.
    """
    target = get_target(name)
    flash, ram = memory_of_data(network, kernel, target)
    used = 0
    for index, size in enumerate(flash, 1):
        used += size
        if used > target.flash:
            raise ValueError(
                f"layer {index}: weights up to here take {used} bytes of flash, {name} has {target.flash}; "
                f"use fewer weights or bits, or target=None to export for another machine"
            )
    if ram > target.ram - target.stack:
        image, widest = network.sizes[0], max(network.sizes)
        index = 1 if widest == image else network.sizes.index(widest)
        raise ValueError(
            f"layer {index}: an image of {image} pixels and layers up to {max(network.sizes[1:])} wide need "
            f"{ram} bytes of RAM, {name} has {target.ram} less {target.stack} for the stack"
        )
