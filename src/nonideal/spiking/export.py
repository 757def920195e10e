"""Export a spiking network: C header, ``.npz`` and JSON, three views of the same integers.

A few inputs become golden vectors: the input, the spikes of every layer at every step and the spikes of each
output, so that any other implementation, in C or in hardware, can be checked against them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nonideal import exports
from nonideal.exports import Views
from nonideal.mcu.packing import Packed
from nonideal.spiking import cheader
from nonideal.spiking.integer import FRACTION, Record, SpikingLayer, SpikingNetwork
from nonideal.spiking.packing import check_engine, pack, stored_bits

VERSION = 1
GOLDEN = 4  # inputs kept of those given


@dataclass(frozen=True, eq=False)
class Export(Views):
    """A network ready for the engine.

    Parameters
    ----------
    network
        Integers.
    inputs
        Golden inputs, uint8, as `SpikingNetwork.run` takes them.

    Attributes
    ----------
    packed
        Words of each layer.
    record
        What the network does with the golden inputs.
    """

    network: SpikingNetwork
    inputs: np.ndarray
    packed: tuple[Packed, ...] = field(init=False)
    record: Record = field(init=False)

    def __post_init__(self) -> None:
        packed = tuple(pack(layer.weights, layer.weight_format) for layer in self.network.layers)
        object.__setattr__(self, "packed", packed)
        object.__setattr__(self, "record", self.network.run(self.inputs))

    @property
    def weight_bytes(self) -> int:
        """Bytes of the packed weights, rows filled up to words."""
        return sum(packed.words.nbytes for packed in self.packed)

    def header(self) -> str:
        """C header: weights, thresholds, golden vectors; no date, no path."""
        return cheader.render(self)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays; `meta` holds the rest as JSON text."""
        result = {"meta": np.array(json.dumps(self._meta(), sort_keys=True))}
        for k, (layer, packed) in enumerate(zip(self.network.layers, self.packed, strict=True), 1):
            result[f"layer_{k}_weights"] = layer.weights
            result[f"layer_{k}_words"] = packed.words
            result[f"golden_spikes_{k}"] = self.record.spikes[k - 1]
        return result | {"golden_inputs": self.inputs, "golden_counts": self.record.counts}

    def document(self) -> dict[str, Any]:
        """Everything as one JSON-able dictionary."""
        layers = [
            meta | {"weights": layer.weights.tolist(), "words": packed.words.tolist()}
            for meta, layer, packed in zip(
                self._meta()["layers"], self.network.layers, self.packed, strict=True
            )
        ]
        golden = {
            "inputs": self.inputs.tolist(),
            "spikes": [spikes.tolist() for spikes in self.record.spikes],
            "counts": self.record.counts.tolist(),
        }
        return self._meta() | {"layers": layers, "golden": golden}

    def _meta(self) -> dict[str, Any]:
        layers = [
            {
                "format": layer.weight_format,
                "inputs": layer.inputs,
                "outputs": layer.outputs,
                "scale": layer.scale,
                "threshold": layer.threshold,
                "input_bits": layer.input_bits,
                "bits_per_weight": stored_bits(layer.weight_format),
                "stride": packed.stride,
            }
            for layer, packed in zip(self.network.layers, self.packed, strict=True)
        ]
        return {"version": VERSION, "steps": self.network.steps, "fraction_bits": FRACTION, "layers": layers}


def export(network: SpikingNetwork, inputs: np.ndarray) -> Export:
    """Prepare a network; the first four of `inputs` become golden vectors.

    Raises
    ------
    ValueError
        If a format has no kernel, a weight is none of its levels, the inputs do not fit, or a layer is larger
        or the steps are more than the engine's 16 bits count; the message names layer and limit.
    """
    check_engine(network)
    return Export(network, np.ascontiguousarray(inputs[:GOLDEN]))


def load(path: str | os.PathLike[str]) -> Export:
    """Read what `Export.write` wrote as ``.npz`` or ``.json``.

    Raises
    ------
    ValueError
        If the file is no export of this version, or its parts contradict each other.
    """
    return exports.read(path, _from_arrays, _from_document)


def _from_arrays(path: Path, meta: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Export:
    weights = [arrays[f"layer_{k}_weights"] for k in range(1, len(meta["layers"]) + 1)]
    return _assemble(path, meta, weights, arrays["golden_inputs"])


def _from_document(path: Path, document: dict[str, Any]) -> Export:
    weights = [np.array(layer["weights"], np.int16) for layer in document["layers"]]
    return _assemble(path, document, weights, np.array(document["golden"]["inputs"], np.uint8))


def _assemble(path: Path, meta: dict[str, Any], weights: list[np.ndarray], inputs: np.ndarray) -> Export:
    if meta["version"] != VERSION or meta["fraction_bits"] != FRACTION:
        raise ValueError(
            f"{path}: export version {meta['version']} with {meta['fraction_bits']} fraction bits, "
            f"this program reads {VERSION} with {FRACTION}"
        )
    layers = tuple(
        SpikingLayer(layer["format"], matrix, layer["scale"], layer["input_bits"])
        for layer, matrix in zip(meta["layers"], weights, strict=True)
    )
    return Export(SpikingNetwork(layers, meta["steps"]), inputs)
