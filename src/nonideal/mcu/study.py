"""One trained format on the microcontroller: exported, built, verified and counted, with both kernels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from nonideal import recipe
from nonideal.mcu import build, host
from nonideal.mcu.export import Export, export
from nonideal.mcu.integer import IntegerNetwork, from_model, quantise_images
from nonideal.mcu.packing import LAYOUTS
from nonideal.mcu.verify import Measurement, measure

REPETITION = 0  # of the trained networks: one program a format


def run_format(
    config: Mapping[str, Any],
    weight_format: str,
    networks: Mapping[int, Mapping[str, torch.Tensor]],
    data: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put a trained network on the emulated CH32V003 and verify it on every test image.

    Parameters
    ----------
    config
        Section ``training`` of the configuration the networks were trained with.
    weight_format
        Their format.
    networks
        States by repetition, from `nonideal.tensorfile.load_networks`; the first is used.
    data
        Folder of a prepared data set.
    folder
        For ``plain/`` and ``fast/``, each with ``model.h``, ``model.npz``, ``model.json`` and
        ``firmware.elf``, ``.bin``, ``.hex`` and ``.txt`` (sizes), and for ``board/`` with the same files of
        the program for a real board, which prints on its serial port, of the plain kernel where that of
        the fast one does not fit.
    seed
        Of the random images verified besides the test set.

    Returns
    -------
    kernels, cycles : pandas.DataFrame
        Rows of tables ``mcu_kernels`` and ``mcu_cycles``.

    Raises
    ------
    nonideal.mcu.verify.MismatchError
        If Python, host C and emulated firmware differ in one value.
    ValueError
        If the network does not fit the engine or the target; the message names layer and limit.
    """
    examples, _ = recipe.tensors(data)
    network = from_model(recipe.restore(config, weight_format, networks[REPETITION]))
    images = quantise_images(examples.test_images)
    accuracy = float((network.classify(images) == examples.test_labels.numpy()).mean())
    engine = host.HostEngine(build.host_library(Path(folder) / "host"))
    kernels, cycles, exports = [], [], {}
    for made, measured in verified(network, images, folder, name=weight_format, engine=engine, seed=seed):
        named = {"dataset": config["dataset"]}
        kernels.append(named | {"test_accuracy": accuracy} | measured.row(made))
        cycles.append(measured.classes(made).assign(**named))
        exports[made.kernel] = made
    board_program(exports, Path(folder) / "board")
    return pd.DataFrame(kernels), pd.concat(cycles, ignore_index=True)


def board_program(exports: Mapping[str, Export], folder: str | os.PathLike[str]) -> build.Firmware:
    """Build the program for a real board, which takes more flash than the one for the emulator.

    Parameters
    ----------
    exports
        Export of the network by kernel.
    folder
        As `nonideal.mcu.build.firmware`.

    Returns
    -------
    nonideal.mcu.build.Firmware
        Of the fast kernel, or of the plain one if that program does not fit.

    Raises
    ------
    nonideal.mcu.build.BuildError
        If neither can be built; the message is that of the plain kernel.
    """
    try:
        return build.firmware(exports["fast"], folder, board=True)
    except build.BuildError:
        print("board: the fast kernel's program does not fit, building the plain one's", flush=True)
        return build.firmware(exports["plain"], folder, board=True)


def verified(
    network: IntegerNetwork,
    images: np.ndarray,
    folder: str | os.PathLike[str],
    *,
    name: str,
    engine: host.HostEngine,
    seed: int,
    counts: Mapping[str, Mapping[str, int]] | None = None,
) -> Iterator[tuple[Export, Measurement]]:
    """Export a network for one kernel after the other, build it, and verify and count it.

    Parameters
    ----------
    network
        Integers.
    images
        int8 [n, inputs].
    folder
        For a folder of each kernel, with the export and the firmware.
    name
        Of the network, in the log.
    engine, seed
        As `nonideal.mcu.verify.measure`.
    counts
        Numbers of images, by kernel and by their names there; its own where none are given.

    Yields
    ------
    tuple
        The export and what was measured.

    Raises
    ------
    nonideal.mcu.verify.MismatchError
        If Python, host C and emulated firmware differ in one value.
    """
    for kernel in LAYOUTS:
        print(f"{name}, {kernel} kernel: building, verifying {len(images)} images", flush=True)
        made = export(network, images, kernel=kernel)
        made.write(Path(folder) / kernel)
        few = (counts or {}).get(kernel, {})
        yield made, measure(made, images, Path(folder) / kernel, engine=engine, seed=seed, **few)
