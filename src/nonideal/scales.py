"""The scale of a run in words, for each track: what stands beside a value when it is compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Names of data sets and networks in descriptions of scale, without hyphens, blanks and underscores in them;
# widths of layers and rows of an array.
NAMES = re.compile(
    r"\b(digits|mnist|emnist\w*|nmnist|cifar10(?:dvs)?|ncaltech101|imagenet(?:64)?|synthetic|resnet\d+|vgg\d+"
    r"|densenet\d+|\d+(?:/\d+)+|\d+ rows)\b"
)
UNKNOWN = re.compile(r"\b(network|design) not stated")


def same(ours: str, published: str) -> bool:
    """Whether the published scale leaves no network open, and all it names is ours.

    Named are data sets, networks, widths of layers ("64/64/64") and rows of an array ("N = 128").
    """
    return not UNKNOWN.search(published) and _names(published) <= _names(ours)


def _names(scale: str) -> set[str]:
    joined = re.sub(r"_|(?<=\w)-(?=mnist|caltech|dvs)", "", scale.lower())
    joined = re.sub(r"\bn = (\d+)", r"\1 rows", joined)
    joined = re.sub(r"(cifar|caltech|resnet|densenet|vgg)[- ](?=\d)", r"\1", joined)  # not "MNIST 16x16"
    return set(NAMES.findall(joined))


def describe(config: Mapping[str, Any]) -> dict[str, str]:
    """Scale of each track by its name in the list of published values.

    Parameters
    ----------
    config
        Configuration of a run, whole.
    """
    crossbar, training, cnn = config["crossbar"], config["training"], config["cnn"]
    networks, chips = config["networks"], config["networks"]["deployment"]
    regularised, spiking, events = config["regularised"], config["spiking"], config["spiking"]["events"]
    return {
        "crossbar": f"{crossbar['trials']} trials, {crossbar['rows']} rows",
        "training": (
            f"{training['dataset']}, widths {'/'.join(map(str, training['widths']))}, "
            f"{training['seeds']} seeds, {training['epochs']} epochs"
        ),
        "microcontroller": (
            f"{training['dataset']}, one network a format, emulated; "
            f"cnn: {cnn['dataset']}, {cnn['seeds']} seeds, {cnn['epochs']} epochs"
        ),
        "pcm_networks": (
            f"{networks['dataset']}, {networks['architecture']}, "
            f"{chips['chips']} chips, {chips['images']} images"
        ),
        "regularised": (
            f"{regularised['dataset']}, {regularised['model']} of width {regularised['width']}, "
            f"{regularised['seeds']} seeds, {_epochs(regularised)} epochs"
        ),
        "spiking": (
            f"{spiking['dataset']}, {spiking['seeds']} seeds, "
            f"{spiking['float']['epochs']} + {spiking['qat']['epochs']} epochs; "
            f"{events['source']} events, {events['folds']} folds, {events['epochs']} epochs"
        ),
        "fpga": (
            f"{spiking['dataset']}, first layer of the trained network, {config['fpga']['images']} images"
        ),
    }


def _epochs(regularised: Mapping[str, Any]) -> str:
    """Epochs after the float network's, those of faults and variability too where they differ."""
    counts = {regularised[study]["epochs"] for study in ("qat", "faults", "variability")}
    return " or ".join(map(str, sorted(counts)))
