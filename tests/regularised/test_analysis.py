import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from nonideal.regularised import analysis, verdicts


def accuracies(**methods):
    rows = [
        {"dataset": "d", "model": "m", "method": method, "bits": bits, "seed": seed, "test_accuracy": value}
        for method, widths in methods.items()
        for bits, values in widths.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_a_difference_is_paired_and_has_students_interval():
    first, second = pd.Series([0.9, 0.8, 0.7]), pd.Series([0.89, 0.78, 0.69])
    mean, low, high, count = analysis.difference(first, second)
    expected = scipy.stats.ttest_rel(100 * first, 100 * second).confidence_interval(0.95)
    assert (mean, low, high, count) == pytest.approx((4 / 3, expected.low, expected.high, 3))


def test_a_single_seed_has_no_interval_and_decides_nothing():
    mean, low, high, count = analysis.difference(pd.Series([0.9]), pd.Series([0.8]))
    assert (round(mean, 6), count) == (10, 1) and math.isnan(low) and math.isnan(high)
    assert verdicts.verdict(low, high, 0) == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0, 1, "holds"), (-1, 1, "undecided"), (-2, -0.1, "fails"), (-1, 0, "undecided"), (0.1, 2, "holds")],
)
def test_verdicts(low, high, said):
    assert verdicts.verdict(low, high, 0) == said
    assert verdicts.verdict(low + 5, high + 5, 5) == said


def test_summaries_hold_mean_interval_and_paired_change():
    frame = accuracies(float={32: [0.9, 0.8]}, step={4: [0.89, 0.79], 2: [0.5, 0.6]})
    table = analysis.qat_summary(frame).set_index(["method", "bits"])
    assert table.loc[("step", 4), "mean"] == pytest.approx(0.84)
    assert table.loc[("step", 4), ["change", "change_low", "change_high"]].tolist() == pytest.approx(
        [-1, -1, -1]
    )
    assert table.loc[("step", 2), "change"] == pytest.approx(-30)
    assert table.loc[("step", 2), "low"] == 0 and table.loc[("step", 2), "high"] == 1  # cut
    assert table.loc[("float", 32), "change"] == 0


def test_claims_take_the_mean_and_the_least_over_conditions():
    frame = accuracies(
        multiplier={4: [0.9, 0.92], 2: [0.7, 0.72]},
        step={4: [0.89, 0.91], 2: [0.71, 0.73]},
        fixed={4: [0.5, 0.52]},
    )
    rows = pd.DataFrame(verdicts.qat_claims(frame)).set_index(["name", "statistic", "bits"])
    found = rows.loc["multiplier_over_step"]
    assert found["value"].to_dict() == pytest.approx(
        {("mean", 0): 0.0, ("least", 0): -1.0, ("single", 2): -1.0, ("single", 4): 1.0}, abs=1e-9
    )
    assert found.loc[("least", 0), "verdict"] == "fails" and found.loc[("single", 4), "verdict"] == "holds"
    # Only the width that both have counts.
    assert rows.loc[("step_over_fixed", "mean", 0), "value"] == pytest.approx(39)
    assert rows.loc[("ste_over_lsq", "mean", 0), "verdict"] == "not measured"


def test_what_is_tolerated_ends_at_the_first_loss():
    rows = pd.DataFrame(
        {
            "rate": [0.3, 0.0, 0.1, 0.2],
            "change": [0.5, 0.0, -0.5, -1.5],
            "change_low": [-9.0, -0.2, -1.2, -3.0],
            "change_high": [9.0, 0.2, 0.2, -0.5],
            "seeds": [3, 2, 3, 3],
        }
    )
    assert verdicts.tolerated(rows, "rate", 1.0, 0.2) == pytest.approx((10, 0, 30, 2))
    nothing = rows.assign(change=-5.0)
    assert verdicts.tolerated(nothing, "rate", 1.0, 0.2)[0] == 0
    value, low, high, _ = verdicts.tolerated(rows.assign(change_low=np.nan), "rate", 1.0, 0.2)
    assert value == pytest.approx(10) and math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize(
    ("loss", "values", "verdict"),
    [(0.5, (0, 0), "fails"), (1.5, (10, 20), "fails"), (4.0, (30, 40), "holds")],
)
def test_claims_depend_on_the_loss_that_is_tolerated(loss, values, verdict):
    floats = accuracies(float={32: [0.9, 0.8]})
    labels = {"dataset": "d", "model": "m", "bits": 3}
    stuck = [
        labels | {"mode": "active+passive", "p_stuck1": 0.5, "rate": rate, "seed": seed,
         "test_accuracy": value - lost / 100}
        for rate, lost in ((0.1, 1.0), (0.3, 3.0)) for seed, value in enumerate((0.9, 0.8))
    ]  # fmt: skip
    varied = [
        labels | {"method": "regularised", "sigma": sigma, "seed": seed, "test_accuracy": value - lost / 100}
        for sigma, lost in ((0.2, 1.0), (0.4, 3.0))
        for seed, value in enumerate((0.9, 0.8))
    ]
    found = verdicts.claims(floats, pd.DataFrame(stuck), pd.DataFrame(varied), loss).set_index("name")
    for name, value in zip(("fault_rate_tolerated", "variability_tolerated"), values, strict=True):
        assert found.loc[name, "value"] == pytest.approx(value)
        assert found.loc[name, "verdict"] == verdict


