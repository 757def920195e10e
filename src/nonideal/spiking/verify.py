"""Verification of the C engine's spiking networks: every spike of every neuron at every step."""

from __future__ import annotations

import numpy as np

from nonideal import rng
from nonideal.mcu.verify import MismatchError
from nonideal.spiking.host import SpikingEngine
from nonideal.spiking.integer import SpikingNetwork

SPARSE = 0.15  # share of inputs that are not silent in sparse samples


def adversarial_inputs(network: SpikingNetwork, *, seed: int, count: int = 50) -> np.ndarray:
    """Inputs that reach the bounds of the first layer's drives, and random ones.

    Parameters
    ----------
    network
        Its first layer decides the extreme inputs: two for each neuron, which drive it to its largest and to
        its smallest value, at every step.
    seed
        Of the random inputs.
    count
        Random inputs of each kind: dense, sparse and two-valued.

    Returns
    -------
    numpy.ndarray
        uint8, as `SpikingNetwork.run` takes them.
    """
    first = network.layers[0]
    largest = 2 ** max(first.input_bits, 1) - 1
    generator = rng.stream(seed, "spiking", "adversarial")
    positive = first.weights > 0
    shape = (count, first.inputs) if first.input_bits else (count, network.steps, first.inputs)
    dense = generator.integers(0, largest + 1, shape)
    extremes = np.concatenate((np.where(positive, largest, 0), np.where(positive, 0, largest)))
    if not first.input_bits:
        extremes = np.repeat(extremes[:, None], network.steps, axis=1)
    parts = (
        extremes,
        dense,
        np.where(generator.random(shape) < SPARSE, dense, 0),
        generator.choice([0, largest], shape),
        np.zeros((1, *shape[1:])),
        np.full((1, *shape[1:]), largest),
    )
    return np.concatenate(parts).astype(np.uint8)


def verify(network: SpikingNetwork, inputs: np.ndarray, *, engine: SpikingEngine) -> int:
    """Require that C gives the Python integers: every spike, every count, every class.

    Parameters
    ----------
    network
        Integers.
    inputs
        As `SpikingNetwork.run` takes them.
    engine
        C on this computer.

    Returns
    -------
    int
        Number of neurons and steps compared, over all samples.

    Raises
    ------
    MismatchError
        If one value differs; the message names the first.
    """
    wanted = network.run(inputs)
    found, classes = engine.run(network, inputs)
    for k, (spikes, expected) in enumerate(zip(found.spikes, wanted.spikes, strict=True), 1):
        differ = spikes != expected
        if differ.any():
            sample, step, neuron = (int(v) for v in np.argwhere(differ)[0])
            raise MismatchError(
                f"host C, layer {k}: {int(differ.sum())} of {differ.size} spikes differ from the Python "
                f"integers; sample {sample}, step {step + 1}, neuron {neuron}: found "
                f"{spikes[sample, step, neuron]}, expected {expected[sample, step, neuron]}"
            )
    for what, values, expected in (
        ("counts", found.counts, wanted.counts),
        ("classes", classes, wanted.counts.argmax(axis=1)),
    ):
        if not np.array_equal(values, expected):
            wrong = int((values != expected).reshape(len(inputs), -1).any(axis=1).argmax())
            raise MismatchError(
                f"host C, {what}: sample {wrong}: found {values[wrong]}, expected {expected[wrong]}"
            )
    return sum(spikes.size for spikes in wanted.spikes)
