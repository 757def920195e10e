"""Data sets of recordings: where their files lie, and which class each belongs to."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nonideal.data import ROOT_VARIABLE, DataError, data_root
from nonideal.events import aedat, atis
from nonideal.events.recording import Recording


@dataclass(frozen=True)
class Spec:
    """A data set of recordings.

    Parameters
    ----------
    suffix
        Of its files.
    read
        Reader of one file.
    folders
        Paths below the data root that are looked for: folders of one folder per class, or folders holding
        ``labels.csv`` and ``recordings/``.
    """

    suffix: str
    read: Callable[[Path], Recording]
    folders: tuple[str, ...]


def _nmnist(path: Path) -> Recording:
    return atis.read(path, width=34, height=34)


def _n_caltech101(path: Path) -> Recording:
    return atis.read(path, width=240, height=180, overflows=True)


SPECS = {
    "nmnist": Spec(".bin", _nmnist, ("N-MNIST", "NMNIST", "nmnist-small")),
    "n_caltech101": Spec(".bin", _n_caltech101, ("N-Caltech101/Caltech101", "N-Caltech101")),
    "cifar10_dvs": Spec(".aedat", aedat.read, ("CIFAR10-DVS", "CIFAR10DVS")),
}


@dataclass(frozen=True, eq=False)
class Files:
    """Files of a data set.

    Parameters
    ----------
    paths
        Of the recordings, in a fixed order.
    labels
        int64 [n], indices into `class_names`.
    class_names
        In alphabetical order.
    """

    paths: tuple[Path, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]


def find(name: str, root: str | os.PathLike[str] | None = None) -> Files | None:
    """Find the files of a data set below the data root.

    Parameters
    ----------
    name
        Key of `SPECS`.
    root
        Local root; the environment's ``NONIDEAL_DATA`` if None.

    Returns
    -------
    Files or None
        None if there is nothing of this data set.

    Raises
    ------
    ValueError
        If the name is unknown.
    DataError
        If the root is no folder, or list and files of a data set contradict each other.
    """
    if name not in SPECS:
        raise ValueError(f"events {name!r} are not known; data sets are {', '.join(SPECS)}")
    base = data_root(root)
    for folder in () if base is None else (base / part for part in SPECS[name].folders):
        if (folder / "labels.csv").is_file():
            return _collect(list(_listed(folder, SPECS[name].suffix)))
        found = sorted(folder.rglob(f"*/*{SPECS[name].suffix}"))
        if found:
            return _collect([(path, path.parent.name) for path in found])
    return None


def require(name: str, root: str | os.PathLike[str] | None = None) -> Files:
    """`find`, or an error that says where the files should be.

    Raises
    ------
    DataError
        If there is nothing of this data set, also what `find` raises.
    """
    files = find(name, root)
    if files is None:
        places = ", ".join(f"{folder}/" for folder in SPECS[name].folders)
        remedy = f"Set data.root or {ROOT_VARIABLE} to a folder with one of {places}, or choose other events."
        raise DataError(data_root(root) or "no data root", f"the recordings of {name}", "none", remedy)
    return files


def recordings(name: str, files: Files) -> Iterator[Recording]:
    """Read the recordings one after the other; an unreadable one raises its `DataError`."""
    return (SPECS[name].read(path) for path in files.paths)


def _listed(folder: Path, suffix: str) -> Iterator[tuple[Path, str]]:
    """Files and classes by ``labels.csv`` with the columns recording and label."""
    table = folder / "labels.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a mark before the text
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            table, "a list in UTF-8", f"{type(error).__name__}: {error}", "Restore it."
        ) from error
    if not rows or not {"recording", "label"} <= rows[0].keys():
        raise DataError(table, "rows with recording and label", "none", "Restore the list.")
    for line, row in enumerate(rows, 2):
        if not (row["recording"] and row["label"]):
            raise DataError(
                table, "a recording and its label in each row", f"line {line} without", "Restore it."
            )
    twice = [name for name, count in Counter(row["recording"] for row in rows).items() if count > 1]
    if twice:
        found = f"{twice[0]} more than once, {len(twice)} such in all"
        raise DataError(table, "one row for each recording", found, "Keep the row with its true label.")
    names = {f"{row['recording']}{suffix}" for row in rows}
    present = {path.name for path in (folder / "recordings").glob(f"*{suffix}")}
    for wrong, what in ((names - present, "listed but missing"), (present - names, "present but not listed")):
        if wrong:
            found = f"{min(wrong)} {what}, {len(wrong)} such in all"
            raise DataError(table, "one row for each recording", found, "Restore list and files.")
    for row in rows:
        yield folder / "recordings" / f"{row['recording']}{suffix}", row["label"]


def _collect(pairs: list[tuple[Path, str]]) -> Files:
    classes = tuple(sorted({label for _, label in pairs}))
    labels = np.array([classes.index(label) for _, label in pairs], np.int64)
    return Files(tuple(path for path, _ in pairs), labels, classes)
