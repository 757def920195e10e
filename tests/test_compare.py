import csv
import math
import re

import numpy as np
import pandas as pd
import pytest

from nonideal import compare, scales, stats, tables
from nonideal.published import COLUMNS, PublishedError, read_published
from nonideal.schemas.crossbar import CROSSBAR_KEY
from nonideal.schemas.published import KINDS
from nonideal.schemas.registry import declared

LINE = {
    "track": "crossbar",
    "figure": "Fig. 1",
    "quantity": "relative error",
    "unit": "",
    "kind": "value",
    "published": "0.1",
    "tolerance": "0.01",
    "scale": "100 trials",
    "table": "t.parquet",
    "where": "name == 'a'",
    "value": "mean",
    "interval": "",
    "over": "",
    "factor": "",
    "by_construction": "",
    "source": "Author 2020, Table 1",
}
SCALE = {"t.parquet": "300 trials", "capacity": "3 seeds", "capacity/t.parquet": "2 seeds"}
EMPTY = dict.fromkeys(("table", "where", "value", "interval", "over", "factor"), "")


@pytest.fixture
def listed(tmp_path):
    """Write lines that differ from `LINE` as told, and read them."""

    def read(*changes):
        path = tmp_path / "published.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(LINE | change for change in changes)
        return read_published(path)

    return read


@pytest.fixture
def ours():
    return pd.DataFrame(
        {
            "name": ["a", "b", "c", "c"],
            "mean": [0.108, 0.05, 1.0, 2.0],
            "half": [0.00196, 0.00392, 0.196, 0.196],
            "low": [0.1, math.nan, 0.9, 1.9],
            "high": [0.2, 0.06, 1.1, 2.1],
        }
    )


def only(listed, ours, **change):
    frame = compare.compare(listed(change), {"t.parquet": ours}, SCALE)
    return tables.check(frame, declared("compare_published")).iloc[0]


@pytest.mark.parametrize(
    ("published", "tolerance", "expected"),
    [
        ("0.1", "0.01", "inside"),
        ("0.1", "0.007", "outside"),
        ("0.116", "0.01", "inside"),
        ("0.12", "0.01", "outside"),
    ],
)
def test_value_is_judged_by_its_tolerance(listed, ours, published, tolerance, expected):
    row = only(listed, ours, published=published, tolerance=tolerance)
    assert row["verdict"] == expected
    assert row["ours"] == 0.108
    assert row["difference"] == pytest.approx(0.108 - float(published))
    assert math.isnan(row["interval"])
    assert (row["scale"], row["published_scale"]) == ("300 trials", "100 trials")


def test_value_may_be_arithmetic_on_columns(listed, ours):
    row = only(listed, ours, value="2 * mean / half", factor="0.001", published="0.11", tolerance="0.001")
    assert row["ours"] == pytest.approx(0.002 * 0.108 / 0.00196) and row["verdict"] == "inside"
    with pytest.raises(PublishedError, match=r"line 2: value \(2 \* typo\) fails: .*columns are name, mean"):
        only(listed, ours, value="2 * typo")
    with pytest.raises(PublishedError, match="is arithmetic, so no interval is known; leave interval empty"):
        listed({"value": "2 * mean", "interval": "half"})


@pytest.mark.parametrize(
    ("kind", "bound", "expected"),
    [
        ("at_most", "0.109", "inside"),
        ("at_most", "0.107", "outside"),
        ("at_least", "0.107", "inside"),
        ("at_least", "0.109", "outside"),
        ("at_most", "0.108", "inside"),
        ("at_least", "0.108", "inside"),
    ],
)
def test_bound_is_judged_by_its_side_and_includes_itself(listed, ours, kind, bound, expected):
    assert only(listed, ours, kind=kind, published=bound, tolerance="0")["verdict"] == expected


@pytest.mark.parametrize("published", range(1, 100))
def test_decimal_rounding_does_not_decide(published):
    # In binary, 0.01 * (p + 3) - 0.01 * p is often above 0.03.
    value, bound = (published + 3) / 100, {"published": published / 100, "tolerance": 0.03}
    unknown = (math.nan, math.nan)
    assert compare.verdict(value, *unknown, kind="value", **bound) == "inside"
    assert compare.verdict(value + 1e-6, *unknown, kind="value", **bound) == "outside"


