"""Means and intervals of the studies of spiking networks, from their tables, without PyTorch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nonideal import stats
from nonideal.regularised import analysis, verdicts
from nonideal.schemas import spiking_cells as schemas

NETWORKS = ["dataset", "method", "format", "bits"]
RECORDINGS = ["source", "network", "split", "format", "bits"]
_FURTHER = ("further_low", "further_high")


def precision(rows: pd.DataFrame) -> pd.DataFrame:
    """Means and intervals over seeds of every format and method.

    Parameters
    ----------
    rows
        Table ``spiking_precision``.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``spiking_precision_summary``. Gaps are paired: of networks from one float network.
    """
    accuracy = rows.set_index([*NETWORKS, "seed"])["test_accuracy"]
    by_seed = {method: part.droplevel(["method", "bits"]) for method, part in accuracy.groupby("method")}
    full = by_seed["float"].droplevel("format")
    results = []
    for key, part in rows.groupby(NETWORKS, sort=True):
        named = dict(zip(NETWORKS, key, strict=True))
        # Indexed by data set and seed, so that subtraction pairs the networks.
        own = part.set_index(["dataset", "seed"])["test_accuracy"]
        qat = own
        if named["method"] == "ptq":
            qat = by_seed["qat"].xs(named["format"], level="format")
        # Without a partner (of another data set, or not trained) a network says nothing about a difference.
        gap, further = (full - own).dropna(), (qat - own).dropna()
        result = named | {
            "mean": own.mean(),
            **_ends("", own, share=True),
            "gap": gap.mean(),
            **_ends("gap_", gap),
            "further_loss": further.mean() if named["method"] == "ptq" else np.nan,
            **(_ends("further_", further) if named["method"] == "ptq" else dict.fromkeys(_FURTHER, np.nan)),
        }
        for name in ("integer_accuracy", "zero_share", "weight_bytes", "spikes", "spike_share"):
            result[name] = part[name].mean()
        float_bytes = part["weights"].mean() * analysis.FULL_PRECISION / 8
        result["memory_saved"] = float_bytes / result["weight_bytes"]
        result["levels"] = float(round(2.0 ** named["bits"]))
        results.append(result | {"seeds": len(part)})
    return pd.DataFrame(results)


def events(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy over all recordings and its interval over folds, for each format.

    The intervals allow for the training recordings that folds share (`stats.sem_of_folds`).

    Parameters
    ----------
    rows
        Table ``spiking_events``; with ``float`` among the formats.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``spiking_events_summary``.
    """
    folds = ["source", "network", "split", "fold"]
    full = rows[rows["format"] == "float"].set_index(folds)["test_accuracy"]
    results = []
    for key, part in rows.groupby(RECORDINGS, sort=True):
        own = part.set_index(folds)["test_accuracy"]
        gap = (full - own).dropna()
        mean = part["correct"].sum() / part["recordings"].sum()
        low, high = map(float, stats.interval(mean, stats.sem_of_folds(own), len(own), share=True))
        results.append(
            dict(zip(RECORDINGS, key, strict=True))
            | {
                "recordings": part["recordings"].sum(),
                "mean": mean,
                "low": low,
                "high": high,
                "gap": gap.mean(),
                **_ends("gap_", gap, folds=True),
                "spike_share": part["spike_share"].mean(),
                "folds": len(part),
            }
        )
    return pd.DataFrame(results)


def cells(
    networks: pd.DataFrame, faults: pd.DataFrame, variability: pd.DataFrame, loss: float
) -> dict[str, pd.DataFrame]:
    """Means and intervals over seeds, and claims that could be measured, by table.

    Parameters
    ----------
    networks, faults, variability
        Tables ``spiking_regularised``, ``spiking_faults`` and ``spiking_variability``.
    loss
        Points below full precision that still count as tolerated.
    """
    floats = networks[networks["method"] == "float"]
    claims = verdicts.claims(networks, faults, variability, loss)
    return {
        "regularised": analysis.summary(networks, floats, schemas.NETWORKS_SUMMARY.unique),
        "faults": analysis.summary(faults, floats, schemas.FAULT_SUMMARY.unique),
        "variability": analysis.summary(variability, floats, schemas.VARIABILITY_SUMMARY.unique),
        "claims": claims[claims["verdict"] != "not measured"],
    }


def _ends(prefix: str, values: pd.Series, **options: bool) -> dict[str, float]:
    low, high = stats.ends(values, **options)
    return {f"{prefix}low": low, f"{prefix}high": high}
