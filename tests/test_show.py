import pandas as pd
import pytest

from nonideal import show, tables
from nonideal.schemas.crossbar import TERNARISATION_SUMMARY


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (2592000.0, "2,592,000"),
        (281123.4, "281,100"),
        (2.6e7, "2.60e+07"),
        (31536.0, "31,536"),
        (0.0, "0"),
        (1.5e-5, "1.50e-05"),
        (float("nan"), "–"),
        (None, "–"),
        (float("inf"), "∞"),
        (float("-inf"), "−∞"),
        (1234, "1,234"),
        (True, "True"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_cells(value, text):
    assert show.text(value) == text


@pytest.mark.parametrize(
    ("ours", "interval", "text"),
    [
        (0.7138, 0.00201, "0.7138 ± 0.0020"),
        (0.7, 0.0996, "0.70 ± 0.10"),
        (89.5, 12.3, "90 ± 12"),
        (12345.6, 20.0, "12,346 ± 20"),
        (12345.6, 234.5, "12,350 ± 230"),
        (-0.001, 0.17, "0.00 ± 0.17"),
        (0.5, 0.0, "0.5"),
        (0.5, None, "0.5"),
        (None, None, "–"),
    ],
)
def test_value_and_interval_have_as_many_decimals(ours, interval, text):
    row = pd.Series({"ours": ours, "interval": interval, "unit": ""}, dtype=object)
    assert show.ours_text(row) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-0.4, "−0.4"), (-0.0, "0"), (-2e-5, "−2.00e−05"), (1e-5, "1.00e−05")]
)
def test_numbers_on_pages_have_minus_signs(value, text, tmp_path):
    frame = pd.DataFrame({"weights": ["w-2"], "mean": [value], "std": [0.1], "sem": [0.01], "trials": [100]})
    show.to_html(frame, TERNARISATION_SUMMARY, tmp_path / "t.html", title="t")
    page = (tmp_path / "t.html").read_text()
    assert f'<td class="number">{text}</td>' in page and "<td>w-2</td>" in page


def test_page_explains_its_columns(tmp_path):
    frame = pd.DataFrame(
        {"weights": ["ternary"], "mean": [0.4], "std": [0.1], "sem": [0.01], "trials": [100]}
    )
    show.to_html(frame, TERNARISATION_SUMMARY, tmp_path / "t.html", title="A <title>")
    page = (tmp_path / "t.html").read_text()
    assert (
        "A &lt;title&gt;" in page
        and "standard error of the mean" in page
        and '<td class="number">0.4</td>' in page
    )


@pytest.mark.parametrize(
    ("verdict", "marked"),
    [("not compared", ' class="not-compared"'), ("inside", ' class="inside"'), ("holds", "")],
)
def test_rows_are_coloured_by_their_verdict(verdict, marked):
    assert show._row({"verdict": verdict}, {"verdict": ""}) == f"<tr{marked}><td>{verdict}</td></tr>"


def test_csv_keeps_every_digit(tmp_path):
    frame = pd.DataFrame({"x": [1 / 3, None]})
    show.to_csv(frame, tmp_path / "t.csv")
    assert pd.read_csv(tmp_path / "t.csv")["x"][0] == 1 / 3


def test_a_table_is_written_for_people_where_that_is_wanted(tmp_path):
    frame = pd.DataFrame(
        {"weights": ["ternary"], "mean": [1 / 3], "std": [0.1], "sem": [0.01], "trials": [100]}
    )
    outputs = {
        "hidden": tmp_path / "hidden.parquet",
        "seen": tmp_path / "seen.parquet",
        "seen_csv": tmp_path / "table_x.csv",
        "seen_html": tmp_path / "table_x.html",
    }
    made = dict.fromkeys(("hidden", "seen"), (frame, TERNARISATION_SUMMARY))
    show.write(made, outputs, provenance={"rule": "x"})
    for name in made:
        pd.testing.assert_frame_equal(tables.read(outputs[name], TERNARISATION_SUMMARY), frame)
        assert tables.facts(outputs[name])["rule"] == "x"
    assert pd.read_csv(outputs["seen_csv"])["mean"][0] == 1 / 3
    assert "<h1>table_x</h1>" in outputs["seen_html"].read_text()
    with pytest.raises(tables.TableError):
        show.write({"seen": (frame.assign(trials=0.5), TERNARISATION_SUMMARY)}, outputs, provenance={})
