"""The list of published values: a CSV file, one value a line, checked when it is read.

Besides the value, its unit, its source and the difference that still counts as a reproduction, a line says
how ours is found: the row that the query `where` selects in the file `table` of a run, divided by the row
that the query `over` selects if there is one, times `factor`. `value` names a column, or is arithmetic on
columns such as ``2 * weights / cycles``, which has no interval. `interval` names the column of half the
interval, or those of both ends. Lines that no table of ours can answer, such as methods of others quoted for
context, leave these columns empty.
`by_construction` marks what any working implementation meets, such as a number of levels.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from nonideal.schemas.published import COMPARISON, KINDS, TRACKS

COLUMNS = (
    "track", "figure", "quantity", "unit", "kind", "published", "tolerance", "scale",
    "table", "where", "value", "interval", "over", "factor", "by_construction", "source",
)  # fmt: skip
REQUIRED = ("track", "figure", "quantity", "kind", "published", "tolerance", "scale", "source")
KEY = tuple(COMPARISON.unique)
UNITS = (
    "", "%", "points", "s", "ms", "cycles", "instructions", "MOPS", "bit", "byte", "kbyte", "LUT",
    "nat", "images",
)  # fmt: skip
"""Units of published values; empty for ratios and counts, `points` for differences of percentages."""


class PublishedError(ValueError):
    """A malformed line of the list of published values; the message names line, column and remedy."""


def read_published(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read and check the list of published values.

    Parameters
    ----------
    path
        CSV file in UTF-8 with the columns `COLUMNS`, in that order.

    Returns
    -------
    pandas.DataFrame
        One row per value, indexed by its line in the file. `published`, `tolerance` and `factor` (1 where
        the file leaves it empty) are numbers, `by_construction` is a truth value (``yes`` or empty in the
        file), everything else is text.

    Raises
    ------
    PublishedError
        If the header differs, a line is too long or too short, a required cell is empty, a name or unit is
        unknown, a number is unreadable, a wiring is incomplete, or a key (track, figure, quantity) repeats.
    """
    rows: dict[int, dict[str, Any]] = {}
    seen: dict[tuple[str, ...], int] = {}
    with Path(path).open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        if header != list(COLUMNS):
            fail(path, 1, f"the columns must be {','.join(COLUMNS)}; found {','.join(header)}")
        try:
            for cells in reader:
                line = reader.line_num
                rows[line] = row = _parse(path, line, cells)
                key = tuple(row[name] for name in KEY)
                if key in seen:
                    fail(
                        path,
                        line,
                        f"{' / '.join(key)} stands already on line {seen[key]}; rename or remove one",
                    )
                seen[key] = line
        except csv.Error as error:
            fail(path, reader.line_num, f"not readable as CSV ({error}); check the quotes")
    if not rows:
        fail(path, 2, "the list is empty; add a published value")
    return pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name="line"))


def fail(path: str | os.PathLike[str], line: int, problem: str) -> NoReturn:
    """Refuse a line of the list, or what it selects."""
    raise PublishedError(f"{path}, line {line}: {problem}")


def _parse(path: str | os.PathLike[str], line: int, cells: list[str]) -> dict[str, Any]:
    """Cells of one line by column, numbers as numbers."""
    if len(cells) != len(COLUMNS):
        fail(path, line, f"needs {len(COLUMNS)} cells, has {len(cells)}; quote cells that hold commas")
    row: dict[str, Any] = dict(zip(COLUMNS, (cell.strip() for cell in cells), strict=True))
    for name in REQUIRED:
        if not row[name]:
            fail(path, line, f"{name} is empty; every published value needs one")
    for name, known in (("track", TRACKS), ("kind", KINDS), ("unit", UNITS)):
        if row[name] not in known:
            fail(path, line, f"{name} {row[name]!r} is not known; known are {', '.join(map(repr, known))}")
    if not row["factor"]:
        row["factor"] = "1"
    elif not row["table"]:
        fail(path, line, "factor is given without table; fill table, where and value or none of them")
    if row["by_construction"] not in ("", "yes"):
        fail(path, line, f"by_construction must be yes or empty, got {row['by_construction']!r}")
    row["by_construction"] = row["by_construction"] == "yes"
    for name in ("published", "tolerance", "factor"):
        row[name] = _number(path, line, name, row[name])
    if row["tolerance"] < 0 or (row["kind"] in ("at_most", "at_least") and row["tolerance"] != 0):
        wanted = "at least 0" if row["kind"] in ("value", "range") else "0 for a bound"
        fail(path, line, f"tolerance must be {wanted}, got {row['tolerance']}")
    _check_wiring(path, line, row)
    return row


def _number(path: str | os.PathLike[str], line: int, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        fail(path, line, f"{name} must be a number with a decimal point, got {text!r}")
    return number


def _check_wiring(path: str | os.PathLike[str], line: int, row: Mapping[str, Any]) -> None:
    """Refuse a line that says only in part how our value is found."""
    filled = {name for name in ("table", "where", "value") if row[name]}
    stray = not filled and (row["interval"] or row["over"])
    if stray or 0 < len(filled) < 3:
        found = [name for name in ("table", "where", "value", "interval", "over") if row[name]]
        fail(path, line, f"only {', '.join(found)} given; fill table, where and value or none of them")
    if row["interval"] and not row["value"].isidentifier():
        problem = f"value ({row['value']}) is arithmetic, so no interval is known; leave interval empty"
        fail(path, line, problem)
    if row["interval"].count(",") > 1:
        fail(path, line, f"interval must name a half width or 'low,high', got {row['interval']!r}")
