"""Accuracy of networks in stuck flash: means and paired intervals over seeds, without PyTorch."""

from __future__ import annotations

import pandas as pd

from nonideal.regularised import analysis
from nonideal.schemas.mcu import FLASH_SUMMARY


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of table ``flash_faults_summary`` from those of ``flash_faults``."""
    keys = list(FLASH_SUMMARY.unique)
    parts = []
    for _, part in runs.groupby(["dataset", "format", "kernel"], sort=True):
        unaware = part[part["method"] == "unaware"]
        reference = unaware[unaware["rate"] == unaware["rate"].min()]  # sound: the rate does not matter
        reference = reference.assign(test_accuracy=reference["sound_accuracy"])
        means = part.groupby(keys)[["sound_accuracy", "changed_weights"]].mean().reset_index()
        parts.append(analysis.summary(part, reference, keys).merge(means, on=keys))
    frame = pd.concat(parts, ignore_index=True).rename(columns={"sound_accuracy": "sound_mean"})
    return frame[list(FLASH_SUMMARY.columns)]
