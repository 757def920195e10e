"""Monte Carlo of matrix-vector products on a phase-change memory crossbar (Le Gallo et al. 2022, Fig. 4).

A trial draws weights W (N x N) and an input x from normal distributions, quantises both to 9 bits, programs
W onto n arrays (one per slice), reads them at several times through converters of 8 bits, compensates drift
with one factor and reports the relative error eta = |y_hat - W x| / |W x|.

Common random numbers: W, x and the noise of every device are named by (trial, slice, device) alone, so all
configurations meet the same crossbar and their differences are sharp. With one slice all mappings are the
same, to the last bit. Trial k is the same in any shard and on any number of cores; another processor type
may sum in another order and differ in the last digits.

The published procedure draws one read-noise normal per device and time. Given the programmed conductances,
the outputs of a row for data and for calibration are jointly normal, so two normals per row replace them;
the distribution is the same.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import device, kernel, slicing
from .trials import Times, Trials, check

WEIGHTS = ("gaussian", "ternary")

CONVERTER_LIMIT = 127
"""Largest code of the 8-bit converters behind the rows (Le Gallo et al. 2022, section 3)."""

CALIBRATION_INPUT = round(slicing.MAX_WEIGHT / slicing.INPUT_SPAN)
"""Input for drift compensation, every one the integer for 1.0 (Joshi et al. 2020, Methods)."""

PHYSICS = np.array(
    [
        *(c / device.G_MAX_US for c in device.PROGRAMMING_STD_US),
        *device.DRIFT_MEAN_FIT, *device.DRIFT_MEAN_RANGE,
        *device.DRIFT_STD_FIT, *device.DRIFT_STD_RANGE,
        *device.READ_NOISE_FIT, device.READ_NOISE_LIMIT,
    ],
    dtype=np.float32,
)  # fmt: skip

_TIE = np.float32(1 + slicing.TIE)

# Limits of an error-correction target in the direction of its weight, units of G_MAX.
_LIMITS = {"unbounded": (-np.inf, np.inf), "physical": (-1.0, 1.0), "same_sign": (0.0, 1.0)}


@dataclass(frozen=True)
class Configuration:
    """How weights are stored.

    Parameters
    ----------
    mapping
        One of `slicing.MAPPINGS`.
    weights
        "gaussian" (9 bits) or "ternary".
    base
        Base of the slices' significance, 1 to 255; None for digital slicing, whose base follows from
        `n_slices`.
    n_slices
        Devices per weight, 1 to 8.

    Raises
    ------
    ValueError
        If a value is unknown or out of range.
    """

    mapping: str
    weights: str = "gaussian"
    base: int | None = None
    n_slices: int = 1

    def __post_init__(self) -> None:
        slicing.check(self.mapping, self.base, self.n_slices)
        _one_of("weights", self.weights, WEIGHTS)


@dataclass(frozen=True)
class Options:
    """What all configurations of a run share.

    Parameters
    ----------
    rows
        Rows and columns N of the crossbar, 2 to 4096.
    ec_targets
        Targets of error correction, see `slicing.program`: "unbounded" (published), "physical" or
        "same_sign".
    read_noise_norm
        What targets are divided by before the read-noise fit: the largest target of the slice
        ("slice_max", published) or G_MAX ("g_max", device papers).
    """

    rows: int = 128
    ec_targets: str = "unbounded"
    read_noise_norm: str = "slice_max"

    def __post_init__(self) -> None:
        whole = isinstance(self.rows, numbers.Integral) and not isinstance(self.rows, bool)
        # The exact product of a single row is zero in one trial of a hundred, and has no relative error.
        if not whole or not 2 <= self.rows <= 4096:
            raise ValueError(f"rows must be an integer from 2 to 4096, got {self.rows!r}")
        _one_of("ec_targets", self.ec_targets, slicing.EC_TARGETS)
        _one_of("read_noise_norm", self.read_noise_norm, device.READ_NOISE_NORMS)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def converter_gain(n_slices: int, rows: int) -> float:
    """Codes per unit of conductance (G_MAX) times integer input (Le Gallo et al. 2022, section 3).

    With one slice, full scale is four standard deviations of a row's output for Gaussian weights. With n
    slices the gain falls towards half of that, which leaves room for the fuller devices of max-fill.
    """
    spans = slicing.INPUT_SPAN * ((slicing.WEIGHT_SPAN - 1.5) / n_slices + 1.5)
    return CONVERTER_LIMIT / slicing.INPUT_SPAN / (slicing.MAX_WEIGHT * math.sqrt(rows)) * spans


class _Plan:
    """A configuration as the kernel wants it."""

    def __init__(self, configuration: Configuration, options: Options) -> None:
        self.configuration = configuration
        name = configuration.mapping, configuration.base, configuration.n_slices
        powers = slicing.significance(*name)
        self.range = slicing.slice_range(*name)
        self.mapping = slicing.MAPPINGS.index(configuration.mapping)
        self.base = slicing.slice_base(*name)
        self.bits = slicing.bits_per_slice(configuration.n_slices)
        self.gain = converter_gain(configuration.n_slices, options.rows)
        self.by_slice = options.read_noise_norm == "slice_max"
        correcting = configuration.mapping == "max_fill_ec"
        self.limits = tuple(map(np.float32, _LIMITS[options.ec_targets if correcting else "unbounded"]))
        step = np.array([self.range * power for power in powers])
        if configuration.mapping == "equal_fill":
            scale = np.full(len(powers), 1 / slicing.MAX_WEIGHT)  # r sum_j b^j = 255
        elif configuration.mapping == "digital":
            scale = np.full(len(powers), 1 / self.range)
        else:
            scale = 1 / step
        lower = self.range * np.cumsum([0, *powers[:-1]])
        self.slices = np.stack([powers, scale, step, lower], axis=1).astype(np.float32)

    def run(self, trial: Trials, times: Times) -> np.ndarray:
        """Relative error at every requested time."""
        weights, target = trial.problem(self.configuration.weights)
        magnitude = trial.magnitude(self.configuration.weights)
        inputs = trial.inputs
        shape = times.words.size, inputs.size
        data, calibration = np.empty(shape), np.empty(shape)
        kernel.simulate_array(
            weights, inputs, np.float32(CALIBRATION_INPUT), *trial.devices, *trial.reads,
            self.mapping, self.base, self.bits, self.slices, _TIE, times.log_ratio, times.growth, PHYSICS,
            np.float32(self.gain), np.float32(CONVERTER_LIMIT), self.by_slice, *self.limits,
            data, calibration,
        )  # fmt: skip
        total = np.maximum(np.abs(calibration).sum(axis=1), 1.0)  # at least one code: no division by zero
        beta = total[0] / total
        estimate = beta[:, None] * data * (self.range / self.gain)
        error = np.linalg.norm(estimate - target, axis=1) / magnitude
        if not np.isfinite(error).all():
            raise ValueError(
                f"{self.configuration} asks for conductances that the device model has no numbers for: "
                "choose ec_targets 'physical' or 'same_sign', a smaller base or fewer slices"
            )
        return error[times.index]


def simulate_many(
    configurations: Sequence[Configuration],
    times_s: Sequence[float],
    trials: range,
    *,
    seed: int,
    options: Options | None = None,
) -> np.ndarray:
    """Relative error of matrix-vector products for several configurations on common random numbers.

    Parameters
    ----------
    configurations
        One or more; the same as simulating each by itself, but a trial's random numbers are drawn once.
    times_s
        Times after programming, seconds, t0 = 20 s or later, any order. Times spaced evenly on a
        logarithmic scale are fastest. A read at a time is the same whichever other times are asked for.
    trials
        Numbers of the trials, non-negative.
    seed
        Seed of the run.
    options
        What all configurations share; published values by default.

    Returns
    -------
    ndarray
        eta, float64 (configurations, trials, times). The product of the same integers without hardware is
        the reference, so eta holds hardware errors alone.

    Raises
    ------
    ValueError
        If times, trials or configurations are empty or out of range, error correction asks for conductances
        that the device model has no numbers for, or a trial of very few rows has an exact product of zero.
    """
    options = options or Options()
    if len(configurations) == 0:
        raise ValueError("configurations must name at least one configuration, got none")
    check(trials)
    times = Times.of(times_s)
    plans = [_Plan(configuration, options) for configuration in configurations]
    most = max(configuration.n_slices for configuration in configurations)
    eta = np.empty((len(plans), len(trials), len(times_s)))
    drawn = Trials(most, times, seed, options.rows)
    for k, trial in enumerate(trials):
        drawn.draw(trial)
        for c, plan in enumerate(plans):
            eta[c, k] = plan.run(drawn, times)
    return eta


def simulate(
    configuration: Configuration,
    times_s: Sequence[float],
    trials: range,
    *,
    seed: int,
    options: Options | None = None,
) -> np.ndarray:
    """Relative error of one configuration, float64 (trials, times); see `simulate_many`."""
    return simulate_many([configuration], times_s, trials, seed=seed, options=options)[0]


def ternarisation_error(trials: range, *, seed: int, options: Options | None = None) -> np.ndarray:
    """Relative error of ternary weights' exact product against that of the 9-bit weights.

    The weights and inputs are those of `simulate` with the same seed; no hardware takes part.

    Returns
    -------
    ndarray
        |W_ternary x - W x| / |W x| with integer weights and inputs, float64 (trials,).

    Raises
    ------
    ValueError
        If there are no trials, or one of very few rows has an exact product of zero.
    """
    options = options or Options()
    check(trials)
    drawn = Trials(0, Times.of([device.T0_S]), seed, options.rows)
    errors = np.empty(len(trials))
    for k, trial in enumerate(trials):
        drawn.draw(trial)
        (_, exact), (_, ternary) = drawn.problem("gaussian"), drawn.problem("ternary")
        errors[k] = np.linalg.norm(ternary - exact) / drawn.magnitude("gaussian")
    return errors
