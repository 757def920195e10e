"""The C engine's spiking networks on this computer, called through its shared library."""

from __future__ import annotations

import ctypes
import os

import numpy as np

from nonideal.mcu.limits import padded
from nonideal.mcu.records import Layer, record
from nonideal.spiking.integer import Record, SpikingLayer, SpikingNetwork
from nonideal.spiking.packing import KERNELS, check_engine, pack


class _Layer(ctypes.Structure):
    """`ni_snn_layer` of nonideal_snn.h."""

    _fields_ = (("synapses", Layer), ("threshold", ctypes.c_int32), ("shift", ctypes.c_uint8))


class _Network(ctypes.Structure):
    """`ni_snn_network`."""

    _fields_ = (("layers", ctypes.c_void_p), ("count", ctypes.c_uint16), ("steps", ctypes.c_uint16))


class _Work(ctypes.Structure):
    """`ni_snn_work`."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("states", "drive", "sums", "signals"))


class SpikingEngine:
    """Spiking networks of the shared library.

    Parameters
    ----------
    library
        File made by `nonideal.mcu.build.host_library`.
    """

    def __init__(self, library: str | os.PathLike[str]) -> None:
        self._library = ctypes.CDLL(os.fspath(library))
        self._library.ni_snn_infer.restype = ctypes.c_uint32
        self._library.ni_snn_step.restype = None

    def step(self, state: np.ndarray, drive: np.ndarray, threshold: int) -> tuple[np.ndarray, np.ndarray]:
        """`nonideal.spiking.integer.step` in C; int32 [n] and bool [n].

        Raises
        ------
        ValueError
            If states and drives are not one row of as many.
        """
        if state.ndim != 1 or state.shape != drive.shape:  # C would read beyond the shorter
            raise ValueError(
                f"states and drives must have one shape [n], got {list(state.shape)} and {list(drive.shape)}"
            )
        state, drive = state.astype(np.int32), np.ascontiguousarray(drive, np.int32)
        spikes = np.empty(len(state), np.int8)
        self._library.ni_snn_step(
            drive.ctypes.data_as(ctypes.c_void_p), ctypes.c_int32(threshold),
            state.ctypes.data_as(ctypes.c_void_p), spikes.ctypes.data_as(ctypes.c_void_p), len(state),
        )  # fmt: skip
        return state, spikes.astype(bool)

    def run(self, network: SpikingNetwork, inputs: np.ndarray) -> tuple[Record, np.ndarray]:
        """`SpikingNetwork.run` in C, and the class of each sample, uint32 [n].

        Raises
        ------
        ValueError
            If the inputs do not fit the network, or the network is larger than the engine counts.
        """
        check_engine(network)
        network.check(inputs)
        inputs = np.ascontiguousarray(inputs)
        kept = [self._record(layer) for layer in network.layers]
        records = (_Layer * len(kept))(*(layer for layer, _ in kept))
        net = _Network(ctypes.addressof(records), len(kept), network.steps)
        neurons = sum(network.sizes[1:])
        buffers = (
            np.empty(neurons, np.int32),
            np.empty(padded(network.sizes[1]), np.int32),
            np.empty(padded(max(network.sizes[1:])), np.int32),
            np.empty(network.sizes[0] + neurons, np.int8),
        )
        work = _Work(*(buffer.ctypes.data for buffer in buffers))
        counts = np.empty((len(inputs), network.sizes[-1]), np.int32)
        trace = np.empty((len(inputs), network.steps, neurons), np.int8)
        classes = np.empty(len(inputs), np.uint32)
        for index in range(len(inputs)):
            classes[index] = self._library.ni_snn_infer(
                ctypes.byref(net), ctypes.c_void_p(inputs[index].ctypes.data), ctypes.byref(work),
                ctypes.c_void_p(counts[index].ctypes.data), ctypes.c_void_p(trace[index].ctypes.data),
            )  # fmt: skip
        ends = np.cumsum(network.sizes[1:])[:-1]
        return Record([part.view(np.uint8) for part in np.split(trace, ends, axis=2)], counts), classes

    def _record(self, layer: SpikingLayer) -> tuple[_Layer, tuple[np.ndarray, np.ndarray]]:
        """`ni_snn_layer` of a layer, with the arrays it points to."""
        packed = pack(layer.weights, layer.weight_format)
        kernel = getattr(self._library, f"ni_plain_{KERNELS[layer.weight_format]}")
        made, kept = record(kernel, layer.weights, packed, sums=layer.input_bits > 0)
        return _Layer(made, layer.threshold, layer.shift), kept
