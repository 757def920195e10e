"""Convert a data set once into one file of arrays with a manifest, and load it back."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nonideal import archives, files
from nonideal.data.catalogue import Spec, spec_of
from nonideal.data.errors import DataError
from nonideal.data.folders import class_names
from nonideal.data.read import Findings, Splits, read_source
from nonideal.data.sources import Source, data_root, download, locate, provide
from nonideal.data.splits import Dataset

FORMAT = 1  # raised when the arrays or the manifest change their meaning
ARRAYS, MANIFEST = "arrays.npz", "manifest.json"
KEYS = ("train_images", "train_labels", "test_images", "test_labels")
AGAIN = "Delete the folder and prepare the data set again."


def prepare(
    name: str,
    folder: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    allow_download: bool = False,
    cache: str | os.PathLike[str] | None = None,
    accept_unknown: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Read a data set, check it and write ``arrays.npz`` and ``manifest.json`` into a folder.

    The arrays (see `Dataset`) lie uncompressed in the ``.npz`` file, which loads many times faster than the
    original files; two runs on the same files write the same bytes.

    ImageNet's folders become ``"imagenet64"``: every image scaled to 64 pixels on its shorter side and
    cropped to its centre, 16 GB in all.

    Parameters
    ----------
    name
        Name of the data set; not ``"imagenet"``, which is read in place by `open_folders`.
    folder
        Where to write.
    root
        Local root; the environment's ``NONIDEAL_DATA`` if None.
    allow_download
        Download what the root does not have.
    cache
        Folder for downloads; `cache_folder` if None.
    accept_unknown
        Read MNIST files and CIFAR-10 batches even if they are not the published ones.
    progress
        Show a progress bar while images are decoded.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    ValueError
        If the name is unknown or not one to convert.
    DataError
        If files are missing, damaged or not what they should be. Nothing is written then.
    """
    spec = spec_of(name)
    if spec.image_shape is None:
        raise ValueError(f"{name} is read in place: use open_folders instead of prepare")
    source = locate(name, root)
    downloaded = source is None and allow_download
    if downloaded:
        source = download(name, cache)
    if source is None:
        where = data_root(root) or "no data root"
        raise DataError(where, f"the files of {name}", "none, and downloading is off", provide(name))
    if source.kind == "folders":
        spec = replace(spec, class_names=class_names(source))
    splits, findings = read_source(spec, source, accept_unknown=accept_unknown, progress=progress)
    return _write(Path(folder), spec, source, splits, findings | ({"downloaded": True} if downloaded else {}))


def _write(folder: Path, spec: Spec, source: Source, splits: Splits, findings: Findings) -> dict[str, Any]:
    arrays = {}
    for split, (images, labels) in splits.items():
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = np.ascontiguousarray(images), labels
    manifest = {
        "format": FORMAT,
        "name": spec.name,
        "source": source.kind,
        # Paths relative to the root: a manifest does not depend on where the data lie.
        "files": [
            {"path": path.relative_to(source.root).as_posix()} | _identity(path) for path in source.files
        ],
        **findings,
        "counts": {split: len(labels) for split, (_, labels) in splits.items()},
        "image_shape": list(spec.image_shape),
        "classes": list(spec.class_names),
    }
    with files.atomic(folder / ARRAYS) as temporary:
        np.savez(temporary, **arrays)
        manifest["arrays_sha256"] = files.sha256(temporary)
    files.write_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    return manifest


def _identity(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file; of a folder with classes their number, and paths and sizes for contents."""
    if path.is_file():
        return {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
    inside = sorted((entry.relative_to(path).as_posix(), entry.stat().st_size) for entry in path.glob("*/*"))
    listed = hashlib.sha256(json.dumps(inside).encode()).hexdigest()
    return {"bytes": sum(size for _, size in inside), "classes": extent(path), "sha256_of_list": listed}


def extent(path: Path) -> int:
    """Size of a file in bytes, or number of classes of a folder: cheap to read again before every run."""
    return path.stat().st_size if path.is_file() else len(list(path.iterdir()))


def load(folder: str | os.PathLike[str], *, check: bool = True) -> Dataset:
    """Load what `prepare` wrote.

    Parameters
    ----------
    folder
        The folder, or the ``arrays.npz`` file in it.
    check
        Compare the file's SHA-256 with the manifest.

    Raises
    ------
    DataError
        If a file is missing, of another format, altered or damaged.
    """
    path = Path(folder)
    if path.suffix != ".npz":
        path = path / ARRAYS
    manifest = _manifest(path.with_name(MANIFEST))
    if not path.is_file():
        raise DataError(path, "the arrays of a prepared data set", "no file", "Prepare the data set.")
    if check and (found := files.sha256(path)) != manifest["arrays_sha256"]:
        expected = f"SHA-256 {manifest['arrays_sha256']}, by {MANIFEST}"
        raise DataError(path, expected, f"{found}: the file was altered or damaged", AGAIN)
    try:
        arrays = archives.read_npz(path, KEYS)
    except (OSError, archives.ArchiveError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise DataError(path, "a readable archive of arrays", problem, AGAIN) from error
    dataset = Dataset(manifest["name"], **arrays, class_names=tuple(manifest["classes"]))
    for split in ("train", "test"):
        shape = (manifest["counts"].get(split), *manifest["image_shape"])
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        whole = images.shape == shape and labels.shape == shape[:1]
        typed = images.dtype == np.uint8 and labels.dtype == np.int64
        classes = len(dataset.class_names)
        if not whole or not typed or labels.min(initial=0) < 0 or labels.max(initial=0) >= classes:
            expected = f"{split} images {shape} in {len(dataset.class_names)} classes, by {MANIFEST}"
            found = f"{images.dtype} images {images.shape}, {labels.dtype} labels {labels.shape}"
            if labels.dtype.kind in "iu":
                found += f" from {labels.min(initial=0)} to {labels.max(initial=0)}"
            raise DataError(path, expected, found, AGAIN)
    return dataset


def recorded_files(path: str | os.PathLike[str]) -> list[list[Any]]:
    """Names and extents, sorted, of what a prepared data set was made from.

    None without a manifest, nor of downloaded files: these are checked to be the published ones, and are the
    same before and after.
    """
    path = Path(path)
    if not path.exists():
        return []
    manifest = _manifest(path)
    if manifest.get("downloaded"):
        return []
    entries = manifest.get("files")
    try:
        return sorted(
            [Path(entry["path"]).name, int(entry.get("classes", entry["bytes"]))] for entry in entries
        )
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(path, "a list of names and sizes under 'files'", repr(error), AGAIN) from error


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(path, "a manifest", str(error), "Prepare the data set.") from error
    except (ValueError, RecursionError) as error:  # the latter from deep nesting
        raise DataError(path, "a manifest in JSON", str(error), AGAIN) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = repr(manifest.get("format")) if isinstance(manifest, dict) else type(manifest).__name__
        raise DataError(path, f"a manifest of format {FORMAT}", found, AGAIN)
    types = {"name": str, "arrays_sha256": str, "counts": dict, "image_shape": list, "classes": list}
    for key, kind in types.items():
        if not isinstance(manifest.get(key), kind):
            raise DataError(path, f"a {kind.__name__} under {key!r}", repr(manifest.get(key)), AGAIN)
    return manifest
