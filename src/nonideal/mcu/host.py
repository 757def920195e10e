"""The C engine on this computer, called through its shared library."""

from __future__ import annotations

import ctypes
import os

import numpy as np

from nonideal.mcu.integer import IntegerLayer, IntegerNetwork
from nonideal.mcu.limits import padded
from nonideal.mcu.packing import LAYOUTS, pack


class _Layer(ctypes.Structure):
    """`ni_layer` of nonideal.h."""

    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("row_sums", ctypes.c_void_p),
        ("inputs", ctypes.c_uint16),
        ("outputs", ctypes.c_uint16),
        ("stride", ctypes.c_uint16),
    )


class _Network(ctypes.Structure):
    """`ni_network` of nonideal.h."""

    _fields_ = (("layers", ctypes.c_void_p), ("count", ctypes.c_uint16))


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


class HostEngine:
    """Kernels of the shared library.

    Parameters
    ----------
    library
        File made by `nonideal.mcu.build.host_library`.
    """

    def __init__(self, library: str | os.PathLike[str]) -> None:
        self._library = ctypes.CDLL(os.fspath(library))
        for name in ("ni_batch_layer", "ni_batch_norm", "ni_batch_infer"):
            getattr(self._library, name).restype = None

    def accumulate(
        self, layer: IntegerLayer, x: np.ndarray, *, kernel: str, signed: bool = True
    ) -> np.ndarray:
        """Accumulators int32 [n, outputs] of one layer.

        Parameters
        ----------
        layer
            Weights; packed for the kernel here.
        x
            int8 [n, inputs].
        kernel
            ``plain`` or ``fast``.
        signed
            Whether inputs may be negative.

        Raises
        ------
        ValueError
            If the inputs or the kernel do not fit.
        """
        if x.dtype != np.int8 or x.ndim != 2 or x.shape[1] != layer.inputs:
            raise ValueError(f"inputs must be int8 [n, {layer.inputs}], got {x.dtype} {list(x.shape)}")
        record, _kept = self._record(layer, kernel, signed)
        x = np.ascontiguousarray(x)
        y = np.zeros((len(x), padded(layer.outputs)), np.int32)
        self._library.ni_batch_layer(ctypes.byref(record), _pointer(x), _pointer(y), len(x), y.shape[1])
        return y[:, : layer.outputs]

    def shift_norm(self, y: np.ndarray) -> np.ndarray:
        """Activations int8 [n, width] of accumulators int32 [n, width]."""
        y = np.ascontiguousarray(y, np.int32)
        x = np.empty(y.shape, np.int8)
        self._library.ni_batch_norm(_pointer(y), _pointer(x), *y.shape)
        return x

    def accumulators(self, network: IntegerNetwork, images: np.ndarray, *, kernel: str) -> list[np.ndarray]:
        """Accumulators of every layer, as `IntegerNetwork.accumulators`, computed in C."""
        results, x = [], images
        for index, layer in enumerate(network.layers):
            results.append(self.accumulate(layer, x, kernel=kernel, signed=index == 0))
            x = self.shift_norm(results[-1])
        return results

    def infer(
        self, network: IntegerNetwork, images: np.ndarray, *, kernel: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logits int32 [n, classes] and classes uint32 [n], by the engine's own loop over layers."""
        if images.dtype != np.int8 or images.ndim != 2 or images.shape[1] != network.sizes[0]:
            raise ValueError(f"images must be int8 [n, {network.sizes[0]}], got {images.dtype}")
        made = [self._record(layer, kernel, index == 0) for index, layer in enumerate(network.layers)]
        records = (_Layer * len(made))(*(record for record, _ in made))
        net = _Network(ctypes.addressof(records), len(made))
        x = np.zeros((len(images), max(network.sizes)), np.int8)
        x[:, : images.shape[1]] = images
        y = np.zeros((len(images), padded(max(network.sizes[1:]))), np.int32)
        classes = np.empty(len(images), np.uint32)
        self._library.ni_batch_infer(
            ctypes.byref(net), _pointer(x), _pointer(y), _pointer(classes), len(x), x.shape[1], y.shape[1]
        )
        return y[:, : network.sizes[-1]], classes

    def _record(
        self, layer: IntegerLayer, kernel: str, signed: bool
    ) -> tuple[_Layer, tuple[np.ndarray, np.ndarray]]:
        """`ni_layer` of a layer, with the arrays it points to."""
        if kernel not in LAYOUTS:
            raise ValueError(f"kernel {kernel!r} is not known; kernels are {', '.join(LAYOUTS)}")
        packed = pack(layer.weights, layer.weight_format, kernel)
        sums = layer.weights.sum(axis=1, dtype=np.int32)
        function = getattr(self._library, f"ni_{kernel}_{layer.weight_format}")
        record = _Layer(
            ctypes.cast(function, ctypes.c_void_p),
            packed.words.ctypes.data,
            sums.ctypes.data if signed else None,
            layer.inputs,
            layer.outputs,
            packed.stride,
        )
        return record, (packed.words, sums)
