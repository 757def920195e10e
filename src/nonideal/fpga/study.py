"""What one exported spiking network costs on an FPGA: layer by layer, simulated first, then synthesised."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nonideal.fpga.arithmetic import WEIGHT_BITS
from nonideal.fpga.rtl import Parallel, TimeMultiplexed
from nonideal.fpga.simulate import Design, verify
from nonideal.fpga.synthesise import synthesise
from nonideal.spiking.export import Export
from nonideal.spiking.integer import SpikingLayer

US_PER_S = 1e6
HZ_PER_MHZ = 1e6


def middle(
    layer: SpikingLayer, inputs: np.ndarray, *, sources: int, neurons: int
) -> tuple[SpikingLayer, np.ndarray]:
    """Part of a layer that is small enough for constant weights: its first neurons on its middle inputs.

    Parameters
    ----------
    layer
        A layer with a current as its input.
    inputs
        uint8 [n, inputs].
    sources, neurons
        Size of the part; at most that of the layer is taken.

    Returns
    -------
    layer, inputs
        The part and its inputs.
    """
    sources = min(sources, layer.inputs)
    start = (layer.inputs - sources) // 2
    chosen = slice(start, start + sources)
    part = replace(layer, weights=np.ascontiguousarray(layer.weights[:neurons, chosen]))
    return part, np.ascontiguousarray(inputs[:, chosen])


def designs(export: Export, config: Mapping[str, Any]) -> Iterator[tuple[int, str, Design, np.ndarray]]:
    """Designs of a network: number of the layer, architecture, design, inputs of its simulation.

    The first layer is built with each number of lanes, a part of it with constant weights, and the layers
    behind it with one lane.
    """
    golden = export.inputs[: config["images"]]
    spikes = [layer[: config["images"]] for layer in export.record.spikes]
    first, *rest = export.network.layers
    for lanes in sorted({min(lanes, first.outputs) for lanes in config["lanes"]}):
        yield 1, "time_multiplexed", TimeMultiplexed(first, lanes=lanes), golden
    for k, (layer, signal) in enumerate(zip(rest, spikes, strict=False), 2):
        yield k, "time_multiplexed", TimeMultiplexed(layer), signal
    size = config["parallel"]
    part, currents = middle(first, golden, sources=size["inputs"], neurons=size["neurons"])
    yield 1, "parallel", Parallel(part), currents


def run_format(
    config: Mapping[str, Any], dataset: str, export: Export, folder: str | os.PathLike[str]
) -> pd.DataFrame:
    """Simulate and synthesise every design of a network.

    Parameters
    ----------
    config
        Section ``fpga`` of the configuration.
    dataset
        Name of the data set the network was trained on.
    export
        Network and golden inputs, from `nonideal.spiking.export.load`.
    folder
        For the files of `nonideal.fpga.synthesise.FILES`, in a folder for each design.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``fpga_designs``.

    Raises
    ------
    nonideal.fpga.simulate.MismatchError
        If one spike of one design differs from the integers; nothing is synthesised then.
    nonideal.fpga.tools.ToolError
        If a tool fails.
    """
    steps, rows = export.network.steps, []
    checked = [(*found, verify(found[2], found[3], steps)) for found in designs(export, config)]
    for layer, architecture, design, inputs, cycles in checked:
        lanes = design.lanes if isinstance(design, TimeMultiplexed) else design.layer.outputs
        name = f"layer_{layer}-{architecture}-{lanes}"
        print(f"{design.layer.weight_format}, {name}: every spike as expected; synthesis", flush=True)
        cost = synthesise(design, Path(folder) / name)
        named = {"dataset": dataset, "layer": layer, "architecture": architecture, "lanes": lanes}
        sizes = _sizes(design.layer) | {"steps": steps, "cycles": cycles}
        ratios = {
            "inference_us": cycles / (cost.max_frequency_mhz * HZ_PER_MHZ) * US_PER_S,
            "lut4_per_neuron": cost.lut4 / design.layer.outputs,
            "lut4_per_weight": cost.lut4 / design.layer.weights.size,
        }
        verified = {"verified_spikes": len(inputs) * steps * design.layer.outputs}
        rows.append(named | sizes | asdict(cost) | ratios | verified)
    return pd.DataFrame(rows)


def _sizes(layer: SpikingLayer) -> dict[str, Any]:
    return {
        "format": layer.weight_format,
        "bits_per_weight": WEIGHT_BITS[layer.weight_format],
        "inputs": layer.inputs,
        "neurons": layer.outputs,
        "input_bits": max(layer.input_bits, 1),
    }
