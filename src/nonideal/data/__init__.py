"""Data sets: found locally or downloaded, checked, converted once, loaded quickly.

Typical use: ``prepare("mnist", "resources/data/mnist")`` once, then ``load("resources/data/mnist")`` in every
job. ImageNet's folders are read in place by `open_folders`, or scaled down and converted as ``imagenet64``.
"""

from nonideal.data.catalogue import SPECS
from nonideal.data.errors import DataError
from nonideal.data.folders import ImageFolders, open_folders
from nonideal.data.sources import ROOT_VARIABLE, Source, cache_folder, data_root, download, layouts, locate
from nonideal.data.splits import Dataset, hold_out, stratified_choice, subset
from nonideal.data.store import extent, load, prepare, recorded_files

NAMES = tuple(SPECS)

__all__ = [
    "NAMES",
    "ROOT_VARIABLE",
    "DataError",
    "Dataset",
    "ImageFolders",
    "Source",
    "cache_folder",
    "data_root",
    "download",
    "extent",
    "hold_out",
    "layouts",
    "load",
    "locate",
    "open_folders",
    "prepare",
    "recorded_files",
    "stratified_choice",
    "subset",
]
