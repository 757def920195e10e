"""What the README shows works as printed."""

import re

import pandas as pd
import pytest

from nonideal import published, readme
from nonideal.mcu.build import WARNINGS
from nonideal.targets import TARGETS, Target, evidence

FENCE = re.compile(r"```python\n(.*?)```", re.S)


def blocks(root):
    return FENCE.findall((root / "README.md").read_text())


@pytest.mark.parametrize("index", range(6))
def test_examples_run(root, index, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = blocks(root)[index]
    exec(compile(code, f"README.md, example {index + 1}", "exec"), {})
    printed = capsys.readouterr().out.strip()
    if promised := re.search(r"#\s*(tensor.*|\[.*)$", code.strip().splitlines()[-1]):
        assert printed == promised[1]
    assert printed


def test_the_engine_is_of_the_language_said(root):
    said = re.search(
        r"engine in `firmware/` of this repository, which is (C\d+) ", (root / "README.md").read_text()
    )
    assert f"-std={said[1].lower()}" in WARNINGS


def test_every_example_is_tested(root):
    assert len(blocks(root)) == 6


def test_targets_of_the_readme_exist(root):
    readme = (root / "README.md").read_text()
    rules = "".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    for target in re.findall(r"`((?:figure|table)_\w+)`", readme):
        assert f'"{target}"' in rules, target


def test_tests_of_the_readme_exist(root):
    named = re.findall(r"\| `(test_\w+)` \|", (root / "README.md").read_text())
    tests = "".join(path.read_text() for path in (root / "tests").rglob("test_*.py"))
    assert len(named) > 2
    for name in named:
        assert f"def {name}(" in tests, name


def test_files_of_the_readme_exist(root):
    readme = (root / "README.md").read_text()
    for path in re.findall(r"!\[.*?\]\((.*?)\)", readme):
        assert (root / path).is_file(), path


def test_published_values_of_every_target_are_found(root):
    listed = published.read_published(root / "config/published.csv")
    for target in TARGETS:
        rows = listed[target.published(listed)]
        assert bool(len(rows)) == bool(target.place), target.name
        assert not target.example or target.example in set(rows["quantity"]), target.name


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (("crossbar", "Fig. 4c", "crossbar/crossover.parquet"), "figure_4c"),
        (("training", "text", "capacity/equal_loss.parquet"), "figure_capacity"),
        (("microcontroller", "export log", "training/entropy_summary.parquet"), "figure_entropy"),
        (("fpga", "text", "fpga/designs.parquet"), "table_fpga"),
        (("training", "text", ""), ""),
    ],
)
def test_a_published_value_is_shown_by_its_figure_table_or_track(row, name):
    assert evidence(dict(zip(("track", "figure", "table"), row, strict=True))) == name


def test_minutes_on_two_cores():
    target = Target("table_x", "shows", "", ("many", "one"))
    took = {
        "many": {"processor_s": 240.0, "wall_s": 480.0, "longest_s": 120.0},  # two at a time: half
        "one": {"processor_s": 60.0, "wall_s": 90.0, "longest_s": 90.0},  # a single job: all of it
    }
    assert target.two_cores(took) == pytest.approx(3) and target.minutes(took) == pytest.approx(5)
    took["many"]["longest_s"] = 360.0  # one job takes most of the rule's time
    assert target.two_cores(took) == pytest.approx(4)
    assert target.two_cores({"many": took["many"]}) is None


def test_values_that_no_run_answers_are_not_said_to_wait():
    row = {"same_scale": True, "by_construction": False}
    verdicts = ["inside", *["not run"] * 2, *["not compared"] * 3]
    text = readme._published(pd.DataFrame([row | {"verdict": verdict} for verdict in verdicts]))
    assert "holds 6 published values" in text and "answers 1 of them" in text
    assert "3 stand there as context" in text and "2 wait for data sets or settings" in text


def test_numbers_are_those_of_the_reference_run(root):
    text = (root / "README.md").read_text()
    generated = readme.parts(root / "results/reference", root / "benchmarks/reference")
    assert readme.rewrite(text, generated) == text, "README.md is stale: python -m nonideal.readme"
