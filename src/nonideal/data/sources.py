"""Find the files of a data set below a local root, or download them into a cache folder."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from nonideal.data.catalogue import Spec, spec_of
from nonideal.data.errors import DataError

ROOT_VARIABLE = "NONIDEAL_DATA"
FOLDERS = ("imagenet", "imagenet64")  # as it lies, and scaled down to 64 pixels
# Older files of the Hugging Face hub have a hash behind the numbers.
SHARD = re.compile(r"-(\d{5})-of-(\d{5})(?:-[0-9a-f]{16})?\.parquet$")


@dataclass(frozen=True)
class Source:
    """The exact files a data set would be read from.

    Attributes
    ----------
    name
        Name of the data set.
    kind
        ``"bundled"`` (with scikit-learn), ``"idx"``, ``"parquet"``, ``"pickle"`` or ``"folders"``.
    root
        Folder the files lie below; None if bundled.
    train, test
        Files in reading order (for ``"idx"``: images, labels). For ``"folders"`` the two folders.
    """

    name: str
    kind: str
    root: Path | None = None
    train: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, for instance as inputs of a workflow's rule."""
        return self.train + self.test


def data_root(root: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the local root: `root`, else the environment's ``NONIDEAL_DATA``, else None.

    Raises
    ------
    DataError
        If the root named is not a folder, so that a misspelt path does not pass for missing data.
    """
    given = root or os.environ.get(ROOT_VARIABLE)
    if not given:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        remedy = f"Correct data.root or the environment variable {ROOT_VARIABLE}."
        raise DataError(folder, "a folder with data sets", "no such folder", remedy)
    return folder


def cache_folder() -> Path:
    """Return the folder downloads go to: ``nonideal`` below the system's folder for the user's caches."""
    return Path(platformdirs.user_cache_dir("nonideal", appauthor=False))


def locate(name: str, root: str | os.PathLike[str] | None = None) -> Source | None:
    """Find the files a data set would be read from.

    Parameters
    ----------
    name
        Name of the data set.
    root
        Local root; the environment's ``NONIDEAL_DATA`` if None.

    Returns
    -------
    Source or None
        None if there is no root or nothing of this data set below it.

    Raises
    ------
    ValueError
        If the name is unknown.
    DataError
        If the root is not a folder, or some of the data set's files are there but not all.
    """
    spec = spec_of(name)
    if name == "digits":
        return Source(name, "bundled")
    folder = data_root(root)
    if folder is None:
        return None
    incomplete = []
    for find in (_find_idx, _find_pickles, _find_parquet, _find_folders):
        try:
            source = find(spec, folder)
        except DataError as error:
            incomplete.append(error)  # another layout may be whole
            continue
        if source is not None:
            return source
    if incomplete:
        raise incomplete[0]
    return None


def layouts(name: str) -> list[str]:
    """List the paths, relative to the root, a data set is looked for at."""
    spec = spec_of(name)
    found = [f"{path}[.gz]" for pair in spec.idx.values() for path in pair]
    found += [path for paths in spec.pickles.values() for path in paths]
    found += [f"{folder}/{part}-*-of-*.parquet" for folder in spec.parquet for part in ("train", "test")]
    if name in FOLDERS:
        found += [
            f"{prefix}{part}/<class>/*.JPEG" for prefix in ("imagenet/", "") for part in ("train", "val")
        ]
    return found


def _complete(spec: Spec, kind: str, root: Path, wanted: dict[str, list[tuple[Path, ...]]]) -> Source | None:
    """Make a source of the first existing alternative of each wanted file."""
    found: dict[str, tuple[Path, ...]] = {}
    missing = []
    for split, files in wanted.items():
        hits = [next((path for path in alternatives if path.is_file()), None) for alternatives in files]
        missing += [names[0] for names, hit in zip(files, hits, strict=True) if hit is None]
        found[split] = tuple(hit for hit in hits if hit is not None)
    if not any(found.values()):
        return None
    if missing:
        remedy = f"Add {missing[0]}, or remove the other files of {spec.name} to have them downloaded."
        raise DataError(missing[0], "this file beside the others of its data set", "no file", remedy)
    return Source(spec.name, kind, root, found["train"], found["test"])


def _find_idx(spec: Spec, root: Path) -> Source | None:
    wanted = {
        split: [(root / path, root / f"{path}.gz") for path in pair] for split, pair in spec.idx.items()
    }
    return _complete(spec, "idx", root, wanted) if wanted else None


def _find_pickles(spec: Spec, root: Path) -> Source | None:
    wanted = {split: [(root / path,) for path in paths] for split, paths in spec.pickles.items()}
    return _complete(spec, "pickle", root, wanted) if wanted else None


def _find_parquet(spec: Spec, root: Path) -> Source | None:
    for folder in spec.parquet:
        shards = {split: _shards(root / folder, split) for split in ("train", "test")}
        if not any(shards.values()):
            continue
        for split, paths in shards.items():
            if not paths:
                missing = root / folder / f"{split}-00000-of-00001.parquet"
                raise DataError(missing, "this file beside the other split", "no file", "Add it.")
        return Source(spec.name, "parquet", root, shards["train"], shards["test"])
    return None


def _shards(folder: Path, split: str) -> tuple[Path, ...]:
    paths = sorted(path for path in folder.glob(f"{split}-*.parquet") if SHARD.search(path.name))
    if paths:
        numbers = [SHARD.search(path.name).groups() for path in paths]
        total = numbers[0][1]
        if numbers != [(f"{k:05d}", total) for k in range(int(total))]:
            found = ", ".join(path.name for path in paths)
            remedy = "Add the missing shards; remove shards of another division."
            raise DataError(folder, f"shards 0 to {int(total) - 1} of {int(total)}", found, remedy)
    return tuple(paths)


def _find_folders(spec: Spec, root: Path) -> Source | None:
    if spec.name not in FOLDERS:
        return None
    for base in (root / "imagenet", root):
        train, val = base / "train", base / "val"
        if train.is_dir() != val.is_dir():
            missing = val if train.is_dir() else train
            raise DataError(missing, "a folder beside the other split", "none", "Add it.")
        if train.is_dir():
            return Source(spec.name, "folders", root, (train,), (val,))
    return None


def download(name: str, cache: str | os.PathLike[str] | None = None) -> Source:
    """Download a data set with torchvision, which checks its MD5, unless the cache already has it.

    Parameters
    ----------
    name
        ``"mnist"``, ``"emnist_balanced"``, ``"emnist_letters"`` or ``"cifar10"``.
    cache
        Folder to keep the files in; `cache_folder` if None.

    Returns
    -------
    Source
        The files in the cache.

    Raises
    ------
    DataError
        If the data set cannot be downloaded; the message says how to provide the files instead.
    """
    folder = Path(cache) if cache is not None else cache_folder()
    if folder.is_dir() and (source := locate(name, folder)) is not None:
        return source
    if name in FOLDERS:
        raise DataError(folder, "ImageNet in local folders", "none; it has no free download", provide(name))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A whole data set or none: torchvision writes its files in place.
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
            _torchvision(name, Path(temporary))
            for path in _all_files(Path(temporary)):
                target = folder / path.relative_to(temporary)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    except (RuntimeError, OSError) as error:  # a failed connection is a URLError, which is an OSError
        raise DataError(
            folder, f"to download {name}", f"{type(error).__name__}: {error}", provide(name)
        ) from error
    source = locate(name, folder)
    if source is None:
        raise DataError(folder, f"the files of {name} after downloading", "none of them", provide(name))
    return source


def _all_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _torchvision(name: str, folder: Path) -> None:
    from torchvision import datasets  # here, because importing PyTorch takes seconds

    if name == "mnist":
        datasets.MNIST(folder, download=True)
    elif name == "cifar10":
        datasets.CIFAR10(folder, download=True)
    else:
        datasets.EMNIST(folder, split=name.removeprefix("emnist_"), download=True)


def provide(name: str) -> str:
    """Tell how to provide a data set's files by hand."""
    places = ", ".join(layouts(name))
    return f"Set data.root or the environment variable {ROOT_VARIABLE} to a folder with {places}."
