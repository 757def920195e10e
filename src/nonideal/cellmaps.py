"""Maps of measured bit cells, one line a cell: the file a user brings of a real chip.

A map is a CSV or parquet file with the columns

==========  =====================================================================================
``layer``   name of the layer, as `torch.nn.Module.named_modules` gives it
``row``     place on the first axis of the weight, counted from 0: the output of the layer, of a
            transposed convolution its input
``column``  place in the other axes, flattened, counted from 0: [in, height, width] of a filter
``bit``     bit cell, 0 the least significant
``stuck``   0 or 1, the value the cell is stuck at (maps of faults), or
``factor``  conductance over its nominal value, at least 0 (maps of variability)
==========  =====================================================================================

Cells that are not listed are sound: not stuck, factor 1. Any column order will do; other columns, repeated
cells and cells outside the network are refused, with the row named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import pyarrow.parquet

from nonideal.files import atomic

PLACE = ("layer", "row", "column", "bit")


class CellMapError(ValueError):
    """A map that does not fit; the message names file, row and remedy."""


def read(
    path: str | os.PathLike[str], value: str, shapes: Mapping[str, Sequence[int]], bits: int
) -> pd.DataFrame:
    """Read and check a map.

    Parameters
    ----------
    path
        File ending in ``.csv`` or ``.parquet``.
    value
        ``stuck`` or ``factor``: what the map says of a cell.
    shapes
        Shape of the weight of every layer a map may speak of.
    bits
        Bit cells of a weight.

    Returns
    -------
    pandas.DataFrame
        Columns layer, row, column, bit and `value`.

    Raises
    ------
    CellMapError
        If the file is unreadable or a row does not fit; the message names the first such row, counted from 1
        after the header.
    """
    path = Path(path)
    frame = _load(path)
    wanted = [*PLACE, value]
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes the surplus for an index
        raise CellMapError(f"{path}: lines have more fields than the {len(frame.columns)} of the header")
    if sorted(frame.columns) != sorted(wanted):
        raise CellMapError(
            f"{path}: a map of {value!r} has the columns {', '.join(wanted)}; "
            f"found {', '.join(frame.columns)}"
        )
    frame = frame[wanted].copy()
    frame["layer"] = frame["layer"].astype(str)
    if frame.empty:  # columns without a value have no type
        return frame.astype(
            dict.fromkeys(wanted[1:], "int64") | ({} if value == "stuck" else {value: "float64"})
        )
    _check_layers(path, frame, shapes)
    for name in ("row", "column", "bit", value):
        frame[name] = _numbers(path, frame, name)
    sizes = {name: (shape[0], int(np.prod(shape[1:]))) for name, shape in shapes.items()}
    rows = frame["layer"].map({name: size[0] for name, size in sizes.items()})
    columns = frame["layer"].map({name: size[1] for name, size in sizes.items()})
    for name, end in (("row", rows), ("column", columns), ("bit", pd.Series(bits, index=frame.index))):
        whole = frame[name] == frame[name].round()
        _refuse(
            path, frame, ~(whole & (frame[name] >= 0) & (frame[name] < end)),
            lambda row, name=name, end=end: f"{name} {row[name]:g} of layer {row['layer']!r} must be a whole "
            f"number of 0 .. {int(end[row.name]) - 1}",
        )  # fmt: skip
        frame[name] = frame[name].astype("int64")
    _check_values(path, frame, value)
    _refuse(
        path, frame, frame.duplicated(list(PLACE)),
        lambda row: f"the cell layer {row['layer']!r}, row {row['row']}, column {row['column']}, bit "
        f"{row['bit']} stands there a second time; keep one",
    )  # fmt: skip
    return frame.astype({"stuck": "int64"}) if value == "stuck" else frame


def write(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a map as CSV or parquet, by the file's ending."""
    path = Path(path)
    _suffix(path)
    with atomic(path) as temporary:
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False, lineterminator="\n")
        else:
            frame.to_parquet(temporary, index=False)


def places(layer: str, cells: np.ndarray) -> pd.DataFrame:
    """Rows of a map for the marked cells.

    Parameters
    ----------
    layer
        Name of the layer.
    cells
        Marks [out, in * height * width, bits], bool.
    """
    row, column, bit = np.nonzero(cells)
    return pd.DataFrame({"layer": layer, "row": row, "column": column, "bit": bit})


def _suffix(path: Path) -> str:
    if path.suffix not in (".csv", ".parquet"):
        raise CellMapError(f"{path}: a map is a file ending in .csv or .parquet")
    return path.suffix


def _load(path: Path) -> pd.DataFrame:
    suffix = _suffix(path)
    try:
        if suffix == ".csv":
            # Only numbers can be missing: layers may be called NA, null or, in a network of one, nothing.
            missing = {name: [""] for name in (*PLACE[1:], "stuck", "factor")}
            return pd.read_csv(path, dtype={"layer": str}, keep_default_na=False, na_values=missing)
        return pyarrow.parquet.read_table(path, partitioning=None).replace_schema_metadata(None).to_pandas()
    except FileNotFoundError:
        raise CellMapError(f"{path}: no such file") from None
    except MemoryError:
        raise
    except Exception as error:  # damaged files fail anywhere in the readers, with errors of any kind
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CellMapError(f"{path}: not a readable map ({reason[:200]})") from error


def _check_layers(path: Path, frame: pd.DataFrame, shapes: Mapping[str, Sequence[int]]) -> None:
    _refuse(
        path, frame, ~frame["layer"].isin(list(shapes)),
        lambda row: f"there is no quantised layer {row['layer']!r}; layers are {', '.join(shapes)}",
    )  # fmt: skip


def _numbers(path: Path, frame: pd.DataFrame, name: str) -> pd.Series:
    numbers = pd.to_numeric(frame[name], errors="coerce").astype("float64")
    _refuse(
        path, frame, ~np.isfinite(numbers), lambda row: f"{name} must be a number, found {_found(row[name])}"
    )  # fmt: skip
    return numbers


def _found(value: object) -> str:
    """A cell of a map as an error shows it."""
    return "nothing" if pd.isna(value) else repr(getattr(value, "item", lambda: value)())


def _check_values(path: Path, frame: pd.DataFrame, value: str) -> None:
    if value == "stuck":
        bad, rule = ~frame[value].isin([0, 1]), "0 or 1"
    else:
        bad, rule = frame[value] < 0, "at least 0"
    _refuse(path, frame, bad, lambda row: f"{value} must be {rule}, found {row[value]:g}")


def _refuse(path: Path, frame: pd.DataFrame, bad: pd.Series, problem: Callable[[pd.Series], str]) -> None:
    bad = np.asarray(bad)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        _fail(path, first + 1, problem(frame.iloc[first]))


def _fail(path: Path, row: int, problem: str) -> NoReturn:
    raise CellMapError(f"{path}, row {row}: {problem}")
