"""A layer as the C engine takes it: ``ni_layer`` of nonideal.h."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from nonideal.mcu.packing import Packed


class Layer(ctypes.Structure):
    """`ni_layer` of nonideal.h."""

    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("row_sums", ctypes.c_void_p),
        ("inputs", ctypes.c_uint16),
        ("outputs", ctypes.c_uint16),
        ("stride", ctypes.c_uint16),
    )


def record(
    function: Any, weights: np.ndarray, packed: Packed, *, sums: bool
) -> tuple[Layer, tuple[np.ndarray, np.ndarray]]:
    """`ni_layer` of a layer, with the arrays it points to.

    Parameters
    ----------
    function
        Kernel, an attribute of the loaded library.
    weights
        Integers [outputs, inputs].
    packed
        The same weights as they lie in flash.
    sums
        Whether the kernel needs the sums of rows, as it does where inputs are not of one sign.
    """
    row_sums = weights.sum(axis=1, dtype=np.int32)
    outputs, inputs = weights.shape
    made = Layer(
        ctypes.cast(function, ctypes.c_void_p),
        packed.words.ctypes.data,
        row_sums.ctypes.data if sums else None,
        inputs,
        outputs,
        packed.stride,
    )
    return made, (packed.words, row_sums)
