"""Whether a fully connected network can fit a microcontroller, told from its widths before it is trained.

`nonideal.mcu.limits` decides when a network is exported, and takes PyTorch along. Here its sums for layers of
one format stand a second time, without anything to load: the workflow asks while it plans. Both count data
alone, so that a program that passes can still be refused by the linker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

# As in `nonideal.mcu.packing` and `nonideal.mcu.limits`.
KERNELS = ("plain", "fast")
BITS = {
    "binary": 1, "ternary": 2, "2bitsym": 2, "4bitsym": 4, "4bit": 4, "8bit": 8, "fp130": 4, "nf4": 4,
}  # fmt: skip
FLASH_BYTES, RAM_BYTES = (
    16 * 1024,
    2 * 1024 - 192,
)  # of the CH32V003; the stack's part of the RAM is taken off
LISTED_ROWS = {"binary": 31, "ternary": 31, "2bitsym": 31, "4bitsym": 17, "4bit": 17, "8bit": 17}
LEAST_INPUTS = 16  # treated at once
NF4_BYTES = 4 * 2**4 + 2**4  # products and levels
ROUNDING = 1e-9  # as in `nonideal.pruning`


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
        One of `KERNELS`.
    sizes
        Inputs, widths of the hidden layers, classes.
    """
    return 4 * sizes[1] + sum(4 * _words(weight_format, kernel, *layer) for layer in pairwise(sizes))


def _words(weight_format: str, kernel: str, inputs: int, outputs: int) -> int:
    if kernel == "fast":
        return inputs * _row_words(weight_format, outputs)
    if weight_format == "ternary":  # five trits a byte
        return outputs * math.ceil(math.ceil(inputs / 5) / 4)
    return outputs * _row_words(weight_format, inputs)


def _row_words(weight_format: str, codes: int) -> int:
    return math.ceil(codes * BITS[weight_format] / 32)


def ram_bytes(weight_format: str, kernel: str, sizes: Sequence[int]) -> int:
    """RAM for image, accumulators, class and lists; parameters as of `flash_bytes`."""
    used = 4 * math.ceil(max(sizes) / 4) + 4 * 32 * math.ceil(max(sizes[1:]) / 32) + 4
    if weight_format == "nf4":
        used += NF4_BYTES
    if kernel == "plain":
        return used
    if weight_format in LISTED_ROWS:
        widest = _row_words(weight_format, max(sizes[1:])) * 32
        used += 4 * (widest // min(BITS[weight_format], 4) // 2) + 2 * (LISTED_ROWS[weight_format] + 2)
    entry = {"fp130": 8, "nf4": 0}.get(weight_format, 4)
    return used + entry * (LEAST_INPUTS + 1)


def refusal(weight_format: str, kernel: str, sizes: Sequence[int]) -> str | None:
    """Why a network of these sizes cannot fit the CH32V003; None where its data do.

    Parameters are those of `flash_bytes`.
    """
    for memory, used, there in (
        ("flash", flash_bytes(weight_format, kernel, sizes), FLASH_BYTES),
        ("RAM", ram_bytes(weight_format, kernel, sizes), RAM_BYTES),
    ):
        if used > there:
            return (
                f"{weight_format} with hidden layers of {list(sizes[1:-1])} takes {used} bytes of {memory} "
                f"with the {kernel} kernel, and the CH32V003 has {there} for it"
            )
    return None
