"""What choices cost that the publication leaves open: bound of error correction, scale of read noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from nonideal import stats
from nonideal.pcm.crossbar import Configuration, Options, simulate
from nonideal.pcm.device import READ_NOISE_NORMS
from nonideal.pcm.slicing import EC_TARGETS

PUBLISHED = Options(
    ec_targets="unbounded", read_noise_norm="slice_max"
)  # Le Gallo et al. 2022, released code


def alternatives(
    n_slices: list[int], bases: list[int], published: Options
) -> Iterator[tuple[str, str, Configuration, Options]]:
    """Name of the option, its other value, a configuration, and all options with that value.

    Error correction needs two slices or more. The scale of read noise is compared where the paper compares
    mappings at base 1, for both kinds of weights; it makes no difference to a slice that reaches G_MAX.
    """
    for value in EC_TARGETS:
        if value != published.ec_targets:
            for base in bases:
                for n in n_slices:
                    if n > 1:  # a single slice has no error to correct
                        configuration = Configuration("max_fill_ec", base=base, n_slices=n)
                        yield "ec_targets", value, configuration, replace(published, ec_targets=value)
    for value in READ_NOISE_NORMS:
        if value != published.read_noise_norm:
            for weights in ("gaussian", "ternary"):
                for mapping in ("equal_fill", "max_fill"):
                    for n in n_slices if mapping == "equal_fill" else [n for n in n_slices if n > 1]:
                        configuration = Configuration(mapping, weights=weights, base=1, n_slices=n)
                        yield (
                            "read_noise_norm",
                            value,
                            configuration,
                            replace(published, read_noise_norm=value),
                        )


def compare_options(
    trials: range, *, rows: int, n_slices: list[int], bases: list[int], times_s: list[float], seed: int
) -> pd.DataFrame:
    """Simulate every alternative beside the published choice on common random numbers.

    Parameters
    ----------
    trials
        Numbers of the trials.
    rows
        Rows and columns of the crossbar.
    n_slices, bases
        Configurations compared.
    times_s
        Times after programming, seconds.
    seed
        Seed of the run.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``crossbar_options``. The standard error of the change is that of the paired ratio of
        means (delta method).
    """
    published = replace(PUBLISHED, rows=rows)
    found = []
    for option, value, configuration, options in tqdm(
        list(alternatives(n_slices, bases, published)), unit="configuration", desc="options"
    ):
        reference = simulate(configuration, times_s, trials, seed=seed, options=published)
        other = simulate(configuration, times_s, trials, seed=seed, options=options)
        ratio, sem = stats.ratio_of_means(other, reference)
        half_width = stats.half_width(sem, len(trials))
        for k, time_s in enumerate(times_s):
            found.append(
                {
                    "option": option,
                    "value": value,
                    "mapping": configuration.mapping,
                    "weights": configuration.weights,
                    "base": configuration.base,
                    "n_slices": configuration.n_slices,
                    "time_s": float(time_s),
                    "published_choice": float(np.mean(reference[:, k])),
                    "mean": float(np.mean(other[:, k])),
                    "change": float(ratio[k] - 1),
                    "change_sem": float(sem[k]),
                    "change_half_width": float(half_width[k]),
                    "trials": len(trials),
                }
            )
    return pd.DataFrame(found)
