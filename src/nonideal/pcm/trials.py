"""Trials of the crossbar Monte Carlo: random weights, inputs and noise, and the times of reading.

Everything random is named by (trial, slice, device) alone: trial k is the same in any shard, on any number of
cores, and for every configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import rng
from . import device, kernel, slicing


@dataclass(frozen=True)
class Times:
    """Times to read at, t0 first, and where in them the requested times are."""

    log_ratio: np.ndarray  # logarithm of each time over the one before
    growth: np.ndarray
    words: np.ndarray  # a time's name in the random counter: its bits as float32
    index: np.ndarray

    @classmethod
    def of(cls, times_s: Sequence[float]) -> Times:
        """Grid of times in seconds, any order.

        Raises
        ------
        ValueError
            If there is no time, or one lies before t0 or beyond `device.LAST_S`.
        """
        requested = np.asarray(times_s, dtype=np.float64)
        if requested.ndim != 1 or requested.size == 0:
            raise ValueError(f"times_s must be a non-empty list of times in seconds, got {times_s!r}")
        if not ((requested >= device.T0_S) & (requested <= device.LAST_S)).all():
            raise ValueError(
                f"times_s must be from t0 = {device.T0_S:g} s to {device.LAST_S:g} s, got {times_s!r}"
            )
        # Times within a part in a billion are one: 20 s stays t0 after a logspace.
        grid = np.unique(np.round(np.log(requested / device.T0_S), 9))
        grid = np.union1d(grid, [0.0])
        steps = np.diff(grid, prepend=0.0)
        # Equal steps are made exactly equal: the kernel then reuses the decay of the step before.
        for i in range(2, steps.size):
            if abs(steps[i] - steps[i - 1]) < 1e-8:
                steps[i] = steps[i - 1]
        times = device.T0_S * np.exp(grid)
        growth = np.array([device.read_noise_growth(t) for t in times], np.float32)
        index = np.searchsorted(grid, np.round(np.log(requested / device.T0_S), 9))
        return cls(steps.astype(np.float32), growth, times.astype(np.float32).view(np.uint32), index)


class Trials:
    """Weights, input and all noise of one trial at a time, shared by the configurations.

    Parameters
    ----------
    n_slices
        Most devices per weight that a configuration has.
    times
        When the devices are read.
    seed
        Seed of the run.
    rows
        Rows and columns N of the crossbar.
    """

    def __init__(self, n_slices: int, times: Times, seed: int, rows: int) -> None:
        self._seed, self._times, self._rows = seed, times, rows
        # Made once: fresh megabytes for every trial would cost as much as their random numbers.
        self._weights = np.empty((2, (rows * rows + 1) // 2), np.float32)
        self._inputs = np.empty((2, (rows + 1) // 2), np.float32)
        self.devices = np.empty((2, n_slices, rows, rows), np.float32)
        self.reads = np.empty((2, n_slices, times.words.size, rows), np.float32)

    def draw(self, trial: int) -> None:
        """Draw one trial in place of the last."""
        n, self._trial = self._rows, trial
        word = int(rng.key64(self._seed, "crossbar", trial)[0])
        devices = self.devices.reshape(2, -1, n * n)
        kernel.draw_trial(
            np.uint32(word & 0xFFFFFFFF), np.uint32(word >> 32), self._times.words,
            self._weights, self._inputs, devices, self.reads,
        )  # fmt: skip
        self.inputs = slicing.quantise(self._inputs.ravel()[:n], slicing.INPUT_SPAN)
        self._integers: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def problem(self, weights: str) -> tuple[np.ndarray, np.ndarray]:
        """Integer weights of one kind and their exact product with the input."""
        if weights not in self._integers:
            n = self._rows
            values = self._weights.ravel()[: n * n].reshape(n, n)
            values = slicing.ternarise(values) if weights == "ternary" else values
            integers = slicing.quantise(values, slicing.WEIGHT_SPAN)
            self._integers[weights] = integers, integers.astype(np.float64) @ self.inputs.astype(np.float64)
        return self._integers[weights]

    def magnitude(self, weights: str) -> float:
        """Euclidean norm of that product, to which errors are relative.

        Raises
        ------
        ValueError
            If it is zero, as it can be for a handful of rows.
        """
        norm = float(np.linalg.norm(self.problem(weights)[1]))
        if norm == 0:
            raise ValueError(
                f"trial {self._trial}: the product of {weights} weights ({self._rows} x {self._rows}) and "
                "input is zero, and no error is relative to it; choose more rows"
            )
        return norm


def check(trials: range) -> None:
    """Refuse anything but a non-empty range of numbers from 0 on."""
    if not isinstance(trials, range) or len(trials) == 0 or min(trials) < 0:
        raise ValueError(f"trials must be a non-empty range of numbers from 0 on, got {trials!r}")
