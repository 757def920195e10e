"""Exported networks in files: C header, ``.npz`` and JSON, three views of the same integers."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nonideal.archives import read_npz
from nonideal.files import atomic, write_text

SUFFIXES = ("h", "npz", "json")


class Views(ABC):
    """What an exported network shows of itself."""

    @abstractmethod
    def header(self) -> str:
        """C header; no date, no path."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays; `meta` holds as JSON text what is none."""

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """Everything as one JSON-able dictionary."""

    def write(
        self, folder: str | os.PathLike[str], name: str = "model", suffixes: Sequence[str] = SUFFIXES
    ) -> dict[str, Path]:
        """Write ``name.h``, ``name.npz``, ``name.json``, or some of them; returns paths by suffix.

        Raises
        ------
        ValueError
            If a suffix is another, or the suffixes are no sequence of them but one text.
        """
        if isinstance(suffixes, str) or not set(suffixes) <= set(SUFFIXES):
            raise ValueError(
                f"suffixes must be some of {', '.join(SUFFIXES)}, as ({SUFFIXES[0]!r},), got {suffixes!r}"
            )
        paths = {suffix: Path(folder) / f"{name}.{suffix}" for suffix in suffixes}
        if "h" in paths:
            write_text(paths["h"], self.header())
        if "npz" in paths:
            with atomic(paths["npz"]) as temporary:
                np.savez(temporary, **self.arrays())
        if "json" in paths:
            write_text(paths["json"], json.dumps(self.document(), sort_keys=True) + "\n")
        return paths


Made = TypeVar("Made", bound=Views)


def read(
    path: str | os.PathLike[str],
    from_arrays: Callable[[Path, dict[str, Any], Mapping[str, np.ndarray]], Made],
    from_document: Callable[[Path, dict[str, Any]], Made],
) -> Made:
    """Read what `Views.write` wrote as ``.npz`` or ``.json``, whatever is wrong with the file.

    Parameters
    ----------
    path
        File that another program may have written or changed.
    from_arrays
        Export from the path, which is for messages, `meta` and the arrays.
    from_document
        Export from the path and the document.

    Raises
    ------
    ValueError
        If the ending is another, the file is no export, or its parts contradict each other; the message
        names the file.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    readers = {".npz": (_read_arrays, from_arrays), ".json": (_read_document, from_document)}
    if path.suffix not in readers:
        raise ValueError(f"{path}: expected a file ending in .npz or .json; the C header is for compilers")
    reader, make = readers[path.suffix]
    try:
        return reader(path, make)
    except (FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # a file of another kind fails anywhere: AttributeError, OverflowError ...
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        reason = repr(error)[:200]
        raise ValueError(f"{path}: no export of this program ({reason}); write it again") from error


def _read_arrays(path: Path, make: Callable[..., Made]) -> Made:
    arrays = read_npz(path)
    made = make(path, json.loads(str(arrays["meta"])), arrays)
    expected = made.arrays()
    for key in sorted(arrays.keys() | expected.keys()):
        if key not in arrays or key not in expected or not np.array_equal(arrays[key], expected[key]):
            raise ValueError(f"{path}: {key} contradicts the weights; write the export again")
    return made


def _read_document(path: Path, make: Callable[..., Made]) -> Made:
    document = json.loads(path.read_text(encoding="utf-8"))
    made = make(path, document)
    if made.document() != document:
        raise ValueError(f"{path}: packing or golden vectors contradict the weights; write the export again")
    return made
