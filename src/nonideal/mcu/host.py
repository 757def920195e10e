"""The C engine on this computer, called through its shared library."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

import numpy as np

from nonideal.mcu.convolutions import FEATURES, LAYERS, PIXELS, Convolutions
from nonideal.mcu.integer import IntegerLayer, IntegerNetwork
from nonideal.mcu.limits import accumulator_words, convolution_bytes, image_bytes, padded
from nonideal.mcu.packing import LAYOUTS, Packed, pack
from nonideal.mcu.records import Layer, record


class _Network(ctypes.Structure):
    """`ni_network` of nonideal.h."""

    _fields_ = (("layers", ctypes.c_void_p), ("convolutions", ctypes.c_void_p), ("count", ctypes.c_uint16))


class _Convolutions(ctypes.Structure):
    """`ni_convolutions` of nonideal.h."""

    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("channels", ctypes.c_uint16),
        ("shifts", ctypes.c_uint8 * LAYERS),
    )


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
        for name in (
            "ni_batch_layer", "ni_batch_norm", "ni_batch_infer", "ni_batch_features", "ni_batch_slide"
        ):  # fmt: skip
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
        made, _kept = self._record(layer, kernel, signed)
        x = np.ascontiguousarray(x)
        y = np.zeros((len(x), padded(layer.outputs)), np.int32)
        self._library.ni_batch_layer(ctypes.byref(made), _pointer(x), _pointer(y), len(x), y.shape[1])
        return y[:, : layer.outputs]

    def shift_norm(self, y: np.ndarray) -> np.ndarray:
        """Activations int8 [n, width] of accumulators int32 [n, width]."""
        y = np.ascontiguousarray(y, np.int32)
        x = np.empty(y.shape, np.int8)
        self._library.ni_batch_norm(_pointer(y), _pointer(x), *y.shape)
        return x

    def accumulators(self, network: IntegerNetwork, images: np.ndarray, *, kernel: str) -> list[np.ndarray]:
        """Accumulators of every fully connected layer, as `IntegerNetwork.accumulators`, computed in C."""
        results, x, signed = [], images, network.convolutions is None
        if network.convolutions is not None:
            x = self.shift_norm(self.features(network.convolutions, images, kernel=kernel))
        for index, layer in enumerate(network.layers):
            results.append(self.accumulate(layer, x, kernel=kernel, signed=signed and index == 0))
            x = self.shift_norm(results[-1])
        return results

    def infer(
        self,
        network: IntegerNetwork,
        images: np.ndarray,
        *,
        kernel: str,
        packed: Sequence[Packed] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logits int32 [n, classes] and classes uint32 [n], by the engine's own loop over layers.

        Parameters
        ----------
        network
            Sizes, formats and row sums; its weights too, unless `packed` is given.
        images
            int8 [n, inputs].
        kernel
            ``plain`` or ``fast``.
        packed
            Words of each layer as they lie in flash, instead of those that packing would give.

        Raises
        ------
        ValueError
            If the images do not fit.
        """
        if images.dtype != np.int8 or images.ndim != 2 or images.shape[1] != network.sizes[0]:
            raise ValueError(f"images must be int8 [n, {network.sizes[0]}], got {images.dtype}")
        signed = network.convolutions is None
        words = [None] * len(network.layers) if packed is None else packed
        made = [
            self._record(layer, kernel, signed and k == 0, given)
            for k, (layer, given) in enumerate(zip(network.layers, words, strict=True))
        ]
        records = (Layer * len(made))(*(layer for layer, _ in made))
        filters, pointer = None, None
        if network.convolutions is not None:
            filters = self._filters(network.convolutions, kernel)
            pointer = ctypes.addressof(filters[0])
        net = _Network(ctypes.addressof(records), pointer, len(made))
        x = np.zeros((len(images), image_bytes(network, kernel)), np.int8)
        x[:, : images.shape[1]] = images
        y = np.zeros((len(images), accumulator_words(network, kernel)), np.int32)
        classes = np.empty(len(images), np.uint32)
        self._library.ni_batch_infer(
            ctypes.byref(net), _pointer(x), _pointer(y), _pointer(classes), len(x), x.shape[1], y.shape[1]
        )
        return y[:, : network.sizes[-1]], classes

    def features(self, convolutions: Convolutions, images: np.ndarray, *, kernel: str) -> np.ndarray:
        """Features int32 [n, 4 * channels] of a CNN's convolutions, before ShiftNorm.

        Parameters
        ----------
        convolutions
            Integer filters.
        images
            int8 [n, 256].
        kernel
            ``plain`` or ``fast``.

        Raises
        ------
        ValueError
            If the images or the kernel do not fit.
        """
        if images.dtype != np.int8 or images.ndim != 2 or images.shape[1] != PIXELS:
            raise ValueError(f"images must be int8 [n, {PIXELS}], got {images.dtype} {list(images.shape)}")
        made, _kept = self._filters(convolutions, kernel)
        count = FEATURES * convolutions.channels
        x = np.zeros((len(images), max(PIXELS, 2 * count)), np.int8)
        x[:, :PIXELS] = images
        found = np.empty((len(images), count), np.uint16)
        work = np.zeros(convolution_bytes(convolutions, kernel), np.uint8)
        self._library.ni_batch_features(
            ctypes.byref(made), _pointer(x), _pointer(found), _pointer(work), *x.shape
        )
        return found.astype(np.int32)

    def slide(self, planes: np.ndarray, taps: np.ndarray) -> np.ndarray:
        """Accumulators int32 [n, side - 2, side - 2] of one filter int16 [9] by the plain kernel.

        Parameters
        ----------
        planes
            Activations int32 [n, side, side].
        taps
            Levels of the filter.
        """
        planes, side = np.array(planes, np.int32, order="C"), planes.shape[1]
        taps = taps.astype(np.int8)
        self._library.ni_batch_slide(_pointer(planes), side, _pointer(taps), len(planes))
        return planes.reshape(len(planes), -1)[:, : (side - 2) ** 2].reshape(-1, side - 2, side - 2)

    def _filters(self, convolutions: Convolutions, kernel: str) -> tuple[_Convolutions, np.ndarray]:
        """`ni_convolutions`, with the array it points to."""
        if kernel not in LAYOUTS:
            raise ValueError(f"kernel {kernel!r} is not known; kernels are {', '.join(LAYOUTS)}")
        taps = np.ascontiguousarray(convolutions.weights.transpose(1, 0, 2).astype(np.int8))
        function = ctypes.cast(getattr(self._library, f"ni_{kernel}_convolutions"), ctypes.c_void_p)
        shifts = (ctypes.c_uint8 * LAYERS)(*convolutions.shifts)
        return _Convolutions(function, taps.ctypes.data, convolutions.channels, shifts), taps

    def _record(
        self, layer: IntegerLayer, kernel: str, signed: bool, packed: Packed | None = None
    ) -> tuple[Layer, tuple[np.ndarray, np.ndarray]]:
        """`ni_layer` of a layer, with the arrays it points to."""
        if kernel not in LAYOUTS:
            raise ValueError(f"kernel {kernel!r} is not known; kernels are {', '.join(LAYOUTS)}")
        if packed is None:
            packed = pack(layer.weights, layer.weight_format, kernel)
        function = getattr(self._library, f"ni_{kernel}_{layer.weight_format}")
        return record(function, layer.weights, packed, sums=signed)
