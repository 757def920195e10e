"""The scale of a run in words, for each track: what stands beside a value when it is compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
        "training": f"{training['dataset']}, {training['seeds']} seeds, {training['epochs']} epochs",
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
            f"{regularised['seeds']} seeds, {regularised['qat']['epochs']} epochs"
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
