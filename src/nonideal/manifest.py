"""The manifest of a run: size and SHA-256 of every file the run leaves behind.

It is written when everything else is there. Any byte that changes afterwards is found by `nonideal.verify`,
a byte of the manifest itself included.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from nonideal import files

NAME = "manifest.json"
FORMAT = 1  # raised when the manifest changes its meaning
# No results: what jobs said and measured, the page made from the rest after the manifest, checkpoints.
LEFT_OUT_FILES = (NAME, "report.zip", "report.html")  # at the top of the run's folder
LEFT_OUT_FOLDERS = ("logs", "benchmarks")  # at the top of the run's folder
CHECKPOINTS = "progress"  # folders of this name, anywhere


class ManifestError(ValueError):
    """A manifest that is missing, damaged or no manifest; the message says what to do."""


def listed(run: str | os.PathLike[str]) -> list[str]:
    """Paths, relative to the run's folder and sorted, of the files that belong to a manifest."""
    run = Path(run)
    found = []
    for folder, folders, names in os.walk(run):
        place = Path(folder).relative_to(run)
        left_out = {CHECKPOINTS, *(LEFT_OUT_FOLDERS if place == Path() else ())}
        # A hidden file is a temporary one, left behind by a killed job.
        folders[:] = [name for name in folders if name not in left_out and not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and not (place == Path() and name in LEFT_OUT_FILES):
                found.append((place / name).as_posix())
    return sorted(found)


def write(run: str | os.PathLike[str], *, also: Sequence[str] = ()) -> dict[str, Any]:
    """Write ``manifest.json`` into a run's folder; return its content.

    Parameters
    ----------
    run
        Folder of the run.
    also
        Paths to list beside those that `listed` finds.

    Raises
    ------
    ManifestError
        If there is nothing to list.
    """
    run = Path(run)
    entries = {
        path: {"bytes": (run / path).stat().st_size, "sha256": files.sha256(run / path)}
        for path in sorted({*listed(run), *also})
    }
    if not entries:
        raise ManifestError(f"{run}: no results to list; build the run first with snakemake")
    content = {"format": FORMAT, "files": entries}
    files.write_text(run / NAME, _text(content))
    return content


def read(run: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Entries (``bytes``, ``sha256``) of a run's manifest by path.

    Raises
    ------
    ManifestError
        If it is missing, of another format, or differs in one byte from what `write` wrote.
    """
    path = Path(run) / NAME
    try:
        text = path.read_bytes().decode()
        content = json.loads(text)
    except FileNotFoundError:
        raise ManifestError(
            f"{path}: no manifest; it is the last file of a whole run: build it with snakemake"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not a readable manifest ({type(error).__name__}: {error})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ManifestError(f"{path}: no manifest of format {FORMAT}")
    content.pop("sha256", None)
    if not _well_formed(content) or text != _text(content):
        raise ManifestError(f"{path}: the manifest itself was altered: its own checksum does not fit")
    return content["files"]


def _text(content: Mapping[str, Any]) -> str:
    """Canonical text of a manifest; the checksum over the rest is its last entry."""
    body = json.dumps(content, indent=1, sort_keys=True)
    return json.dumps(dict(content) | {"sha256": hashlib.sha256(body.encode()).hexdigest()}, indent=1) + "\n"


def _well_formed(content: Mapping[str, Any]) -> bool:
    """Whether the entries are what `write` makes, and no path leads out of the run's folder."""
    entries = content.get("files")
    return isinstance(entries, dict) and all(
        isinstance(entry, dict)
        and entry.keys() == {"bytes", "sha256"}
        and not PurePosixPath(path).is_absolute()
        and ".." not in PurePosixPath(path).parts
        for path, entry in entries.items()
    )
