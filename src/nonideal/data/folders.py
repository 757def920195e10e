"""ImageNet, or any data set laid out as one folder per class: read in place, never converted."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nonideal.data.errors import DataError
from nonideal.data.sources import locate, provide

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder


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
    (train,), (val,) = source.train, source.test
    classes = _classes(train)
    different = classes ^ _classes(val)
    if different or not classes:
        found = f"{len(different)} in only one of them, first {min(different)}" if different else "no class"
        raise DataError(val, f"the same classes as in {train}", found, "Complete the folders.")
    from torchvision.datasets import ImageFolder  # here, because importing PyTorch takes seconds

    try:
        opened = ImageFolder(train, train_transform), ImageFolder(val, test_transform)
    except FileNotFoundError as error:  # torchvision's complaint about a class without images
        raise DataError(source.root, "images in every class", str(error), "Complete the folders.") from error
    return ImageFolders("imagenet", *opened, class_names=tuple(opened[0].classes))


def _classes(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir() if entry.is_dir()}
