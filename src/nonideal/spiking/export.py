"""Export a spiking network: C header, ``.npz`` and JSON, three views of the same integers.

A few inputs become golden vectors: the input, the spikes of every layer at every step and the spikes of each
output, so that any other implementation, in C or in hardware, can be checked against them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nonideal.archives import read_export, read_npz
from nonideal.files import atomic, write_text
from nonideal.mcu.packing import Packed
from nonideal.spiking import cheader
from nonideal.spiking.integer import FRACTION, Record, SpikingLayer, SpikingNetwork
from nonideal.spiking.packing import pack, stored_bits

VERSION = 1
GOLDEN = 4  # inputs kept of those given


@dataclass(frozen=True, eq=False)
class Export:
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

    def write(self, folder: str | os.PathLike[str], name: str = "model") -> dict[str, Path]:
        """Write ``name.h``, ``name.npz`` and ``name.json``; returns their paths by suffix."""
        paths = {suffix: Path(folder) / f"{name}.{suffix}" for suffix in ("h", "npz", "json")}
        write_text(paths["h"], self.header())
        with atomic(paths["npz"]) as temporary:
            np.savez(temporary, **self.arrays())
        write_text(paths["json"], json.dumps(self.document(), sort_keys=True) + "\n")
        return paths

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
        If a format has no kernel, a weight is none of its levels, or the inputs do not fit.
    """
    return Export(network, np.ascontiguousarray(inputs[:GOLDEN]))


def load(path: str | os.PathLike[str]) -> Export:
    """Read what `Export.write` wrote as ``.npz`` or ``.json``.

    Raises
    ------
    ValueError
        If the file is no export of this version, or its parts contradict each other.
    """
    return read_export(path, {".npz": _from_npz, ".json": _from_json})


def _from_npz(path: Path) -> Export:
    arrays = read_npz(path)
    meta = json.loads(str(arrays["meta"]))
    weights = [arrays[f"layer_{k}_weights"] for k in range(1, len(meta["layers"]) + 1)]
    result = _assemble(path, meta, weights, arrays["golden_inputs"])
    expected = result.arrays()
    for key in sorted(arrays.keys() | expected.keys()):
        if key not in arrays or key not in expected or not np.array_equal(arrays[key], expected[key]):
            raise ValueError(f"{path}: {key} contradicts the weights; write the export again")
    return result


def _from_json(path: Path) -> Export:
    document = json.loads(path.read_text(encoding="utf-8"))
    weights = [np.array(layer["weights"], np.int16) for layer in document["layers"]]
    result = _assemble(path, document, weights, np.array(document["golden"]["inputs"], np.uint8))
    if result.document() != document:
        raise ValueError(f"{path}: packing or golden vectors contradict the weights; write the export again")
    return result


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
