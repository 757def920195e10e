"""Export a trained network: C header, ``.npz`` and JSON, three views of the same integers.

>>> from nonideal.mcu.export import export               # doctest: +SKIP
>>> export(model, images).write("out")                   # doctest: +SKIP

`images` are a few inputs as the network was trained on; they become golden vectors: the integer image, every
layer's accumulators and the logits, so that any other implementation can be checked against them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nonideal import exports
from nonideal.exports import Views
from nonideal.mcu import limits
from nonideal.mcu.cheader import render
from nonideal.mcu.convolutions import WEIGHT_FORMAT as CONVOLUTION_FORMAT
from nonideal.mcu.convolutions import Convolutions
from nonideal.mcu.integer import IntegerLayer, IntegerNetwork, from_model, quantise_images
from nonideal.mcu.packing import LAYOUTS, Packed, pack, stored_bits
from nonideal.quantize.formats import FORMATS

VERSION = 1
GOLDEN_IMAGES = 4  # kept of the images given


@dataclass(frozen=True)
class Export(Views):
    """A network ready for the engine.

    Parameters
    ----------
    network
        Integers.
    kernel
        ``fast`` or ``plain``: which kernels it runs on, and with it the packing.
    images
        Golden inputs, int8 [g, inputs].
    """

    network: IntegerNetwork
    kernel: str
    images: np.ndarray
    packed: tuple[Packed, ...] = field(init=False)
    accumulators: tuple[np.ndarray, ...] = field(init=False)

    def __post_init__(self) -> None:
        layers = self.network.layers
        object.__setattr__(
            self, "packed", tuple(pack(k.weights, k.weight_format, self.kernel) for k in layers)
        )
        object.__setattr__(self, "accumulators", tuple(self.network.accumulators(self.images)))

    def row_sums(self) -> np.ndarray:
        """Sum of the first layer's weights for each output, int32 [outputs]."""
        return self.network.layers[0].weights.sum(axis=1, dtype=np.int32)

    def header(self) -> str:
        """C header: constants, packed weights and the network for `ni_infer`; no date, no path."""
        return render(self)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays; `meta` holds formats, scales and kernel as JSON text."""
        result = {"meta": np.array(json.dumps(self._meta(), sort_keys=True))}
        for k, (layer, packed) in enumerate(zip(self.network.layers, self.packed, strict=True), 1):
            result[f"layer_{k}_weights"] = layer.weights
            result[f"layer_{k}_words"] = packed.words
            result[f"golden_accumulators_{k}"] = self.accumulators[k - 1]
        convolutions = self.network.convolutions
        if convolutions is None:
            result["layer_1_row_sums"] = self.row_sums()
        else:
            result["convolution_weights"] = convolutions.weights
            for k, values in enumerate(convolutions.accumulators(self.images), 1):
                result[f"golden_convolution_{k}"] = values
        return result | {"golden_images": self.images}

    def document(self) -> dict[str, Any]:
        """Everything as one JSON-able dictionary."""
        layers = []
        for meta, layer, packed in zip(self._meta()["layers"], self.network.layers, self.packed, strict=True):
            layers.append(meta | {"weights": layer.weights.tolist(), "words": packed.words.tolist()})
        golden = {
            "images": self.images.tolist(),
            "accumulators": [values.tolist() for values in self.accumulators],
        }
        result = self._meta() | {"layers": layers, "golden": golden}
        convolutions = self.network.convolutions
        if convolutions is None:
            layers[0]["row_sums"] = self.row_sums().tolist()
        else:
            result["convolutions"] = result["convolutions"] | {"weights": convolutions.weights.tolist()}
            golden["convolutions"] = [y.tolist() for y in convolutions.accumulators(self.images)]
        return result

    def _meta(self) -> dict[str, Any]:
        layers = [
            {
                "format": layer.weight_format,
                "levels": list(FORMATS[layer.weight_format].levels),
                "inputs": layer.inputs,
                "outputs": layer.outputs,
                "scale": layer.scale,
                "bits_per_code": stored_bits(layer.weight_format, self.kernel),
                "stride": packed.stride,
            }
            for layer, packed in zip(self.network.layers, self.packed, strict=True)
        ]
        meta = {"version": VERSION, "kernel": self.kernel, "layers": layers}
        convolutions = self.network.convolutions
        if convolutions is not None:
            meta["convolutions"] = {
                "channels": convolutions.channels,
                "format": CONVOLUTION_FORMAT,
                "shifts": list(convolutions.shifts),
                "scales": list(convolutions.scales),
            }
        return meta


def export(
    model: nn.Module | IntegerNetwork,
    images: np.ndarray | torch.Tensor,
    *,
    kernel: str = "fast",
    target: str | None = "ch32v003",
) -> Export:
    """Prepare a network for the engine, or say why it cannot run there.

    Parameters
    ----------
    model
        `nonideal.models.FullyConnected` on weight grids, a `Cnn`, or integers.
    images
        Golden inputs: floating point [g, ...] as in training, or int8 [g, inputs]. The first four are kept.
    kernel
        ``fast`` or ``plain``.
    target
        Microcontroller whose memory is checked, a key of `nonideal.mcu.limits.TARGETS`; None checks the
        engine's own limits only.

    Raises
    ------
    ValueError
        If a layer is unsuitable, too wide, could overflow its accumulators, or does not fit the target; the
        message names layer and limit.
    """
    if kernel not in LAYOUTS:
        raise ValueError(f"kernel {kernel!r} is not known; kernels are {', '.join(LAYOUTS)}")
    network = model if isinstance(model, IntegerNetwork) else from_model(model)
    if isinstance(images, Tensor) and not images.is_floating_point():
        images = images.numpy(force=True)
    if isinstance(images, np.ndarray) and images.dtype.kind in "iub":
        if images.dtype != np.int8:
            raise ValueError(
                f"images must be floating point, as in training, or int8, as the engine takes them; got "
                f"{images.dtype}"
            )
        integers = images.reshape(len(images), math.prod(images.shape[1:]))
    else:
        integers = quantise_images(images)
    if integers.shape[1] != network.sizes[0] or not len(integers):
        raise ValueError(
            f"the network takes images of {network.sizes[0]} pixels; "
            f"got {len(integers)} images of {integers.shape[1]}"
        )
    limits.check_engine(network, kernel)
    if target is not None:
        limits.check_target(network, kernel, target)
    return Export(network, kernel, np.ascontiguousarray(integers[:GOLDEN_IMAGES]))


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
    return _assemble(path, meta, weights, arrays.get("convolution_weights"), arrays["golden_images"])


def _from_document(path: Path, document: dict[str, Any]) -> Export:
    weights = [np.array(layer["weights"], np.int16) for layer in document["layers"]]
    filters = document.get("convolutions", {}).get("weights")
    filters = None if filters is None else np.array(filters, np.int16)
    return _assemble(path, document, weights, filters, np.array(document["golden"]["images"], np.int8))


def _assemble(
    path: Path,
    meta: dict[str, Any],
    weights: list[np.ndarray],
    filters: np.ndarray | None,
    images: np.ndarray,
) -> Export:
    if meta["version"] != VERSION:
        raise ValueError(f"{path}: export version {meta['version']}, this program reads {VERSION}")
    layers = tuple(
        IntegerLayer(layer["format"], matrix, layer["scale"])
        for layer, matrix in zip(meta["layers"], weights, strict=True)
    )
    convolutions = None
    if filters is not None:
        shifts, scales = (tuple(meta["convolutions"][key]) for key in ("shifts", "scales"))
        convolutions = Convolutions(filters, shifts, scales)
    return Export(IntegerNetwork(layers, convolutions), meta["kernel"], images)