@pytest.mark.parametrize(
    ("kind", "ours", "half", "expected"),
    [
        # 10 is published with a tolerance of 2: the borders are 8 and 12.
        ("value", 10.0, 0.5, "inside"),
        ("value", 11.5, 0.5, "inside"),
        ("value", 11.5, 0.51, "undecided"),
        ("value", 12.5, 0.51, "undecided"),
        ("value", 12.5, 0.49, "outside"),
        ("value", 8.5, 0.5, "inside"),
        ("value", 8.5, 0.51, "undecided"),
        ("value", 7.5, 0.51, "undecided"),
        ("value", 7.5, 0.49, "outside"),
        ("value", 10.0, 3.0, "undecided"),
        ("range", 11.5, 0.5, "inside"),
        ("range", 7.5, 0.51, "undecided"),
        ("range", 12.5, 0.49, "outside"),
        ("at_most", 9.0, 0.99, "inside"),
        ("at_most", 9.0, 1.01, "undecided"),
        ("at_most", 11.0, 1.01, "undecided"),
        ("at_most", 11.0, 0.99, "outside"),
        ("at_most", 10.0, 0.0, "inside"),
        ("at_most", 10.0, 0.01, "undecided"),
        ("at_least", 11.0, 0.99, "inside"),
        ("at_least", 11.0, 1.01, "undecided"),
        ("at_least", 9.0, 1.01, "undecided"),
        ("at_least", 9.0, 0.99, "outside"),
        ("at_least", 10.0, 0.0, "inside"),
        ("at_least", 10.0, 0.01, "undecided"),
        ("at_least", math.nan, 0.5, "outside"),
    ],
)
def test_interval_across_the_border_is_undecided(kind, ours, half, expected):
    tolerance = 2.0 if kind in ("value", "range") else 0.0
    ends = np.array([ours, ours - half, ours + half])
    assert compare.verdict(*ends, kind=kind, published=10.0, tolerance=tolerance) == expected
    scaled = {"published": 10.0 / 7, "tolerance": tolerance / 7}
    assert compare.verdict(*ends / 7, kind=kind, **scaled) == expected


@pytest.mark.parametrize(
    ("interval", "expected"), [("", "inside"), ("half", "inside"), ("low,high", "undecided")]
)
def test_verdict_takes_the_interval_of_the_row(listed, ours, interval, expected):
    # 0.108 lies 0.002 within the tolerance; half intervals: none, 0.00196 and 0.05.
    assert only(listed, ours, interval=interval)["verdict"] == expected


def test_interval_counts_in_the_published_unit(listed, ours):
    change = {"factor": "-100", "published": "-10", "tolerance": "1.1", "interval": "half"}
    row = only(listed, ours, **change)
    assert row["ours"] == pytest.approx(-10.8) and row["interval"] == pytest.approx(0.196)
    assert row["verdict"] == "inside"
    assert only(listed, ours, **change | {"tolerance": "0.9"})["verdict"] == "undecided"


@pytest.mark.parametrize("kind", KINDS)
def test_null_is_outside_not_missing(listed, ours, kind):
    ours["mean"] = math.nan
    row = only(listed, ours, kind=kind, tolerance="0")
    assert row["verdict"] == "outside" and math.isnan(row["ours"]) and row["scale"] == "300 trials"


def test_factor_scales_value_and_interval(listed, ours):
    row = only(listed, ours, published="10", factor="100", interval="half")
    assert row["ours"] == pytest.approx(10.8)
    assert row["interval"] == pytest.approx(1.96 * 0.1)


@pytest.mark.parametrize(
    ("kind", "published", "factor", "expected"),
    [
        # 0.108 (0.1 to 0.2): short below, long above; the other way round with the sign turned.
        ("at_least", "0.0999", "1", "inside"),
        ("at_least", "0.1001", "1", "undecided"),
        ("at_most", "0.1999", "1", "undecided"),
        ("at_most", "0.2001", "1", "inside"),
        ("at_most", "-0.0999", "-1", "inside"),
        ("at_least", "-0.1999", "-1", "undecided"),
        ("at_least", "-0.2001", "-1", "inside"),
    ],
)
def test_the_end_that_lies_towards_the_bound_decides(listed, ours, kind, published, factor, expected):
    change = {"interval": "low,high", "tolerance": "0", "kind": kind, "published": published}
    assert only(listed, ours, **change, factor=factor)["verdict"] == expected


