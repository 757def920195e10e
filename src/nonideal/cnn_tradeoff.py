"""Accuracy against size and time on the microcontroller: CNNs, fully connected networks, published ones."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pandas as pd

from nonideal import stats
from nonideal.mcu.cycles import CLOCK_HZ

MS = 1000.0  # in a second
# Published accuracy beside the published size or time of the same network: quantities of published.csv.
PUBLISHED = {
    "CNN": ("accuracy of the C engine, CNN", "size of the weights, CNN", None),
    "4bitsym": (
        "accuracy on the device, 4bitsym", None, "cycles per image, 4bitsym, loop over weights"
    ),
}  # fmt: skip


def tradeoff(
    accuracy: pd.DataFrame,
    kernels: pd.DataFrame,
    formats: pd.DataFrame,
    programs: pd.DataFrame,
    published: str | os.PathLike[str],
) -> pd.DataFrame:
    """Accuracy, size and modelled time of every CNN, every fully connected network, and what was published.

    Parameters
    ----------
    accuracy, kernels
        Tables ``cnn_accuracy`` and ``cnn_kernels``.
    formats, programs
        Tables ``formats`` and ``mcu_kernels`` of the fully connected networks: accuracies are those of the
        widths that the programs have.
    published
        The list of published values, for those on MNIST.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``cnn_tradeoff``.
    """
    dataset = str(accuracy["dataset"].iloc[0])
    rows = [_cnn_row(group, kernels) for _, group in accuracy.groupby("channels")]
    rows += _fully_connected_rows(formats, programs, dataset)
    rows += _published_rows(published) if dataset == "mnist" else []
    return pd.DataFrame(rows)


def _cnn_row(group: pd.DataFrame, kernels: pd.DataFrame) -> dict[str, Any]:
    first = group.iloc[0]
    programs = kernels[kernels["channels"] == first["channels"]].set_index("kernel")
    low, high = stats.ends(group["test_accuracy"], share=True)
    return {
        "family": "cnn",
        "network": f"{first['channels']} channels",
        "dataset": first["dataset"],
        "channels": int(first["channels"]),
        "test_accuracy": group["test_accuracy"].mean(),
        "low": low,
        "high": high,
        "seeds": len(group),
        "integer_accuracy": group["integer_accuracy"].mean(),
        "weight_bits": float(first["weight_bits"]),
        "mismatches": float(programs["mismatches"].sum()),
    } | _program(programs)


def _program(programs: pd.DataFrame) -> dict[str, float]:
    """Costs of one network's two programs, indexed by kernel."""
    fast = programs.loc["fast"]
    return {
        "flash_bytes": float(fast["flash_bytes"]),
        "ram_bytes": float(fast["ram_bytes"] + fast["stack_bytes"]),
        "cycles": float(fast["cycles"]),
        "instructions": float(fast["instructions"]),
        "plain_cycles": float(programs.loc["plain", "cycles"]),
        "time_ms": float(fast["cycles"]) / CLOCK_HZ * MS,
        "verified_images": float(fast["verified_images"]),
    }


def _fully_connected_rows(
    formats: pd.DataFrame, programs: pd.DataFrame, dataset: str
) -> list[dict[str, Any]]:
    rows = []
    trained = formats[formats["dataset"] == dataset].set_index("format")
    for name, group in programs[programs["dataset"] == dataset].groupby("format"):
        row = trained.loc[name]
        rows.append(
            {
                "family": "fully connected",
                "network": str(name),
                "dataset": dataset,
                "channels": 0,
                "test_accuracy": float(row["qat_mean"]),
                "low": row["qat_low"],
                "high": row["qat_high"],
                "seeds": int(row["seeds"]),
            }
            | _program(group.set_index("kernel"))
        )
    return rows


def _published_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        values = {
            row["quantity"]: float(row["published"])
            for row in csv.DictReader(file)
            if row["track"] == "microcontroller"
        }
    rows = []
    for name, (accuracy, bits, cycles) in PUBLISHED.items():
        rows.append(
            {
                "family": "published",
                "network": name,
                "dataset": "mnist",
                "channels": 0,
                "test_accuracy": values[accuracy] / 100,
                "seeds": 0,
                "weight_bits": values[bits] if bits else None,
                "cycles": values[cycles] if cycles else None,
                "time_ms": values[cycles] / CLOCK_HZ * MS if cycles else None,
            }
        )
    return rows
