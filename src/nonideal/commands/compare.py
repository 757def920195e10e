"""``nonideal compare``: a run's values beside the published ones."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from nonideal import tables
from nonideal.commands import UsageError, writing
from nonideal.schemas.published import ANSWERED, COMPARISON, TRACKS, VERDICTS
from nonideal.show import text

EXAMPLE = "nonideal compare results/reference --track crossbar"

TABLE = "compare_published.parquet"
# The longest text last.
SHOWN = ("verdict", "published", "tolerance", "ours", "interval", "unit", "track", "figure", "quantity")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("run_folder", type=Path, metavar="results/RUN", help="folder of a run")
    parser.add_argument("--track", choices=TRACKS, help="show and judge the values of this track only")
    parser.add_argument(
        "--verdict", choices=VERDICTS, nargs="+", help="show these only; the exit status is that of all"
    )
    parser.add_argument("--all", action="store_true", help="show also what the run does not answer")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the rows shown as .csv or .parquet"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison; 1 if a value of ours from data and networks as published lies outside."""
    writing.check_table_path(arguments.output)
    writing.check_outputs(arguments.output)
    frame = read(arguments.run_folder)
    if arguments.track:
        frame = frame[frame["track"] == arguments.track]
    answered = frame[frame["verdict"].isin(ANSWERED)]
    shown = frame if arguments.all else answered
    if arguments.verdict:
        shown = frame[frame["verdict"].isin(arguments.verdict)]
    if arguments.output:
        writing.table(shown, arguments.output, COMPARISON, command="compare")
    if len(shown):
        print(layout(shown))
    counts = answered["verdict"].value_counts()
    parts = ", ".join(f"{counts.get(name, 0)} {name}" for name in ANSWERED)
    print(f"{arguments.run_folder}: {len(frame)} published values, {len(answered)} answered: {parts}")
    alike = answered[answered["same_scale"]]
    if others := len(answered) - len(alike):
        print(
            f"{others} of these come from data, networks or arrays other than published, or published "
            "without saying of which, and decide nothing"
        )
    if met := (alike["by_construction"] & (alike["verdict"] == "inside")).sum():
        print(f"{met} are met by any working implementation, such as numbers of levels, and decide nothing")
    return int((alike["verdict"] == "outside").any())


def read(folder: Path) -> pd.DataFrame:
    """Table of published values of a run.

    Raises
    ------
    UsageError
        If the run has none.
    nonideal.tables.TableError
        If it is damaged.
    """
    path = folder / TABLE
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; give the folder of a run, and build it with "
            f"snakemake --cores all compare_published"
        )
    return tables.read(path, COMPARISON)


def layout(frame: pd.DataFrame) -> str:
    """Rows as text, columns aligned."""
    cells = [list(SHOWN)]
    for row in frame.to_dict("records"):
        sign = {"at_most": "<= ", "at_least": ">= "}.get(row["kind"], "")
        named = row | {"published": sign + text(row["published"])}
        cells.append([str(v) if isinstance(v := named[key], str) else text(v) for key in SHOWN])
    return writing.columns(cells, right=("published", "tolerance", "ours", "interval"))
