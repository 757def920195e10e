"""What choices cost a network that the literature leaves open: one option at a time, on the same devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from torch import Tensor
from tqdm import tqdm

from nonideal import stats
from nonideal.pcm import networks
from nonideal.pcm.device import T0_S
from nonideal.pcm.hardware import Hardware
from nonideal.training.evaluation import threads_set

STANDARD = Hardware()
"""What the other values are compared with: the choices of the published crossbar runs, ideal converters."""

ALTERNATIVES: tuple[tuple[str, str, Hardware], ...] = (
    ("read noise at t0", "off", replace(STANDARD, read_noise="after_t0")),
    ("scale of read noise", "G_max", replace(STANDARD, read_noise_norm="g_max")),
    ("targets of error correction", "-1 to 1 G_max", replace(STANDARD, ec_targets="physical")),
    ("targets of error correction", "0 to 1 G_max", replace(STANDARD, ec_targets="same_sign")),
    ("unused devices of a pair", "rectified noise", replace(STANDARD, pairs=True)),
    ("negative conductance", "clipped at 0", replace(STANDARD, non_negative=True)),
    ("drift exponents", "clipped", replace(STANDARD, exponents="clipped")),
    ("compensation", "column", replace(STANDARD, compensation="column")),
    ("compensation", "fixed", replace(STANDARD, compensation="fixed")),
    ("compensation", "none", replace(STANDARD, compensation="none")),
    ("converters of inputs and outputs", "8 bits", replace(STANDARD, dac_bits=8, adc_bits=8)),
    ("converters of inputs and outputs", "6 bits", replace(STANDARD, dac_bits=6, adc_bits=6)),
)

CONFIGURATIONS = (("max_fill", 1), ("max_fill_ec", 1), ("max_fill_ec", 2))


def compare_options(
    config: Mapping[str, Any], state: Mapping[str, Tensor], data: str, *, seed: int
) -> pd.DataFrame:
    """Simulate every alternative beside the standard choice on common random numbers.

    Parameters
    ----------
    config
        Section ``networks`` of the configuration.
    state
        State of the noise-aware network.
    data
        Folder of a prepared data set.
    seed
        Seed of the run.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``network_options``. The change of the logit error is a ratio of means (paired, delta
        method), that of the accuracy a difference of means (paired).
    """
    settings = config["deployment"]
    chips, n_slices = range(settings["ablation_chips"]), max(settings["n_slices"])
    with threads_set(config["threads"]):
        images, channels, classes = networks.choose_images(config, data, seed=seed)
        model = networks.restore(config, state, channels, classes)
        images = networks.on_device(images, config)
        reference = networks.reference_logits(model, images)

        def simulated(plan: networks.Plan, hardware: Hardware) -> pd.DataFrame:
            rows = []
            for first in range(0, len(chips), networks.GROUP):
                group = chips[first : first + networks.GROUP]
                rows += networks.simulate(model, plan, group, images, reference, seed=seed, hardware=hardware)
            return pd.DataFrame(rows)

        found = []
        for mapping, base in tqdm(CONFIGURATIONS, unit="configuration", desc="options"):
            plan = networks.Plan(mapping, base, n_slices, (T0_S, networks.MONTH_S))
            standard = simulated(plan, STANDARD)
            for option, value, hardware in ALTERNATIVES:
                if hardware.ec_targets != STANDARD.ec_targets and mapping != "max_fill_ec":
                    continue  # nothing is corrected
                named = {
                    "option": option,
                    "value": value,
                    "mapping": mapping,
                    "base": base,
                    "n_slices": n_slices,
                }
                found += [named | row for row in _changes(standard, simulated(plan, hardware))]
    return pd.DataFrame(found)


def _changes(standard: pd.DataFrame, other: pd.DataFrame) -> list[dict[str, Any]]:
    """Paired changes at every time."""
    rows = []
    for time_s, before in standard.groupby("time_s"):
        after = other[other["time_s"] == time_s].set_index("chip").loc[before["chip"]]
        ratio, sem = stats.ratio_of_means(after["logit_error"].to_numpy(), before["logit_error"].to_numpy())
        gain = after["accuracy"].to_numpy() - before["accuracy"].to_numpy()
        gain_sem = gain.std(ddof=1) / len(gain) ** 0.5
        rows.append(
            {
                "time_s": time_s,
                "error": before["logit_error"].mean(),
                "error_change": float(ratio) - 1,
                "error_change_half_width": float(stats.half_width(sem, len(gain))),
                "accuracy": before["accuracy"].mean(),
                "accuracy_change": gain.mean(),
                "accuracy_change_half_width": float(stats.half_width(gain_sem, len(gain))),
                "chips": len(gain),
            }
        )
    return rows
