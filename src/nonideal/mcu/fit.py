"""Whether a fully connected network can fit a microcontroller, told from its widths before it is trained.

`nonideal.mcu.limits` decides when a network is exported, from its packed weights, and takes PyTorch along.
Here stand the numbers it reckons with and its sums for layers of one format, without anything to load: the
workflow asks while it plans. Both count data alone, so that a program that passes can still be refused by the
linker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LAYOUTS = ("plain", "fast")  # of weights, see `nonideal.mcu.packing`; one for each kernel of that name
IMAGE_PIXELS = 16 * 16  # inputs of the networks that the workflow trains, see `nonideal.recipe`
WORD_BITS = 32
TRITS = 5  # trits a byte in the plain layout of ternary: 3^5 = 243 of 256 values

# Bits of a stored code in the fast layout. The plain one has the same, but for ternary.
FAST_BITS = {
    "binary": 1, "ternary": 2, "2bitsym": 2, "4bitsym": 4, "4bit": 4, "8bit": 8, "fp130": 4, "nf4": 4,
}  # fmt: skip
WIDTH_MULTIPLE = 32  # accumulators have room for the outputs rounded up to this, nonideal.h
MIN_ACTIVE = 16  # inputs treated at once; fewer would be slow
LANE_ENTRY, FP130_ENTRY = 4, 8  # bytes of an input in that list: of the lane kernels, of fp130
# NI_LIMIT of the fast lane kernels: rows they list at once.
ROW_LIMITS = {"binary": 31, "ternary": 31, "2bitsym": 31, "4bitsym": 17, "4bit": 17, "8bit": 17}
NF4_BYTES = 4 * 2**4 + 2**4  # products and levels
ROUNDING = 1e-9  # as in `nonideal.pruning`


@dataclass(frozen=True)
class Target:
    """Memory of a microcontroller.

    Parameters
    ----------
    flash, ram
        In bytes.
    stack
        Bytes of RAM reserved for the stack.
    """

    flash: int
    ram: int
    stack: int


# CH32V003 data sheet: 16 KB flash, 2 KB SRAM.
TARGETS = {"ch32v003": Target(flash=16 * 1024, ram=2 * 1024, stack=192)}


def pruned(width: int, share: float) -> int:
    """Neurons of a hidden layer that are left when a share of them is removed."""
    return width - math.floor(share * width + ROUNDING)


def flash_bytes(weight_format: str, kernel: str, sizes: Sequence[int]) -> int:
    """Flash for weights and row sums.

    Parameters
    ----------
    weight_format
        Of all layers.
    kernel
        One of `LAYOUTS`.
    sizes
        Inputs, widths of the hidden layers, classes.
    """
    return 4 * sizes[1] + sum(4 * _words(weight_format, kernel, *layer) for layer in pairwise(sizes))


def _words(weight_format: str, kernel: str, inputs: int, outputs: int) -> int:
    if kernel == "fast":
        return inputs * _row_words(weight_format, outputs)
    if weight_format == "ternary":
        return outputs * math.ceil(math.ceil(inputs / TRITS) / 4)
    return outputs * _row_words(weight_format, inputs)


def _row_words(weight_format: str, codes: int) -> int:
    return math.ceil(codes * FAST_BITS[weight_format] / WORD_BITS)


def ram_bytes(weight_format: str, kernel: str, sizes: Sequence[int]) -> int:
    """RAM for image, accumulators, class and lists; parameters as of `flash_bytes`."""
    accumulators = WIDTH_MULTIPLE * math.ceil(max(sizes[1:]) / WIDTH_MULTIPLE)
    used = 4 * math.ceil(max(sizes) / 4) + 4 * accumulators + 4
    if weight_format == "nf4":
        used += NF4_BYTES
    if kernel == "plain":
        return used
    entry = {"fp130": FP130_ENTRY}.get(weight_format, 0)
    if weight_format in ROW_LIMITS:
        entry = LANE_ENTRY
        widest = _row_words(weight_format, max(sizes[1:])) * WORD_BITS
        used += 4 * (widest // min(FAST_BITS[weight_format], 4) // 2) + 2 * (ROW_LIMITS[weight_format] + 2)
    return used + entry * (MIN_ACTIVE + 1)


def refusal(weight_format: str, kernel: str, sizes: Sequence[int]) -> str | None:
    """Why a network of these sizes cannot fit the CH32V003; None where its data do.

    Parameters are those of `flash_bytes`.
    """
    target = TARGETS["ch32v003"]
    for memory, used, there in (
        ("flash", flash_bytes(weight_format, kernel, sizes), target.flash),
        ("RAM", ram_bytes(weight_format, kernel, sizes), target.ram - target.stack),
    ):
        if used > there:
            return (
                f"{weight_format} with hidden layers of {list(sizes[1:-1])} takes {used} bytes of {memory} "
                f"with the {kernel} kernel, and the CH32V003 has {there} for it"
            )
    return None
