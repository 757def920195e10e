"""Whether the paper's claims on regularised training hold here, from paired differences.

A claim sets a bound on a difference. It `holds` if the whole 95 % interval of our paired mean keeps the
bound, `fails` if no part of it does, and is `undecided` otherwise. A claim on every condition holds if it
holds in each, and fails if it fails in one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nonideal.regularised.analysis import (
    FULL_PRECISION,
    PERCENT,
    difference,
    fault_summary,
    variability_summary,
)

FAULT_ORDER = (
    ("passive", "basic"),
    ("active", "passive"),
    ("active+passive", "active"),
    ("active+passive", "passive"),
)
OWN_ORDER = (("trained", "active+passive"),)  # of no publication: gradients straight through, or a penalty
SHOWN = {"trained": "training straight through the map"}
QAT_ORDER = {
    "multiplier_over_step": ("multiplier", "step"),
    "step_over_fixed": ("step", "fixed"),
    "ste_over_float_forward": ("multiplier_ste", "multiplier"),
    "ste_over_lsq": ("multiplier_ste", "lsq"),
}
VARIABILITY_ORDER = {
    "regularised_over_chip_in_loop": ("regularised", "chip_in_loop"),
    "regularised_over_unseen_map": ("regularised", "unseen_map"),
}
STATEMENTS = {
    "multiplier_over_step": "learned multipliers are at least as good as a learned step",
    "step_over_fixed": "a learned step is at least as good as fixed levels",
    "ste_over_float_forward": "multipliers trained with levels in the forward pass are at least as good as "
    "with float weights there",
    "ste_over_lsq": "multipliers trained straight through are at least as good as LSQ",
    "loss_at_20_percent_faults": "3-bit networks with 20 % stuck cells lose at most a point (active+passive)",
    "regularised_over_chip_in_loop": "the regularised network is at least as good as chip-in-loop training",
    "regularised_over_unseen_map": "a network does better on its own chip than on one it has not seen",
    "loss_at_40_percent_variability": "a variability of 40 % costs at most 2.2 points, as published",
    "variability_tolerated": "a variability of 40 % costs less than the tolerated loss",
}
FAULT_RATE = 0.2  # of the paper's claim on 3-bit networks
CLAIMED_BITS = 3
LOSS_AT_FAULT_RATE = 1.0  # points; Table 5, VGG-13 on CIFAR-10
TOLERATED_RATE = {3: 0.3}  # by bits, VGG-13 on CIFAR-10, section 5.2; of 4 bits, and of ImageNet, FAULT_RATE
SIGMA = 0.4  # of the paper's claim on variability
LOSS_AT_SIGMA = 2.2  # points; Table 6, ResNet-18 on ImageNet


def verdict(low: float, high: float, at_least: float) -> str:
    """Whether a quantity with this interval keeps a lower bound."""
    if np.isnan(low) or np.isnan(high):
        return "undecided"
    return "holds" if low >= at_least else "fails" if high < at_least else "undecided"


def claim(
    name: str,
    statistic: str,
    found: tuple[float, float, float, int],
    *,
    statement: str | None = None,
    bits: int = 0,
    p_stuck1: float = 0.0,
    at_least: float = 0.0,
    unit: str = "points",
) -> dict[str, Any]:
    """Row of table ``regularised_claims``; `found` is value, ends of its interval, and number of seeds."""
    value, low, high, seeds = found
    return {
        "name": name,
        "statement": STATEMENTS[name] if statement is None else statement,
        "statistic": statistic,
        "bits": int(bits),
        "p_stuck1": float(p_stuck1),
        "value": value,
        "low": low,
        "high": high,
        "unit": unit,
        "at_least": at_least,
        "verdict": "not measured" if np.isnan(value) else verdict(low, high, at_least),
        "seeds": seeds,
    }


def _by_seed(rows: pd.DataFrame) -> pd.Series:
    """Accuracy of each seed, averaged over conditions."""
    return rows.groupby("seed")["test_accuracy"].mean()


def compared(
    frame: pd.DataFrame, column: str, first: str, second: str, conditions: list[str]
) -> dict[str, tuple[float, float, float, int]]:
    """Difference of two methods: averaged over the conditions both have, and the least of all of them.

    The ends of the second interval are the smallest of all lower and of all upper ends: a bound below it is
    kept in every condition, and one above it is missed in at least one.
    """
    a, b = frame[frame[column] == first], frame[frame[column] == second]
    common = a[conditions].drop_duplicates().merge(b[conditions].drop_duplicates(), on=conditions)
    a, b = a.merge(common, on=conditions), b.merge(common, on=conditions)
    each = [
        difference(_by_seed(rows), _by_seed(b.merge(rows[conditions].drop_duplicates(), on=conditions)))
        for _, rows in a.groupby(conditions)
    ]
    # A condition with a single seed has no interval, and so has the least of all (np.min keeps NaN).
    least = tuple(np.min(each, axis=0)) if each else (np.nan, np.nan, np.nan, 0)
    return {"mean": difference(_by_seed(a), _by_seed(b)), "least": (*least[:3], int(least[3]))}


def qat_claims(networks: pd.DataFrame) -> list[dict[str, Any]]:
    """Multipliers >= step >= fixed; straight-through better."""
    rows = []
    for name, (first, second) in QAT_ORDER.items():
        for statistic, found in compared(networks, "method", first, second, ["bits"]).items():
            rows.append(claim(name, statistic, found))
        for bits in sorted(set(networks["bits"]) - {FULL_PRECISION}):
            found = compared(networks[networks["bits"] == bits], "method", first, second, ["bits"])["mean"]
            rows.append(claim(name, "single", found, bits=bits))
    return rows


def tolerated(
    summary: pd.DataFrame, condition: str, loss: float, claimed: float
) -> tuple[float, float, float, int]:
    """Largest condition, in percent, up to which the loss stays below `loss` points; 0 if none.

    Where it does so in every condition there is and none is as large as the claimed one, what larger ones
    cost is not known: the upper end is infinite.

    Parameters
    ----------
    summary
        Rows of one method, one for each condition.
    condition
        Column ``rate`` or ``sigma``.
    loss
        Points.
    claimed
        Condition that is claimed to be tolerated.

    Returns
    -------
    tuple
        By the mean, by the lower and by the upper end of its 95 % interval (NaN for one seed), and the number
        of seeds.
    """
    ends = {}
    for column in ("change", "change_low", "change_high"):
        kept = (summary.set_index(condition)[column].sort_index() > -loss).cummin()
        ends[column] = PERCENT * float(kept.index[kept].max()) if kept.any() else 0.0
    if kept.all() and kept.index.max() < claimed:
        ends["change_high"] = np.inf
    if summary["change_low"].isna().any():
        ends["change_low"] = ends["change_high"] = np.nan
    return ends["change"], ends["change_low"], ends["change_high"], int(summary["seeds"].min())


def fault_claims(networks: pd.DataFrame, floats: pd.DataFrame, loss: float) -> list[dict[str, Any]]:
    """Order of the mitigations, loss of 3-bit networks at 20 % faults, rate tolerated."""
    rows, reference = [], _by_seed(floats)
    table = fault_summary(networks, floats)
    for p_stuck1, part in networks.groupby("p_stuck1"):
        rows += _order_of_modes(part, p_stuck1)
        both = part[part["mode"] == "active+passive"]
        chosen = both[(both["bits"] == CLAIMED_BITS) & np.isclose(both["rate"], FAULT_RATE)]
        found = difference(_by_seed(chosen), reference)
        names = {"bits": CLAIMED_BITS, "p_stuck1": p_stuck1}
        rows.append(
            claim("loss_at_20_percent_faults", "single", found, at_least=-LOSS_AT_FAULT_RATE, **names)
        )
        for bits in sorted(set(part["bits"])):
            chosen = table.query("mode == 'active+passive' and bits == @bits and p_stuck1 == @p_stuck1")
            claimed = TOLERATED_RATE.get(bits, FAULT_RATE)
            names = {"bits": bits, "p_stuck1": p_stuck1, "at_least": PERCENT * claimed, "unit": "%"}
            text = (
                f"{PERCENT * claimed:g} % stuck cells and quantisation together cost less than the tolerated "
                "loss (active+passive)"
            )
            found = tolerated(chosen, "rate", loss, claimed)
            rows.append(claim("fault_rate_tolerated", "largest", found, statement=text, **names))
    return rows


def _order_of_modes(networks: pd.DataFrame, p_stuck1: float) -> list[dict[str, Any]]:
    """Each mitigation against the next, over all widths and for each."""
    faulty, rows = networks[networks["rate"] > 0], []
    for bits in (0, *sorted(set(networks["bits"]))):
        chosen = faulty[faulty["bits"] == bits] if bits else faulty
        for first, second in (*FAULT_ORDER, *OWN_ORDER):
            if not {first, second} <= set(chosen["mode"]):
                continue
            name = f"{first}_over_{second}".replace("+", "_")
            for statistic, found in compared(chosen, "mode", first, second, ["bits", "rate"]).items():
                where = {"mean": "averaged over fault rates", "least": "at every fault rate"}[statistic]
                ours = ", a comparison of ours" if (first, second) in OWN_ORDER else ""
                better = SHOWN.get(first, first)
                text = f"{where}, {better} is at least as good as {second}{ours}"
                rows.append(claim(name, statistic, found, statement=text, bits=bits, p_stuck1=p_stuck1))
    return rows


def variability_claims(networks: pd.DataFrame, floats: pd.DataFrame, loss: float) -> list[dict[str, Any]]:
    """Regularised against chip-in-loop and against an unseen chip; what is tolerated."""
    rows, reference = [], _by_seed(floats)
    table = variability_summary(networks, floats)
    for bits, part in networks.groupby("bits"):
        for name, (first, second) in VARIABILITY_ORDER.items():
            for statistic, found in compared(part, "method", first, second, ["sigma"]).items():
                rows.append(claim(name, statistic, found, bits=bits))
        own = part[part["method"] == "regularised"]
        found = difference(_by_seed(own[np.isclose(own["sigma"], SIGMA)]), reference)
        at_least = -LOSS_AT_SIGMA
        rows.append(claim("loss_at_40_percent_variability", "single", found, bits=bits, at_least=at_least))
        chosen = table.query("method == 'regularised' and bits == @bits")
        names = {"bits": bits, "at_least": PERCENT * SIGMA, "unit": "%"}
        found = tolerated(chosen, "sigma", loss, SIGMA)
        rows.append(claim("variability_tolerated", "largest", found, **names))
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
    frame = pd.DataFrame(rows + variability_claims(variability, floats, loss))
    return frame.assign(dataset=networks["dataset"].iloc[0])
