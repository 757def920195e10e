"""What commands print and write: tables aligned in columns, and as files."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

import nonideal
from nonideal import show, tables
from nonideal.commands import UsageError

SUFFIXES = (".csv", ".parquet")


def columns(cells: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> str:
    """Lines of a table whose first row is the header; the columns named in `right` are flushed right."""
    header = cells[0]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    lines = []
    for row in cells:
        parts = [
            f"{cell:>{width}}" if name in right else f"{cell:{width}}"
            for cell, width, name in zip(row, widths, header, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def check_table_path(path: Path | None) -> None:
    """Refuse an ending that no table has, before any work is done.

    Raises
    ------
    UsageError
        If the file ends in neither .csv nor .parquet.
    """
    if path is not None and path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: a table is a file ending in {' or '.join(SUFFIXES)}")


def check_folder(path: Path) -> None:
    """Refuse a file in a place where none can be written, before any work is done; nothing is made.

    Raises
    ------
    UsageError
        If the path is a folder, or its own cannot be made or written to.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; give the name of a file")
    place = next(folder for folder in path.absolute().parents if folder.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise UsageError(f"{path}: nothing can be written in {place}; give another folder")


def check_outputs(*paths: Path | None) -> None:
    """Refuse places where no file can be written, and one place for two files; None stands for no file.

    Raises
    ------
    UsageError
        As `check_folder`, or if two paths are one file.
    """
    given = [path for path in paths if path is not None]
    for k, path in enumerate(given):
        check_folder(path)
        if path.resolve() in [other.resolve() for other in given[:k]]:
            raise UsageError(f"{path}: is given for two files; one would replace the other")


def table(frame: pd.DataFrame, path: Path, declared: pa.DataFrameSchema, *, command: str) -> None:
    """Write a table as CSV or parquet, by the file's ending.

    Parameters
    ----------
    frame
        Rows.
    path
        File to write.
    declared
        Declaration of the table, which the rows are checked against.
    command
        Name of the command, for the provenance in a parquet file.

    Raises
    ------
    UsageError
        If the file ends in neither .csv nor .parquet.
    nonideal.tables.TableError
        If the rows do not fit the declaration.
    """
    check_table_path(path)
    if path.suffix == ".csv":
        show.to_csv(tables.check(frame, declared, where=path), path)
        return
    facts = {"command": command, "nonideal": nonideal.__version__, "python": platform.python_version()}
    tables.write(frame, path, declared, provenance=facts)