def test_ends_of_a_ratio_are_those_that_move_it_there(listed):
    ends = {"low": [0.9, 2.0, -4.0], "mean": [1.0, 4.0, -2.0], "high": [1.3, 5.0, -1.9]}
    frame = pd.DataFrame({"name": ["a", "b", "c"]} | ends)
    for name, divisor, (low, high) in (("b", 4.0, (2.0, 5.0)), ("c", -2.0, (-4.0, -1.9))):
        # A numerator's ends one by one, then the denominator's; the ratio is monotonic in both.
        by_top = sorted((end - 1.0) / divisor for end in (0.9, 1.3))
        slopes = sorted(-(end - divisor) / divisor**2 for end in (low, high))
        wanted = [-math.hypot(by_top[0], slopes[0]), math.hypot(by_top[1], slopes[1])]
        change = {"interval": "low,high", "over": f"name == '{name}'", "tolerance": "0", "kind": "at_least"}
        for off, expected in ((-1e-4, "inside"), (1e-4, "undecided")):
            published = str(1.0 / divisor + wanted[0] + off)
            assert only(listed, frame, **change, published=published)["verdict"] == expected
        found = only(listed, frame, **change)
        assert found["interval"] == pytest.approx((wanted[1] - wanted[0]) / 2, rel=1e-12)


@pytest.mark.parametrize("interval", ["low,high", "low, high"])
def test_interval_from_its_ends(listed, ours, interval):
    assert only(listed, ours, interval=interval)["interval"] == pytest.approx(0.05)


def test_unknown_end_leaves_the_interval_empty(listed, ours):
    change = {"where": "name == 'b'", "interval": "low,high", "tolerance": "0"}
    row = only(listed, ours, **change)
    assert math.isnan(row["interval"]) and row["ours"] == 0.05
    # The end that is known is 0.06; on the other side the interval is not bounded.
    for kind, published, factor, expected in (
        ("at_most", "0.055", "1", "undecided"),
        ("at_most", "0.061", "1", "inside"),
        ("at_least", "0.049", "1", "undecided"),
        ("at_least", "0.061", "1", "outside"),
        ("at_least", "-0.055", "-1", "undecided"),
        ("at_least", "-0.061", "-1", "inside"),
        ("at_most", "-0.049", "-1", "undecided"),
    ):
        row = only(listed, ours, **change, kind=kind, published=published, factor=factor)
        assert row["verdict"] == expected, (kind, published)
    # A single seed has no interval, and its value stands for both ends; the time of a crossover always has
    # one, and lacks the ends that it has no bound at.
    nothing = ours.assign(low=math.nan, high=math.nan, low_s=math.nan, high_s=math.nan)
    for interval, expected in (("low,high", "inside"), ("low_s,high_s", "undecided")):
        row = only(listed, nothing, **change | {"interval": interval}, kind="at_least", published="0.049")
        assert row["verdict"] == expected


def test_ratio_adds_relative_intervals_in_quadrature(listed, ours):
    row = only(listed, ours, over="name == 'b'", interval="half", published="2", tolerance="0.2")
    assert row["ours"] == pytest.approx(2.16)
    assert row["interval"] == pytest.approx(1.96 * 2.16 * math.hypot(0.001 / 0.108, 0.002 / 0.05))
    assert row["verdict"] == "undecided"


def test_what_any_implementation_meets_is_marked(listed, ours):
    assert not only(listed, ours)["by_construction"]
    assert only(listed, ours, by_construction="yes")["by_construction"]
    with pytest.raises(PublishedError, match="by_construction must be yes or empty, got 'no'"):
        listed({"by_construction": "no"})


def test_ratio_by_zero_is_an_error(listed, ours):
    ours.loc[1, "mean"] = 0
    with pytest.raises(PublishedError, match=r"line 2: mean of query over .* is 0"):
        only(listed, ours, over="name == 'b'")


@pytest.fixture
def trials():
    """Errors of three mappings in 400 trials of common random numbers; `max_fill_ec` equals `equal_fill`."""
    random = np.random.default_rng(11)
    common = random.normal(0.0, 0.1, 400)
    equal = 1.0 + common + random.normal(0.0, 0.02, 400)
    errors = {
        "equal_fill": equal,
        "max_fill": 0.6 + 0.5 * common + random.normal(0.0, 0.02, 400),
        "max_fill_ec": equal,
    }
    key = {"figure": "4a", "weights": "gaussian", "base": 1, "n_slices": 2, "time_s": 20.0}
    frames = [
        pd.DataFrame({**key, "mapping": mapping, "trial": range(400), "eta": eta})
        for mapping, eta in errors.items()
    ]
    # Neither the order of rows nor other rows may matter.
    frames.append(frames[0].assign(figure="4b", eta=9.0))
    return tables.check(pd.concat(frames, ignore_index=True), declared("crossbar_trials")).sample(
        frac=1, random_state=3
    )


