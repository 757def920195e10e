"""Means over seeds, and whether the paper's claims hold here, from paired differences.

A claim sets a bound on a difference. It `holds` if the whole 95 % interval of our paired mean keeps the
bound, `fails` if no part of it does, and is `undecided` otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from nonideal import stats
from nonideal.schemas.regularised import FAULT_SUMMARY, QAT_SUMMARY, VARIABILITY_SUMMARY

PERCENT = 100.0

FAULT_ORDER = (("passive", "basic"), ("active", "passive"), ("active+passive", "active"), ("active+passive", "passive"))  # fmt: skip
FAULT_RATE = 0.2  # of the paper's claim on 3-bit networks
CLAIMED_BITS = 3
LOSS_AT_FAULT_RATE = 1.0  # points; section 5.2: "test accuracy degradation remains below 1%"
SIGMA = 0.4  # of the paper's claim on variability


def difference(first: pd.Series, second: pd.Series) -> tuple[float, float, float, int]:
    """Mean of first - second over the seeds both have, ends of its 95 % interval, and number of seeds.

    Parameters
    ----------
    first, second
        Accuracies as shares, indexed by seed.

    Returns
    -------
    tuple
        Mean, low and high in percentage points (NaN ends below two seeds), count.
    """
    points = PERCENT * (first - second).dropna()
    count = len(points)
    mean = float(points.mean()) if count else np.nan
    sem = points.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
    half = float(stats.half_width(np.array([sem]), np.array([count]))[0])
    return mean, mean - half, mean + half, count


def summary(networks: pd.DataFrame, floats: pd.DataFrame, keys: Iterable[str]) -> pd.DataFrame:
    """Rows of a summary table: mean and interval over seeds, and change against full precision.

    Parameters
    ----------
    networks
        One row per network, with the columns `keys`, ``seed`` and ``test_accuracy``.
    floats
        Rows of the full-precision networks.
    keys
        Columns that name a condition.
    """
    keys = list(keys)
    reference = floats.set_index("seed")["test_accuracy"]
    means = stats.summarise(networks, keys, "test_accuracy").rename(columns={"count": "seeds"})
    half = stats.half_width(means["sem"], means["seeds"])
    means["low"], means["high"] = (means["mean"] - half).clip(lower=0), (means["mean"] + half).clip(upper=1)
    changes = {
        name: difference(rows.set_index("seed")["test_accuracy"], reference)[:3]
        for name, rows in networks.groupby(keys, sort=True)
    }
    found = pd.DataFrame(
        changes.values(), columns=["change", "change_low", "change_high"], index=pd.MultiIndex.from_tuples(changes, names=keys)
    )  # fmt: skip
    return means.drop(columns=["std", "sem"]).merge(found.reset_index(), on=keys)


def qat_summary(networks: pd.DataFrame) -> pd.DataFrame:
    """Rows of table ``regularised_qat_summary``."""
    return summary(networks, networks[networks["method"] == "float"], QAT_SUMMARY.unique)


def fault_summary(networks: pd.DataFrame, floats: pd.DataFrame) -> pd.DataFrame:
    """Rows of table ``regularised_faults_summary``."""
    return summary(networks, floats, FAULT_SUMMARY.unique)


def variability_summary(networks: pd.DataFrame, floats: pd.DataFrame) -> pd.DataFrame:
    """Rows of table ``regularised_variability_summary``."""
    return summary(networks, floats, VARIABILITY_SUMMARY.unique)


def verdict(low: float, high: float, at_least: float) -> str:
    """Whether a quantity with this interval keeps a lower bound."""
    if np.isnan(low) or np.isnan(high):
        return "undecided"
    return "holds" if low >= at_least else "fails" if high < at_least else "undecided"


def claim(
    name: str, statement: str, statistic: str, found: tuple[float, float, float, int], *, bits: int = 0,
    p_stuck1: float = 0.0, at_least: float = 0.0, unit: str = "points",
) -> dict[str, Any]:  # fmt: skip
    """Row of table ``regularised_claims``."""
    value, low, high, seeds = found
    said = "not measured" if np.isnan(value) else verdict(low, high, at_least)
    return {
        "name": name, "statement": statement, "statistic": statistic, "bits": bits, "p_stuck1": p_stuck1,
        "value": value, "low": low, "high": high, "unit": unit, "at_least": at_least, "verdict": said,
        "seeds": seeds,
    }  # fmt: skip


def _by_seed(rows: pd.DataFrame) -> pd.Series:
    """Accuracy of each seed, averaged over conditions."""
    return rows.groupby("seed")["test_accuracy"].mean()


def compared(
    frame: pd.DataFrame, column: str, first: str, second: str, conditions: list[str]
) -> dict[str, tuple[float, float, float, int]]:
    """Difference of two methods: averaged over the conditions both have, and in the least of them."""
    a, b = frame[frame[column] == first], frame[frame[column] == second]
    common = a[conditions].drop_duplicates().merge(b[conditions].drop_duplicates(), on=conditions)
    a, b = a.merge(common, on=conditions), b.merge(common, on=conditions)
    each = [
        difference(_by_seed(rows), _by_seed(b.merge(rows[conditions].drop_duplicates(), on=conditions)))
        for _, rows in a.groupby(conditions)
    ]
    least = min(each, key=lambda found: found[0], default=(np.nan, np.nan, np.nan, 0))
    return {"mean": difference(_by_seed(a), _by_seed(b)), "least": least}


def qat_claims(networks: pd.DataFrame) -> list[dict[str, Any]]:
    """Multipliers >= step >= fixed; straight-through better."""
    orders = {
        "multiplier_over_step": ("multiplier", "step", "learned multipliers are at least as good as a learned step"),
        "step_over_fixed": ("step", "fixed", "a learned step is at least as good as fixed levels"),
        "ste_over_float_forward": ("multiplier_ste", "multiplier", "training straight through (V2) is at least as good as with float weights (V1)"),
        "ste_over_lsq": ("multiplier_ste", "lsq", "multipliers trained straight through are at least as good as LSQ"),
    }  # fmt: skip
    rows = []
    for name, (first, second, statement) in orders.items():
        for statistic, found in compared(networks, "method", first, second, ["bits"]).items():
            rows.append(claim(name, statement, statistic, found))
        for bits in sorted(set(networks["bits"]) - {32}):
            found = compared(networks[networks["bits"] == bits], "method", first, second, ["bits"])["mean"]
            rows.append(claim(name, statement, "single", found, bits=int(bits)))
    return rows


def tolerated(summary: pd.DataFrame, condition: str, loss: float) -> float:
    """Largest condition, in percent, up to which the mean loss stays below `loss` points; 0 if none."""
    largest = 0.0
    for row in summary.sort_values(condition).itertuples():
        if row.change <= -loss:
            break
        largest = PERCENT * getattr(row, condition)
    return largest


def fault_claims(networks: pd.DataFrame, floats: pd.DataFrame, loss: float) -> list[dict[str, Any]]:
    """Order of the mitigations, loss of 3-bit networks at 20 % faults, rate tolerated."""
    rows, reference = [], _by_seed(floats)
    table = fault_summary(networks, floats)
    for p_stuck1, part in networks.groupby("p_stuck1"):
        faulty = part[part["rate"] > 0]
        for bits in (0, *sorted(set(part["bits"]))):
            chosen = faulty[faulty["bits"] == bits] if bits else faulty
            for first, second in FAULT_ORDER:
                name = f"{first}_over_{second}".replace("+", "_")
                text = f"at every fault rate, {first} is at least as good as {second}"
                for statistic, found in compared(chosen, "mode", first, second, ["bits", "rate"]).items():
                    rows.append(claim(name, text, statistic, found, bits=int(bits), p_stuck1=p_stuck1))
        both = part[part["mode"] == "active+passive"]
        at_rate = both[(both["bits"] == CLAIMED_BITS) & np.isclose(both["rate"], FAULT_RATE)]
        rows.append(
            claim(
                "loss_at_20_percent_faults", "with a fifth of the cells stuck, 3-bit networks lose less than a point (active+passive)",
                "single", difference(_by_seed(at_rate), reference), bits=CLAIMED_BITS, p_stuck1=p_stuck1, at_least=-LOSS_AT_FAULT_RATE,
            )
        )  # fmt: skip
        for bits in sorted(set(part["bits"])):
            chosen = table.query("mode == 'active+passive' and bits == @bits and p_stuck1 == @p_stuck1")
            value = tolerated(chosen, "rate", loss)
            rows.append(
                claim(
                    "fault_rate_tolerated", f"faults of a fifth of the cells cost less than {loss:g} points (active+passive)",
                    "largest", (value, value, value, int(chosen["seeds"].min())), bits=int(bits), p_stuck1=p_stuck1,
                    at_least=PERCENT * FAULT_RATE, unit="%",
                )
            )  # fmt: skip
    return rows


def variability_claims(networks: pd.DataFrame, floats: pd.DataFrame, loss: float) -> list[dict[str, Any]]:
    """Regularised against chip-in-loop and against an unseen chip; what is tolerated."""
    rows, reference = [], _by_seed(floats)
    pairs = {
        "regularised_over_chip_in_loop": ("regularised", "chip_in_loop", "at every variability, the regularised network is at least as good as chip-in-loop training"),
        "regularised_over_unseen_map": ("regularised", "unseen_map", "at every variability, a network does better on its own chip than on one it has not seen"),
    }  # fmt: skip
    table = variability_summary(networks, floats)
    for bits, part in networks.groupby("bits"):
        for name, (first, second, text) in pairs.items():
            for statistic, found in compared(part, "method", first, second, ["sigma"]).items():
                rows.append(claim(name, text, statistic, found, bits=int(bits)))
        own = part[part["method"] == "regularised"]
        at_sigma = own[np.isclose(own["sigma"], SIGMA)]
        rows.append(
            claim(
                "loss_at_40_percent_variability", f"a variability of 40 % costs less than {loss:g} points",
                "single", difference(_by_seed(at_sigma), reference), bits=int(bits), at_least=-loss,
            )
        )  # fmt: skip
        chosen = table.query("method == 'regularised' and bits == @bits")
        value = tolerated(chosen, "sigma", loss)
        rows.append(
            claim(
                "variability_tolerated", f"a variability of 40 % costs less than {loss:g} points", "largest",
                (value, value, value, int(chosen["seeds"].min())), bits=int(bits), at_least=PERCENT * SIGMA, unit="%",
            )
        )  # fmt: skip
    return rows


def claims(
    networks: pd.DataFrame, faults: pd.DataFrame, variability: pd.DataFrame, loss: float
) -> pd.DataFrame:
    """Rows of table ``regularised_claims``.

    Parameters
    ----------
    networks, faults, variability
        Tables ``regularised_qat``, ``regularised_faults`` and ``regularised_variability``.
    loss
        Points below full precision that still count as tolerated.
    """
    floats = networks[networks["method"] == "float"]
    rows = qat_claims(networks) + fault_claims(faults, floats, loss)
    return pd.DataFrame(rows + variability_claims(variability, floats, loss))
