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
from nonideal.spiking.integer import SpikingLayer, SpikingNetwork
from nonideal.spiking.verify import adversarial_inputs

US_PER_S = 1e6
HZ_PER_MHZ = 1e6
ADVERSARIAL = 10  # random inputs of each kind


def liveliest(
    layer: SpikingLayer, inputs: np.ndarray, steps: int, *, sources: int, neurons: int
) -> tuple[SpikingLayer, np.ndarray]:
    """Part of a layer that is small enough for constant weights, and that has something to do.

    Most inputs of a layer are dark in most images, and few neurons reach their threshold with few inputs: a
    simulation of a part chosen by its place may see no spike at all. So these are the inputs with the largest
    mean, and of the neurons on them those that spike in a share of the steps nearest to one half.

    Parameters
    ----------
    layer
        First layer of a network.
    inputs
        Of the whole layer, by which the part is chosen, uint8: current [n, inputs] or spikes
        [n, steps, inputs].
    steps
        Time steps of an inference.
    sources, neurons
        Size of the part; at most that of the layer is taken.

    Returns
    -------
    layer, chosen
        The part, and which inputs it has, int64 [sources], rising.
    """
    mean = inputs.mean(axis=tuple(range(inputs.ndim - 1)))
    chosen = np.sort(np.argsort(-mean, kind="stable")[:sources])
    narrow = replace(layer, weights=np.ascontiguousarray(layer.weights[:, chosen]))
    share = SpikingNetwork((narrow,), steps).run(inputs[..., chosen]).spikes[0].mean(axis=(0, 1))
    lively = np.sort(np.argsort(np.abs(share - 0.5), kind="stable")[:neurons])
    return replace(narrow, weights=np.ascontiguousarray(narrow.weights[lively])), chosen


def designs(
    export: Export, config: Mapping[str, Any], *, seed: int
) -> Iterator[tuple[int, str, Design, np.ndarray]]:
    """Designs of a network: number of the layer, architecture, design, inputs of its simulation.

    The first layer is built with each number of lanes, a part of it with constant weights, and the layers
    behind it with one lane. The part is small: it has `nonideal.spiking.verify.adversarial_inputs` as well.
    """
    golden = export.inputs[: config["images"]]
    spikes = [layer[: config["images"]] for layer in export.record.spikes]
    first, *rest = export.network.layers
    for lanes in sorted({min(lanes, first.outputs) for lanes in config["lanes"]}):
        yield 1, "time_multiplexed", TimeMultiplexed(first, lanes=lanes), golden
    for k, (layer, signal) in enumerate(zip(rest, spikes, strict=False), 2):
        yield k, "time_multiplexed", TimeMultiplexed(layer), signal
    size = config["parallel"]
    steps = export.network.steps
    part, chosen = liveliest(first, export.inputs, steps, sources=size["inputs"], neurons=size["neurons"])
    extreme = adversarial_inputs(SpikingNetwork((part,), steps), seed=seed, count=ADVERSARIAL)
    yield 1, "parallel", Parallel(part), np.concatenate((golden[..., chosen], extreme))


def run_format(
    config: Mapping[str, Any], dataset: str, export: Export, folder: str | os.PathLike[str], *, seed: int
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
    seed
        Of random inputs.

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
    checked = [(*found[:3], verify(*found[2:], steps)) for found in designs(export, config, seed=seed)]
    for layer, architecture, design, verified in checked:
        lanes = design.lanes if isinstance(design, TimeMultiplexed) else design.layer.outputs
        name = f"layer_{layer}-{architecture}-{lanes}"
        print(f"{design.layer.weight_format}, {name}: every spike as expected; synthesis", flush=True)
        cost = synthesise(design, Path(folder) / name)
        named = {"dataset": dataset, "layer": layer, "architecture": architecture, "lanes": lanes}
        sizes = _sizes(design.layer) | {"steps": steps, "cycles": verified.cycles}
        ratios = {
            "inference_us": verified.cycles / (cost.max_frequency_mhz * HZ_PER_MHZ) * US_PER_S,
            "lut4_per_neuron": cost.lut4 / design.layer.outputs,
            "lut4_per_weight": cost.lut4 / design.layer.weights.size,
        }
        seen = {"verified_spikes": verified.compared, "fired": verified.fired}
        rows.append(named | sizes | asdict(cost) | ratios | seen)
    return pd.DataFrame(rows)


def _sizes(layer: SpikingLayer) -> dict[str, Any]:
    return {
        "format": layer.weight_format,
        "bits_per_weight": WEIGHT_BITS[layer.weight_format],
        "inputs": layer.inputs,
        "neurons": layer.outputs,
        "input_bits": max(layer.input_bits, 1),
    }
