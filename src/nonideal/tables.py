"""Tables: parquet files with a declared schema, checked on write and on read.

Every table the project writes is declared once, in `nonideal.schemas`; the declaration is handed to `write`
and `read`, so that a rule depends on the declarations of its own study only. `write` refuses rows that do not
fit, sorts them by the table's key, attaches provenance to the file's metadata, and renames the file into
place only when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.parquet

from nonideal.files import atomic
from nonideal.provenance import processor

METADATA_KEY = b"nonideal"


class TableError(ValueError):
    """Rows that do not fit the declared table; the message names file, column and value."""


def check(
    frame: pd.DataFrame, declared: pa.DataFrameSchema, *, where: str | os.PathLike[str] = "table"
) -> pd.DataFrame:
    """Return the rows of `frame` that were declared, in declared column order and sorted by key.

    Raises
    ------
    TableError
        If a column is missing, unknown or of the wrong type, a value is out of range, or a key repeats.
    """
    name, wanted, found = declared.name, list(declared.columns), list(frame.columns)
    if missing := [column for column in wanted if column not in found]:
        raise TableError(f"{where}: table {name!r} lacks the columns {missing}; it has {found}")
    if unknown := [column for column in found if column not in wanted]:
        raise TableError(f"{where}: table {name!r} has undeclared columns {unknown}; declared are {wanted}")
    if frame.empty:
        raise TableError(f"{where}: table {name!r} has no rows")
    frame = frame[wanted].sort_values(list(declared.unique), kind="stable", ignore_index=True)
    try:
        return declared.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases.head(5)
        lines = [f"{row.column}: {row.failure_case!r} fails {row.check}" for row in cases.itertuples()]
        raise TableError(f"{where}: table {name!r} does not fit its schema: " + "; ".join(lines)) from None


def content_hash(frame: pd.DataFrame) -> str:
    """SHA-256 over column names, types and values; independent of file layout and metadata."""
    digest = hashlib.sha256(json.dumps([[c, str(t)] for c, t in frame.dtypes.items()]).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def write(
    frame: pd.DataFrame,
    path: str | os.PathLike[str],
    declared: pa.DataFrameSchema,
    *,
    provenance: Mapping[str, Any],
) -> pd.DataFrame:
    """Check `frame` against its declaration and write it to `path` as parquet; return the rows written.

    Parameters
    ----------
    frame
        Rows with exactly the declared columns, in any order.
    path
        File to write; it is replaced atomically.
    declared
        Declaration of the table, from `nonideal.schemas`.
    provenance
        JSON-able facts on how the rows came to be (`nonideal.provenance.collect`); stored in the file's
        metadata under the key ``nonideal`` together with the table's name and content hash.

    Raises
    ------
    TableError
        If the rows do not fit; nothing is written then.
    """
    frame = check(frame, declared, where=path)
    facts = {"table": declared.name, "rows": len(frame), "content_sha256": content_hash(frame)} | dict(
        provenance
    )
    if "processor" in facts:  # once more: a job collects before it imports PyTorch and sets its threads
        facts["processor"] = processor()
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    metadata = (table.schema.metadata or {}) | {METADATA_KEY: json.dumps(facts, sort_keys=True).encode()}
    with atomic(path) as temporary:
        pyarrow.parquet.write_table(
            table.replace_schema_metadata(metadata), temporary, compression="zstd", write_page_checksum=True
        )
    return frame


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], declared: pa.DataFrameSchema
) -> pd.DataFrame:
    """Read one file, or several shards as one table, and check the rows again.

    Raises
    ------
    TableError
        If a file is no parquet file, was written as another table, or its rows do not fit.
    """
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not files:
        raise TableError(f"no files given for table {declared.name!r}")
    for path in files:
        written_as = facts(path).get("table")
        if written_as != declared.name:
            raise TableError(f"{path}: holds table {written_as!r}, expected {declared.name!r}")
    frames = [_frame(path) for path in files]
    where = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    return check(pd.concat(frames, ignore_index=True), declared, where=where)


def remove_other_shards(shards: Iterable[str | os.PathLike[str]]) -> None:
    """Delete files ``part-*.parquet`` beside the given ones, and say so.

    Shards left by a run with another number of shards would be counted twice by whoever reads the folder.

    Parameters
    ----------
    shards
        All shards of a table, in any number of folders.
    """
    kept = set(map(Path, shards))
    for folder in sorted({path.parent for path in kept}):
        for path in sorted(set(folder.glob("part-*.parquet")) - kept):
            print(f"removing {path}: a shard of an earlier division")
            path.unlink()


def _frame(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Rows of one file, the checksums of its pages compared."""
    try:
        _check_sizes(path)
        table = pyarrow.parquet.read_table(path, page_checksum_verification=True, partitioning=None)
        # Without Pandas' own notes in the file: the declared schema says what the columns are.
        return table.replace_schema_metadata(None).to_pandas()
    except Exception as error:  # a damaged file can raise anything, e.g. UnicodeDecodeError
        raise _unreadable(path, error) from error


def _check_sizes(path: str | os.PathLike[str]) -> None:
    """Refuse a file whose footer announces more than the file can hold: memory is taken on its word."""
    size = Path(path).stat().st_size
    metadata = pyarrow.parquet.read_metadata(path)
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            announced = (chunk.num_values, chunk.total_compressed_size, chunk.total_uncompressed_size)
            if min(announced) < 0 or chunk.total_compressed_size > size:
                raise ValueError(f"a column of {chunk.total_compressed_size} bytes in a file of {size}")


def _unreadable(path: str | os.PathLike[str], error: Exception) -> TableError:
    reason = str(error).splitlines()[0][:200] if str(error) else ""
    return TableError(
        f"{path}: not a readable parquet file ({type(error).__name__}: {reason}); delete it and build again"
    )


def entry(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a run's provenance records of a table: name, rows, content hash, commit, time, processor.

    The processor is None where the table does not name it, as tables of earlier versions do not.
    """
    found = facts(path)
    kept = {key: found.get(key) for key in ("table", "rows", "content_sha256", "commit", "time_utc")}
    return kept | {"processor": (found.get("processor") or {}).get("model")}


def facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Provenance stored in a parquet file's metadata.

    Raises
    ------
    TableError
        If the file cannot be read as parquet or carries no provenance of this project.
    """
    if not Path(path).exists():
        raise TableError(f"{path}: no such file; build it with snakemake")
    try:
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
        found = json.loads(metadata.get(METADATA_KEY, b"null"))
    except Exception as error:  # as above; the metadata may be no JSON any more
        raise _unreadable(path, error) from None
    if not isinstance(found, dict):
        raise TableError(f"{path}: carries no provenance; it was not written by nonideal")
    return found
