"""The sweeps behind Figs 4a-c of Le Gallo et al. 2022 and their ternary extension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from nonideal.pcm.crossbar import Configuration, Options, simulate_many, ternarisation_error
from nonideal.pcm.device import T0_S
from nonideal.pcm.slicing import slice_base

BATCH = 25  # trials between two steps of the progress bar
POSITIONAL = ("equal_fill", "max_fill", "max_fill_ec")  # mappings with a free base


@dataclass(frozen=True)
class Sweep:
    """Configurations of one figure and the times at which they are read, in seconds."""

    figure: str
    configurations: tuple[Configuration, ...]
    times_s: tuple[float, ...]


def log_times(last_s: float, points: int) -> tuple[float, ...]:
    """Times from `T0_S` to `last_s`, both in seconds, equally spaced in their logarithm."""
    return tuple(np.geomspace(T0_S, last_s, points).tolist())


def sweeps(settings: Mapping[str, Any]) -> tuple[Sweep, ...]:
    """Sweeps described by the keys ``figure_4a`` ... ``ternary`` of the configuration.

    Digital slicing fixes its own base, 2^ceil(8 / n_slices); it enters Fig. 4a, as published, and the
    ternary extension.
    """
    a, b, c, ternary = (settings[key] for key in ("figure_4a", "figure_4b", "figure_4c", "ternary"))
    extension = tuple(
        configuration
        for weights in ("gaussian", "ternary")
        for configuration in (
            *grid(POSITIONAL, [1], ternary["n_slices"], weights),
            *digital(ternary["n_slices"], weights),
        )
    )
    return (
        Sweep("4a", (*grid(POSITIONAL, a["bases"], a["n_slices"]), *digital(a["n_slices"])), seconds(a)),
        Sweep("4b", grid(POSITIONAL, b["bases"], b["n_slices"]), seconds(b)),
        Sweep("4c", grid(POSITIONAL, c["bases"], c["n_slices"]), log_times(c["last_s"], c["points"])),
        Sweep("ternary", extension, log_times(ternary["last_s"], ternary["points"])),
    )


def seconds(settings: Mapping[str, Any]) -> tuple[float, ...]:
    """Times of a sweep in ascending order."""
    return tuple(sorted(map(float, settings["times_s"])))


def grid(
    mappings: tuple[str, ...], bases: list[int], n_slices: list[int], weights: str = "gaussian"
) -> tuple[Configuration, ...]:
    """Every combination of mapping, base and number of slices."""
    return tuple(
        Configuration(mapping=mapping, weights=weights, base=base, n_slices=n)
        for mapping in mappings
        for base in bases
        for n in n_slices
    )


def digital(n_slices: list[int], weights: str = "gaussian") -> tuple[Configuration, ...]:
    """Digital slicing with the base that covers eight bits of magnitude with `n_slices` slices."""
    return tuple(Configuration(mapping="digital", weights=weights, n_slices=n) for n in n_slices)


def run(sweeps: tuple[Sweep, ...], trials: range, *, seed: int, options: Options) -> pd.DataFrame:
    """Simulate the trials of every configuration of every sweep.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``crossbar_trials``: one for each configuration, time and trial.
    """
    frames = []
    total = sum(len(sweep.configurations) for sweep in sweeps) * len(trials)
    with tqdm(total=total, unit="trial", unit_scale=True, desc="crossbar", mininterval=1) as bar:
        for sweep in sweeps:
            for first in range(trials.start, trials.stop, BATCH):
                batch = range(first, min(first + BATCH, trials.stop))
                eta = simulate_many(sweep.configurations, sweep.times_s, batch, seed=seed, options=options)
                frames += [_rows(sweep, *pair, batch) for pair in zip(sweep.configurations, eta, strict=True)]
                bar.update(len(batch) * len(sweep.configurations))
    return pd.concat(frames, ignore_index=True)


def _rows(sweep: Sweep, configuration: Configuration, eta: np.ndarray, trials: range) -> pd.DataFrame:
    """Long form of an error array [trials, times]."""
    return pd.DataFrame(
        {
            "figure": sweep.figure,
            "mapping": configuration.mapping,
            "weights": configuration.weights,
            "base": slice_base(configuration.mapping, configuration.base, configuration.n_slices),
            "n_slices": configuration.n_slices,
            "time_s": np.tile(np.asarray(sweep.times_s, dtype=float), len(trials)),
            "trial": np.repeat(np.asarray(trials, dtype=np.int64), len(sweep.times_s)),
            "eta": np.asarray(eta, dtype=float).ravel(),
        }
    )


def ternarisation(trials: range, *, seed: int, options: Options) -> pd.DataFrame:
    """Error that ternary weights make before any hardware error: rows of table ``ternarisation``."""
    return pd.DataFrame(
        {
            "trial": np.asarray(trials, dtype=np.int64),
            "eta": ternarisation_error(trials, seed=seed, options=options),
        }
    )
