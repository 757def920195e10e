"""ImageNet, or any data set laid out as one folder per class: read in place, or scaled down once."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from nonideal.data.errors import DataError
from nonideal.data.sources import Source, locate, provide

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder

Split = tuple[np.ndarray, np.ndarray]  # images, labels


@dataclass(frozen=True, eq=False)
class ImageFolders:
    """Lazily decoded training and test images.

    Attributes
    ----------
    name
        Name of the data set.
    train, test
        PyTorch data sets of pairs (image, label); the images are decoded when indexed.
    class_names
        Folder names in the order of the labels.
    """

    name: str
    train: ImageFolder
    test: ImageFolder
    class_names: tuple[str, ...]


def open_folders(
    root: str | os.PathLike[str] | None = None,
    *,
    train_transform: Callable[[Any], Any] | None = None,
    test_transform: Callable[[Any], Any] | None = None,
) -> ImageFolders:
    """Open ImageNet's ``train/<class>/*.JPEG`` and ``val/<class>/*.JPEG``.

    Parameters
    ----------
    root
        Local root, holding ``train`` and ``val`` or ``imagenet/train`` and ``imagenet/val``; the
        environment's ``NONIDEAL_DATA`` if None.
    train_transform, test_transform
        Applied to each decoded image (a Pillow image).

    Raises
    ------
    DataError
        If the folders are missing, or training and validation classes differ, or a class is empty.
    """
    source = locate("imagenet", root)
    if source is None:
        raise DataError(root or "imagenet", "ImageNet's folders", "none", provide("imagenet"))
    names = class_names(source)
    (train,), (val,) = source.train, source.test
    from torchvision.datasets import ImageFolder  # here, because importing PyTorch takes seconds

    try:
        opened = ImageFolder(train, train_transform), ImageFolder(val, test_transform)
    except FileNotFoundError as error:  # torchvision's complaint about a class without images
        raise DataError(source.root, "images in every class", str(error), "Complete the folders.") from error
    return ImageFolders("imagenet", *opened, class_names=names)


def class_names(source: Source) -> tuple[str, ...]:
    """Names of the classes of a source of folders, in the order of their labels.

    Raises
    ------
    DataError
        If training and validation classes differ, or there is none.
    """
    (train,), (val,) = source.train, source.test
    classes = _classes(train)
    different = classes ^ _classes(val)
    if different or not classes:
        found = f"{len(different)} in only one of them, first {min(different)}" if different else "no class"
        raise DataError(val, f"the same classes as in {train}", found, "Complete the folders.")
    return tuple(sorted(classes))


def read_scaled(source: Source, pixels: int, *, progress: bool = False) -> dict[str, Split]:
    """Read all images of a source of folders, scaled on the shorter side and cropped to the centre.

    Parameters
    ----------
    source
        Folders.
    pixels
        Height and width of the result.
    progress
        Show a progress bar.

    Returns
    -------
    dict
        By split: uint8 images ``[n, 3, pixels, pixels]`` and int64 labels ``[n]``, in the order of the paths.

    Raises
    ------
    DataError
        If a class is empty or an image cannot be decoded.
    """
    from torchvision import transforms

    scale = transforms.Compose([transforms.Resize(pixels), transforms.CenterCrop(pixels), np.asarray])
    opened = open_folders(source.root, train_transform=scale, test_transform=scale)
    splits = {}
    for split, folder in (("train", opened.train), ("test", opened.test)):
        images = np.empty((len(folder), 3, pixels, pixels), dtype=np.uint8)
        labels = np.array(folder.targets, dtype=np.int64)

        def read(index: int, folder: ImageFolder = folder, images: np.ndarray = images) -> None:
            try:
                images[index] = folder[index][0].transpose(2, 0, 1)
            except (OSError, ValueError) as error:
                path = folder.samples[index][0]
                raise DataError(path, "an image", str(error), "Replace the file by a fresh copy.") from error

        with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
            done = pool.map(read, range(len(folder)))
            for _ in tqdm(done, total=len(folder), desc=split, unit="image", disable=not progress):
                pass
        splits[split] = (images, labels)
    return splits


def _classes(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir() if entry.is_dir()}