@pytest.mark.parametrize(("claimed", "end"), [(0.3, 30.0), (0.4, math.inf)])
def test_what_was_not_run_is_not_known_to_fail(claimed, end):
    rows = pd.DataFrame(
        {"rate": [0.0, 0.3], "change": 0.0, "change_low": -0.2, "change_high": 0.2, "seeds": 3}
    )
    found = verdicts.tolerated(rows, "rate", 1.0, claimed)
    assert found == pytest.approx((30, 30, end, 3))
    assert verdicts.verdict(*found[1:3], 100 * claimed) == ("holds" if end == 30 else "undecided")


def test_the_least_of_all_conditions_is_that_of_every_one():
    spread = {0.1: (0.010, 0.0001), 0.2: (0.020, 0.03)}  # a small certain gain, a large uncertain one
    rows = [
        {"mode": mode, "rate": rate, "seed": seed,
         "test_accuracy": 0.5 + (mode == "b") * (gain + scatter * (seed - 1))}
        for mode in "ab" for rate, (gain, scatter) in spread.items() for seed in range(3)
    ]  # fmt: skip
    found = verdicts.compared(pd.DataFrame(rows), "mode", "b", "a", ["rate"])["least"]
    value, low, high, seeds = found
    assert (value, seeds) == (pytest.approx(1.0), 3)
    assert low < -4 and high == pytest.approx(1.0, abs=0.1)
    assert verdicts.verdict(low, high, 0.0) == "undecided"
    assert verdicts.verdict(low, high, 1.5) == "fails"  # at the first rate, however good the second is


def test_the_order_of_mitigations_is_read_from_their_accuracies():
    levels = {"basic": 0.5, "passive": 0.6, "active": 0.7, "active+passive": 0.695, "trained": 0.715}
    rows = [
        {"dataset": "d", "model": "m", "mode": mode, "bits": 3, "p_stuck1": 0.0, "rate": rate, "seed": seed,
         "test_accuracy": 0.9 if rate == 0 else value - rate + 0.01 * seed}
        for mode, value in levels.items() for rate in (0.0, 0.1, 0.2) for seed in range(3)
    ]  # fmt: skip
    floats = accuracies(float={32: [0.9, 0.91, 0.92]})
    table = pd.DataFrame(verdicts.fault_claims(pd.DataFrame(rows), floats, 1.0))
    table = table.set_index(["name", "statistic", "bits"])
    assert table.loc[("passive_over_basic", "mean", 3), "value"] == pytest.approx(10)
    assert table.loc[("active_passive_over_active", "mean", 3), "verdict"] == "fails"
    assert table.loc[("active_passive_over_active", "mean", 3), "value"] == pytest.approx(-0.5)
    assert table.loc[("active_over_passive", "least", 0), "verdict"] == "holds"
    ours = table.loc[("trained_over_active_passive", "mean", 3)]
    assert (ours["value"], ours["verdict"]) == (pytest.approx(2), "holds")
    assert table["statement"].str.contains("of ours").groupby(level="name").all().sum() == 1
    lost = table.loc[("loss_at_20_percent_faults", "single", 3)]
    assert (lost["value"], lost["verdict"]) == (pytest.approx(-40.5), "fails")
    assert table.loc[("fault_rate_tolerated", "largest", 3), "value"] == 0
    published = [row for row in rows if row["mode"] != "trained"]
    names = {row["name"] for row in verdicts.fault_claims(pd.DataFrame(published), floats, 1.0)}
    assert names == {name for name, *_ in table.index if not name.startswith("trained")}


def test_a_claim_takes_the_rows_of_its_width_and_condition_alone():
    floats = accuracies(float={32: [0.9, 0.8]})
    labels = {"dataset": "d", "model": "m"}
    stuck = [
        labels | {"mode": "active+passive", "p_stuck1": p, "rate": rate, "bits": bits, "seed": seed,
         "test_accuracy": value - (rate + 4 * p + 10 * (bits == 4)) / 100}
        for bits in (3, 4) for p in (0.0, 0.5) for rate in (0.1, 0.2) for seed, value in enumerate((0.9, 0.8))
    ]  # fmt: skip
    varied = [
        labels | {"method": "regularised", "sigma": sigma, "bits": bits, "seed": seed,
         "test_accuracy": value - (sigma + 2 * (bits == 4)) / 100}
        for bits in (3, 4) for sigma in (0.2, 0.4) for seed, value in enumerate((0.9, 0.8))
    ]  # fmt: skip
    found = verdicts.claims(floats, pd.DataFrame(stuck), pd.DataFrame(varied), 1.0)
    values = found.set_index(["name", "bits", "p_stuck1"])["value"]
    assert values["loss_at_20_percent_faults"].to_dict() == pytest.approx({(3, 0.0): -0.2, (3, 0.5): -2.2})
    tolerated = {(3, 0.0): 20, (4, 0.0): 0, (3, 0.5): 0, (4, 0.5): 0}
    assert values["fault_rate_tolerated"].to_dict() == pytest.approx(tolerated)
    claimed = found.set_index(["name", "bits", "p_stuck1"])[["at_least", "statement"]].loc[
        "fault_rate_tolerated"
    ]
    assert claimed["at_least"].to_dict() == {(3, 0.0): 30, (4, 0.0): 20, (3, 0.5): 30, (4, 0.5): 20}
    assert all(row.statement.startswith(f"{row.at_least:g} % stuck cells") for row in claimed.itertuples())
    lost = {(3, 0.0): -0.4, (4, 0.0): -2.4}
    assert values["loss_at_40_percent_variability"].to_dict() == pytest.approx(lost)
    assert values["variability_tolerated"].to_dict() == pytest.approx({(3, 0.0): 40, (4, 0.0): 0})