def ratio_row(listed, trials, top, below, paired=None, **change):
    """Comparison of the ratio of two mappings' means over `trials`; `paired` are the trials it is given."""
    summary = stats.summarise(trials, CROSSBAR_KEY, "eta").rename(columns={"count": "trials"})
    summary["half_width"] = stats.half_width(summary["sem"], summary["trials"])
    lines = {"where": f"figure == '4a' and mapping == '{top}'", "value": "mean", "interval": "half_width"}
    lines |= {"over": f"figure == '4a' and mapping == '{below}'"}
    paired = None if paired is None else {"t.parquet": paired}
    return compare.compare(listed(lines | change), {"t.parquet": summary}, SCALE, paired).iloc[0]


def eta_of(trials, mapping):
    chosen = trials[(trials["figure"] == "4a") & (trials["mapping"] == mapping)]
    return chosen.sort_values("trial")["eta"].to_numpy()


def test_paired_interval_is_that_of_a_bootstrap_over_trials(listed, trials):
    row = ratio_row(listed, trials, "max_fill", "equal_fill", paired=trials, factor="-100")
    a, b = eta_of(trials, "max_fill"), eta_of(trials, "equal_fill")
    assert row["ours"] == pytest.approx(-100 * a.mean() / b.mean(), rel=1e-12)
    drawn = np.random.default_rng(5).integers(0, 400, (20000, 400))
    ratios = a[drawn].mean(axis=1) / b[drawn].mean(axis=1)
    # The standard deviation of 20000 draws scatters by 0.5 %; n - 1 against n makes 0.13 %.
    assert row["interval"] == pytest.approx(196.6 * ratios.std(), rel=0.025)
    quadrature = ratio_row(listed, trials, "max_fill", "equal_fill", factor="-100")
    assert row["interval"] < 0.4 * quadrature["interval"]


def test_paired_interval_by_hand():
    # R = 1/2, residuals a - R b = (0.5, -0.5, 0), their deviation 0.5; mean(b) = 4, n = 3.
    half = compare.paired_half(np.array([1.5, 1.5, 3.0]), np.array([2.0, 4.0, 6.0]))
    assert half == pytest.approx(4.302653 * 0.5 / (4 * math.sqrt(3)), rel=1e-6)  # t of two degrees of freedom
    negative = compare.paired_half(np.array([1.5, 1.5, 3.0]), -np.array([2.0, 4.0, 6.0]))
    assert negative == pytest.approx(half, rel=1e-12)


def test_identical_errors_have_no_interval(listed, trials):
    sharp = {"published": "1", "tolerance": "0.000005"}
    row = ratio_row(listed, trials, "max_fill_ec", "equal_fill", paired=trials, **sharp)
    assert (row["ours"], row["interval"], row["verdict"]) == (1, 0, "inside")
    row = ratio_row(listed, trials, "max_fill_ec", "equal_fill", **sharp)
    assert row["verdict"] == "undecided" and row["interval"] > 0.01


def test_only_common_trials_are_paired(listed, trials):
    early = trials[(trials["mapping"] == "equal_fill") | (trials["trial"] < 250)]
    row = ratio_row(listed, early, "max_fill", "equal_fill", paired=early)
    a, b = eta_of(trials, "max_fill")[:250], eta_of(trials, "equal_fill")[:250]
    assert row["interval"] == pytest.approx(compare.paired_half(a, b), rel=1e-12)


def test_separate_trials_add_in_quadrature(listed, trials):
    own = trials.assign(trial=trials["trial"] + 1000 * (trials["mapping"] == "max_fill"))
    separate = ratio_row(listed, own, "max_fill", "equal_fill", paired=own)
    without = ratio_row(listed, trials, "max_fill", "equal_fill")
    assert separate["interval"] == without["interval"] > 0


def test_trials_concern_ratios_of_means_only(listed, trials):
    for change in ({"over": ""}, {"value": "std", "interval": ""}):
        given = ratio_row(listed, trials, "max_fill", "equal_fill", paired=trials, **change)
        without = ratio_row(listed, trials, "max_fill", "equal_fill", **change)
        pd.testing.assert_series_equal(given, without)


def test_mean_without_its_trials_is_an_error(listed, trials):
    other = trials[trials["mapping"] != "max_fill"]
    with pytest.raises(PublishedError, match="line 2: no trials of figure 4a, mapping max_fill, weights"):
        ratio_row(listed, trials, "max_fill", "equal_fill", paired=other)


