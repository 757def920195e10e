"""Tables for people: CSV files and self-contained pages."""

from __future__ import annotations

import html
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from nonideal import tables
from nonideal.files import write_text
from nonideal.schemas.published import VERDICTS

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif; color: #1b1b1b; margin: 1.5rem; }}
h1 {{ font-size: 1.3rem; }}
input {{ font: inherit; padding: .35rem .6rem; width: min(100%, 22rem); }}
input {{ border: 1px solid #999; border-radius: 4px; }}
.frame {{ overflow-x: auto; margin-top: 1rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; width: max-content; }}
th, td {{ padding: .3rem .7rem; max-width: 26rem; text-align: left; vertical-align: top; }}
th, td {{ border-bottom: 1px solid #ddd; }}
th {{ position: sticky; top: 0; background: #f3f3f0; border-bottom: 2px solid #777; }}
td.number, th.number {{ text-align: right; white-space: nowrap; }}
.unit {{ font-weight: normal; color: #555; }}
tr.inside td {{ background: #eaf5ea; }}
tr.outside td {{ background: #fbeeea; }}
tr.undecided td {{ background: #faf6e0; }}
tr.not-run td, tr.not-compared td {{ color: #666; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{rows} rows. Hold the pointer over a heading to read what the column means.</p>
<input type="search" placeholder="Show rows that contain &hellip;" aria-label="filter rows" oninput="
  const wanted = this.value.toLowerCase();
  document.querySelectorAll('tbody tr').forEach(row => {{
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }});">
<div class="frame">
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
</body>
</html>
"""


def write(
    made: Mapping[str, tuple[pd.DataFrame, pa.DataFrameSchema]],
    outputs: Mapping[str, str | os.PathLike[str]],
    *,
    provenance: Mapping[str, Any],
) -> None:
    """Write the tables of a job, for machines and, where that is among its outputs, for people.

    Parameters
    ----------
    made
        Rows and declaration of every table.
    outputs
        Files: of table ``x`` the parquet file ``x``, and ``x_csv`` and ``x_html`` if people are to see it.
    provenance
        As for `nonideal.tables.write`.

    Raises
    ------
    nonideal.tables.TableError
        If the rows of a table do not fit its declaration.
    """
    for name, (frame, declared) in made.items():
        written = tables.write(frame, outputs[name], declared, provenance=provenance)
        if page := outputs.get(f"{name}_html"):
            to_csv(written, outputs[f"{name}_csv"])
            to_html(written, declared, page, title=Path(page).stem)


def to_csv(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV, every digit kept, missing values empty."""
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def to_html(
    frame: pd.DataFrame, declared: pa.DataFrameSchema, path: str | os.PathLike[str], *, title: str
) -> None:
    """Write a table as a page with a filter; headings explain themselves from the declared schema.

    Parameters
    ----------
    frame
        Rows of the table.
    declared
        Its declaration.
    path
        Page to write.
    title
        Heading of the page.
    """
    columns = declared.columns
    head = "".join(
        f'<th scope="col"{_number(frame[c])} title="{html.escape(columns[c].description)}">'
        f"{html.escape(c)}{_unit(columns[c].metadata['unit'])}</th>"
        for c in frame
    )
    kinds = {column: _number(frame[column]) for column in frame}
    body = "\n".join(_row(row, kinds) for row in frame.to_dict("records"))
    write_text(path, PAGE.format(title=html.escape(title), rows=len(frame), head=head, body=body))


def _row(row: dict[str, object], kinds: dict[str, str]) -> str:
    verdict = row.get("verdict", "")
    colour = f' class="{verdict.replace(" ", "-")}"' if verdict in VERDICTS else ""
    shown = {column: signed(text(value)) if kinds[column] else text(value) for column, value in row.items()}
    cells = "".join(f"<td{kinds[column]}>{cell}</td>" for column, cell in shown.items())
    return f"<tr{colour}>{cells}</tr>"


def _number(values: pd.Series) -> str:
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return ' class="number"' if numeric else ""


def _unit(unit: str) -> str:
    return f' <span class="unit">({html.escape(unit)})</span>' if unit else ""


def text(value: object) -> str:
    """A cell's text: four significant digits, whole numbers whole, missing values as a dash."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        if value == 0 or 1e-3 <= abs(value) < 1e7:
            if abs(value) < 1e3 or (abs(value) < 1e4 and value != round(value)):
                return f"{value:.4g}"
            return f"{value if value == round(value) else float(f'{value:.4g}'):,.0f}"
        return f"{value:.2e}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return html.escape(str(value))


def published_text(row: Mapping[str, Any]) -> str:
    """Published value or bound of a row of table ``compare_published``, with its unit."""
    if row["kind"] == "range":
        low, high = row["published"] - row["tolerance"], row["published"] + row["tolerance"]
        return f"{text(low)} to {text(high)}{_with_unit(row)}"
    bound = {"at_least": "≥ ", "at_most": "≤ "}.get(row["kind"], "")
    return bound + text(row["published"]) + _with_unit(row)


def ours_text(row: Mapping[str, Any]) -> str:
    """Our value of a row of table ``compare_published``, with its interval and unit; a dash without one."""
    if pd.isna(row["ours"]):
        return "–"
    return _with_interval(row["ours"], row["interval"]) + _with_unit(row)


def signed(numbers: str) -> str:
    """Numbers and their unit with a minus sign, which is as wide as a plus, for each hyphen before a digit.

    A zero has no sign: a loss of nothing, counted backwards, would be -0.
    """
    return re.sub(r"-(?=\d)", "−", re.sub(r"(?<![\w.])-(?=0(?![\d.]))", "", numbers))


def _with_interval(value: float, half: float) -> str:
    """A value, and half its interval to two significant digits, with as many decimals."""
    if pd.isna(half) or half == 0:
        return text(value)
    decimals = 1 - math.floor(math.log10(float(f"{half:.1e}")))
    # Zero is added for the sign of what is rounded to zero.
    both = (round(number, decimals) + 0.0 for number in (value, half))
    thousands = "," if abs(value) >= 1e4 else ""
    return " ± ".join(f"{number:{thousands}.{max(decimals, 0)}f}" for number in both)


def _with_unit(row: Mapping[str, Any]) -> str:
    return f" {row['unit']}" if isinstance(row["unit"], str) and row["unit"] else ""
