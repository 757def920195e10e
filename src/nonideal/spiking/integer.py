"""Integer inference of a dense spiking network: the definition that C and RTL implementations are held to.

A layer has levels w (int16 [outputs, inputs]) with weight = scale * level. Its input s is either spikes (0 or
1, `input_bits` 0) or a constant current of unsigned integers below 2^input_bits, which stands for
s / 2^input_bits. With F = `FRACTION` fraction bits below one level, everything is an integer in units of
scale / 2^F, and step t = 1 .. T of neuron j is

    X = sum_i w[j, i] * s[i]  <<  (F - input_bits)          drive
    H = V[j] + ((X - V[j]) >> 2)                            arithmetic shift: rounds towards minus infinity
    spike[j] = H >= threshold
    V[j] = 0 if spike[j] else H                             V = 0 before the first step

with threshold = round(2^F / scale), that is, V_th = 1. The shift by two is beta = 1/4 of
H = V + beta (X - (V - V_reset)) with V_reset = 0. The spikes of a layer at step t are the input of the next
layer at the same step t. The result is the number of spikes of each output in T steps; the class is the
output with most spikes, the lowest of equals.

Every intermediate value fits 32 signed bits: `SpikingLayer` refuses weights for which |X| could reach 2^30.
State and H lie between `SpikingLayer.lowest` and the larger of threshold - 1 and the largest X.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

FRACTION = 8  # fraction bits of the state below one level
LEAK_SHIFT = 2  # beta = 2^-2
PIXEL_BITS = 8  # of a constant input current: grey levels
LARGEST = 2**30 - 1  # of drive and threshold, so that X - V fits 32 signed bits
BLOCK = 1000  # samples computed at once; bounds memory


@dataclass(frozen=True, eq=False)
class SpikingLayer:
    """One dense layer of spiking neurons in integers.

    Parameters
    ----------
    weight_format
        Name of the weights' format.
    weights
        Levels, int16 [outputs, inputs].
    scale
        Weight units per level, positive.
    input_bits
        0 for spikes, else bits of the unsigned constant input current, at most `FRACTION`.

    Raises
    ------
    ValueError
        If the shape or type is wrong, or a value could exceed its range.
    """

    weight_format: str
    weights: np.ndarray
    scale: float
    input_bits: int = 0

    def __post_init__(self) -> None:
        if self.weights.dtype != np.int16 or self.weights.ndim != 2 or not self.weights.size:
            raise ValueError(
                f"weights must be int16 [outputs, inputs], "
                f"got {self.weights.dtype} {list(self.weights.shape)}"
            )
        if not 0 <= self.input_bits <= FRACTION:
            raise ValueError(f"input_bits must be 0 .. {FRACTION}, got {self.input_bits}")
        object.__setattr__(self, "scale", float(self.scale))  # NumPy's numbers are none of JSON's
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be positive and finite, got {self.scale}")
        bound = max(-self.lowest, self.highest)
        if bound > LARGEST:
            raise ValueError(
                f"the drive could reach {bound}, more than 2^30 - 1 = {LARGEST}; "
                f"use fewer inputs or smaller weights"
            )
        exact = 2**FRACTION / self.scale  # infinite for the smallest scales, and then no integer
        if not 1 <= round(min(exact, 2.0 * LARGEST)) <= LARGEST:
            raise ValueError(
                f"scale {self.scale} gives threshold {exact:.6g}, outside 1 .. 2^30 - 1 = {LARGEST}"
            )

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.weights.shape[1]

    @property
    def outputs(self) -> int:
        """Number of neurons."""
        return self.weights.shape[0]

    @property
    def shift(self) -> int:
        """Bits by which the weighted sum is shifted left."""
        return FRACTION - self.input_bits

    @property
    def threshold(self) -> int:
        """V_th = 1 in units of the state."""
        return round(2**FRACTION / self.scale)

    @property
    def lowest(self) -> int:
        """Smallest possible drive and state, 0 or below."""
        return self._extreme(np.minimum(self.weights, 0).sum(axis=1, dtype=np.int64).min())

    @property
    def highest(self) -> int:
        """Largest possible drive, 0 or above."""
        return self._extreme(np.maximum(self.weights, 0).sum(axis=1, dtype=np.int64).max())

    def _extreme(self, total: np.int64) -> int:
        return int(total) * (max(2**self.input_bits - 1, 1) << self.shift)

    def drive(self, inputs: np.ndarray) -> np.ndarray:
        """X of inputs [..., inputs], int32 [..., outputs]."""
        # Sums are below 2^30, so double precision is exact, and a matrix product of doubles is fast.
        sums = inputs.astype(np.float64) @ self.weights.T.astype(np.float64)
        return sums.astype(np.int32) << self.shift


def step(state: np.ndarray, drive: np.ndarray, threshold: int) -> tuple[np.ndarray, np.ndarray]:
    """One step of the neurons.

    Parameters
    ----------
    state, drive
        V and X, int32 of the same shape.
    threshold
        In the same units.

    Returns
    -------
    state, spikes : numpy.ndarray
        New V, int32, and spikes, bool.
    """
    charged = state + ((drive - state) >> LEAK_SHIFT)
    spikes = charged >= threshold
    return np.where(spikes, np.int32(0), charged), spikes


class Record(NamedTuple):
    """Spikes of every layer, uint8 [n, steps, outputs] each, and spikes per class, int32 [n, classes]."""

    spikes: list[np.ndarray]
    counts: np.ndarray


@dataclass(frozen=True, eq=False)
class SpikingNetwork:
    """Dense spiking layers in integers.

    Parameters
    ----------
    layers
        At least one; only the first may take a current.
    steps
        T, time steps per inference.

    Raises
    ------
    ValueError
        If the layers do not fit each other.
    """

    layers: tuple[SpikingLayer, ...]
    steps: int

    def __post_init__(self) -> None:
        if not self.layers or self.steps < 1:
            raise ValueError(
                f"at least one layer and one step are needed, got {len(self.layers)}, {self.steps}"
            )
        for k, (before, layer) in enumerate(itertools.pairwise(self.layers), 2):
            if before.outputs != layer.inputs:
                raise ValueError(
                    f"layer {k} has {layer.inputs} inputs, the layer before it {before.outputs} outputs"
                )
            if layer.input_bits:
                raise ValueError(f"layer {k} takes a current; only the first layer may")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, widths, classes."""
        return (self.layers[0].inputs, *(layer.outputs for layer in self.layers))

    def run(self, inputs: np.ndarray) -> Record:
        """Spikes of all layers at all steps.

        Parameters
        ----------
        inputs
            Unsigned integers: constant current [n, inputs] if the first layer takes one, else spikes
            [n, steps, inputs].

        Raises
        ------
        ValueError
            If shape or values do not fit.
        """
        self.check(inputs)
        parts = [self._block(inputs[start : start + BLOCK]) for start in range(0, len(inputs), BLOCK)]
        spikes = [np.concatenate(layer) for layer in zip(*parts, strict=True)]
        return Record(spikes, spikes[-1].sum(axis=1, dtype=np.int32))

    def classify(self, inputs: np.ndarray) -> np.ndarray:
        """Class of each sample, int64 [n]: most spikes, the lowest of equals."""
        return self.run(inputs).counts.argmax(axis=1)

    def check(self, inputs: np.ndarray) -> None:
        """Require inputs the network can take."""
        first = self.layers[0]
        shape = (first.inputs,) if first.input_bits else (self.steps, first.inputs)
        if inputs.dtype != np.uint8 or inputs.shape[1:] != shape or not len(inputs):
            raise ValueError(f"inputs must be uint8 {['n', *shape]}, got {inputs.dtype} {list(inputs.shape)}")
        if inputs.max() >= 2 ** max(first.input_bits, 1):
            raise ValueError(f"inputs must be below {2 ** max(first.input_bits, 1)}, found {inputs.max()}")

    def _block(self, inputs: np.ndarray) -> list[np.ndarray]:
        """Spikes of each layer for some samples."""
        current = self.layers[0].input_bits > 0
        constant = self.layers[0].drive(inputs) if current else None
        states = [np.zeros((len(inputs), layer.outputs), np.int32) for layer in self.layers]
        record = [np.empty((len(inputs), self.steps, layer.outputs), np.uint8) for layer in self.layers]
        for t in range(self.steps):
            signal = None if current else inputs[:, t]
            for k, layer in enumerate(self.layers):
                drive = constant if signal is None else layer.drive(signal)
                states[k], signal = step(states[k], drive, layer.threshold)
                record[k][:, t] = signal
        return record