def test_scale_is_that_of_the_study(listed, ours):
    missing = {"where": "name == 'z'", "quantity": "missing"}
    named = ("u.parquet", "capacity/u.parquet", "capacity/t.parquet")
    lines = [{"table": name, "quantity": name} for name in named]
    frame = compare.compare(
        listed(*lines, {"quantity": "other", "scale": "MNIST"}, missing),
        dict.fromkeys(("t.parquet", "u.parquet", "capacity/t.parquet", "capacity/u.parquet"), ours),
        SCALE,
    )
    assert frame["scale"].tolist() == ["", "3 seeds", "2 seeds", "300 trials", ""]
    assert frame["same_scale"].tolist() == [True, True, True, False, False]


def test_an_inner_loop_is_not_a_whole_inference():
    ours = "mnist, widths 64/64/64, one network a format, emulated"
    assert scales.same(ours, "RV32EC, 256-64-64-64-10")
    assert not scales.same(ours, "RV32EC, inner loop alone")


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"where": "name == 'z'"}, "not run"),
        ({"over": "name == 'z'"}, "not run"),
        ({"table": "u.parquet"}, "not run"),
        (EMPTY, "not compared"),  # no table: no run can answer it
    ],
)
def test_values_without_one_of_ours(listed, ours, change, verdict):
    row = only(listed, ours, **change)
    assert row["verdict"] == verdict and row["scale"] == "" and not row["same_scale"]
    assert row[["ours", "interval", "difference"]].isna().all()
    assert row["published"] == 0.1 and row["published_scale"] == "100 trials"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"track": "crosbar"}, "track 'crosbar' is not known"),
        ({"kind": "about"}, "kind 'about' is not known; known are 'value', 'range', 'at_most', 'at_least'"),
        ({"unit": "percent"}, "unit 'percent' is not known"),
        ({"published": "92,5"}, "published must be a number with a decimal point, got '92,5'"),
        ({"published": "nan"}, "published must be a number"),
        ({"tolerance": "inf"}, "tolerance must be a number"),
        ({"factor": "x"}, "factor must be a number"),
        ({"tolerance": "-1"}, "tolerance must be at least 0"),
        ({"kind": "at_most"}, "tolerance must be 0 for a bound, got 0.01"),
        ({"source": ""}, "source is empty"),
        ({"quantity": " "}, "quantity is empty"),
        ({"where": ""}, "only table, value given"),
        ({"value": ""}, "only table, where given"),
        (EMPTY | {"over": "name == 'a'"}, "only over given"),
        (EMPTY | {"factor": "1"}, "factor is given without table"),
        ({"interval": "low,mid,high"}, "interval must name a half width or 'low,high'"),
        ({"quantity": "first"}, "crossbar / Fig. 1 / first stands already on line 2"),
    ],
)
def test_malformed_line_is_named(listed, tmp_path, change, problem):
    where = re.escape(f"{tmp_path / 'published.csv'}, line 3: {problem}")
    with pytest.raises(PublishedError, match=where):
        listed({"quantity": "first"}, change)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the columns must be track,figure"),
        ("track,figure\n", "line 1: the columns must be track,figure"),
        ("{header}\n", "line 2: the list is empty"),
        ("{header}\ncrossbar,Fig. 1\n", "line 2: needs 16 cells, has 2"),
        ("{header}\n{line},extra\n", "line 2: needs 16 cells, has 17; quote cells that hold commas"),
        ('{header}\n"a" b\n', "line 2: not readable as CSV"),
    ],
)
def test_malformed_file_is_named(tmp_path, text, problem):
    path = tmp_path / "published.csv"
    line = ",".join(cell.replace(",", "") for cell in LINE.values())
    path.write_text(text.format(header=",".join(COLUMNS), line=line), encoding="utf-8")
    with pytest.raises(PublishedError, match=problem):
        read_published(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"where": "name == 'c'"}, "selects 2 rows; narrow it down"),
        ({"over": "name == 'c'"}, "query over .* selects 2 rows"),
        ({"where": "nam == 'a'"}, "name 'nam' is not defined; columns are name, mean"),
        ({"where": "name == "}, "query where .* fails"),
        ({"where": "name = 'a'"}, "must be a condition"),
        ({"where": "mean"}, "must be a condition"),
        ({"where": "@ours == 1"}, "query where .* fails"),
        ({"value": "median"}, "column 'median' does not exist; columns are name, mean"),
        ({"interval": "std"}, "column 'std' does not exist"),
        ({"value": "name"}, "column 'name' must hold numbers"),
    ],
)
def test_query_that_does_not_fit_names_the_line(listed, ours, change, problem):
    published = listed({}, {"quantity": "second"} | change)
    with pytest.raises(PublishedError, match=f"line 3: .*{problem}"):
        compare.compare(published, {"t.parquet": ours}, SCALE)
