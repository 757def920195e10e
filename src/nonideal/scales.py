"""The scale of a run in words, for each study: what stands beside a value when it is compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Names of data sets and networks in descriptions of scale, without hyphens, blanks and underscores in them;
# widths of hidden layers, rows of an array, whether the training images were augmented, and whether the inner
# loop of a program was counted alone.
NAMES = re.compile(
    r"\b(digits|mnist|emnist\w*|nmnist|cifar10(?:dvs)?|ncaltech101|imagenet(?:64)?|synthetic|resnet\d+|vgg\d+"
    r"|densenet\d+|\d+layer cnn|widths [\d/]+|\d+ rows|(?:un)?augmented|inner loop)\b"
)
LAYERS = re.compile(r"\b\d+-((?:\d+-)+)\d+\b")  # inputs, hidden layers and outputs of a dense network
UNKNOWN = re.compile(r"\b(network|design|mapping|slices|format)\b(, \w+)*( and \w+)? not stated")


def same(ours: str, published: str) -> bool:
    """Whether the published scale leaves nothing essential open, and all it names is ours.

    Essential are network, design, mapping, slices and format. Named are data sets, networks, widths of hidden
    layers ("widths 64/64/64" or, with inputs and outputs, "256-64-64-64-10"), rows of an array ("N = 128"),
    "augmented" or "not augmented", and "inner loop".
    """
    return not UNKNOWN.search(published) and _names(published) <= _names(ours)


def _names(scale: str) -> set[str]:
    joined = re.sub(r"_|(?<=\w)-(?=mnist|caltech|dvs)", "", scale.lower())
    joined = joined.replace("-layer", "layer").replace("not augmented", "unaugmented")
    joined = LAYERS.sub(lambda found: "widths " + found[1].rstrip("-").replace("-", "/"), joined)
    joined = re.sub(r"\bn = (\d+)", r"\1 rows", joined)
    joined = re.sub(r"(cifar|caltech|resnet|densenet|vgg)[- ](?=\d)", r"\1", joined)  # not "MNIST 16x16"
    return set(NAMES.findall(joined))


def of(table: str, scale: Mapping[str, str]) -> str:
    """Scale that belongs to a table of results: that named by its path, or by the folder it lies in."""
    return scale.get(table, scale.get(table.split("/")[0], ""))


def describe(config: Mapping[str, Any]) -> dict[str, str]:
    """Scale of each study, by the folder of its results; of a table that differs from it, by its path.

    Parameters
    ----------
    config
        Configuration of a run, whole.
    """
    crossbar, training, cnn = config["crossbar"], config["training"], config["cnn"]
    networks, chips = config["networks"], config["networks"]["deployment"]
    regularised, spiking, events = config["regularised"], config["spiking"], config["spiking"]["events"]
    capacity, scan = config["capacity"], config["quantscale"]
    dense = _widths(training["widths"])
    # The hidden layers of every format on the microcontroller.
    sizes = [training["widths"], *config["firmware"]["widths"].values()]
    programs = sorted(set(map(_widths, sizes)))
    return {
        "crossbar": f"{crossbar['trials']} trials, {crossbar['rows']} rows",
        "training": f"{training['dataset']}, {dense}, {_copies(training)}",
        "capacity": (
            f"{training['dataset']}, all layers of width {' or '.join(map(str, capacity['widths']))}, "
            f"{_copies(training | capacity)}"
        ),
        "quantscale": f"{training['dataset']}, {dense}, {_copies(training | scan)}",
        "firmware": f"{training['dataset']}, {' or '.join(programs)}, one network a format, emulated",
        "cnn": f"{cnn['dataset']}, convolutions, {_copies(cnn)}",
        "networks": (
            f"{networks['dataset']}, {networks['architecture']}, "
            f"{chips['chips']} chips, {chips['images']} images"
        ),
        "regularised": (
            f"{regularised['dataset']}, {regularised['model']} of width {regularised['width']}, "
            f"{regularised['seeds']} seeds, {_epochs(regularised)} epochs"
        ),
        "spiking": (
            f"{spiking['dataset']}, {_widths(spiking['widths'])}, {spiking['seeds']} seeds, "
            f"{spiking['float']['epochs']} + {spiking['qat']['epochs']} epochs"
        ),
        "spiking/events_summary.parquet": (
            f"{events['source']} events, {events['folds']} folds, {events['epochs']} epochs"
        ),
        "fpga": (
            f"{spiking['dataset']}, first layer of the trained network, {config['fpga']['images']} images"
        ),
    }


def _widths(widths: Sequence[int]) -> str:
    """Hidden layers of a dense network."""
    return f"widths {'/'.join(map(str, widths))}"


def _copies(training: Mapping[str, Any]) -> str:
    """Seeds, epochs and augmentation of dense networks."""
    augmented = "augmented" if training["augmented_copies"] else "not augmented"
    return f"{training['seeds']} seeds, {training['epochs']} epochs, {augmented}"


def _epochs(regularised: Mapping[str, Any]) -> str:
    """Epochs after the float network's, those of faults and variability too where they differ."""
    counts = {regularised[study]["epochs"] for study in ("qat", "faults", "variability")}
    return " or ".join(map(str, sorted(counts)))
