"""Verification and measurement: Python integers, host C and emulated firmware on the same images.

Nothing here has run on a real board: the firmware's results and its modelled cycles come from an emulator.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nonideal import rng
from nonideal.mcu import cycles
from nonideal.mcu.build import Firmware, firmware
from nonideal.mcu.emulate import Emulator
from nonideal.mcu.export import Export
from nonideal.mcu.host import HostEngine
from nonideal.mcu.integer import INPUT_LARGEST, INPUT_LOWEST, IntegerNetwork

CYCLE_IMAGES = 100  # counting is a hundred times slower than running
SPARSE = 0.15  # share of pixels that differ from the ground in sparse images


class MismatchError(RuntimeError):
    """Two implementations differ; the message says which, where and by how much."""


def adversarial_images(network: IntegerNetwork, *, seed: int, count: int = 50) -> np.ndarray:
    """Images that reach the bounds of the first layer's accumulators, and random ones.

    Parameters
    ----------
    network
        Its first layer decides the extreme images: two for each output, which drive it to its largest and
        to its smallest value.
    seed
        Of the random images.
    count
        Random images of each kind: dense, sparse, black and white.

    Returns
    -------
    numpy.ndarray
        int8 [n, inputs], values -128 .. 127.
    """
    positive = network.layers[0].weights > 0
    generator = rng.stream(seed, "mcu", "adversarial")
    shape = (count, network.sizes[0])
    dense = generator.integers(INPUT_LOWEST, INPUT_LARGEST + 1, shape)
    ground = generator.integers(INPUT_LOWEST, INPUT_LARGEST + 1, (count, 1))
    values = np.arange(INPUT_LOWEST, INPUT_LARGEST + 1)
    parts = (
        np.where(positive, INPUT_LARGEST, INPUT_LOWEST),
        np.where(positive, INPUT_LOWEST, INPUT_LARGEST),
        dense,
        np.where(generator.random(shape) < SPARSE, dense, ground),
        generator.choice([INPUT_LOWEST, INPUT_LARGEST], shape),
        np.repeat(values[:, None], shape[1], axis=1),
    )
    return np.concatenate(parts).astype(np.int8)


def compare(what: str, found: np.ndarray, wanted: np.ndarray) -> None:
    """Require equal values, image by image.

    Raises
    ------
    MismatchError
        If any differs; the message counts images and shows the first.
    """
    differ = (found != wanted).reshape(len(wanted), -1)
    if differ.any():
        images = differ.any(axis=1)
        first = int(images.argmax())
        raise MismatchError(
            f"{what}: {int(images.sum())} of {len(images)} images differ from the Python integers; "
            f"image {first}: found {found[first].tolist()}, expected {wanted[first].tolist()}"
        )


def verify(export: Export, images: np.ndarray, *, engine: HostEngine, emulator: Emulator) -> None:
    """Require that host C and firmware give the Python integers: accumulators, logits and classes.

    Parameters
    ----------
    export
        Network and kernel.
    images
        int8 [n, inputs].
    engine
        C on this computer; every layer's accumulators are compared.
    emulator
        Firmware of the same export; logits and classes are compared.

    Raises
    ------
    MismatchError
        If one value differs.
    """
    network, kernel = export.network, export.kernel
    wanted, classes = network.accumulators(images), network.classify(images)
    hosted = engine.accumulators(network, images, kernel=kernel)
    for k, (found, expected) in enumerate(zip(hosted, wanted, strict=True), 1):
        compare(f"host C, {kernel} kernel, accumulators of layer {k}", found, expected)
    logits, decided = engine.infer(network, images, kernel=kernel)
    compare(f"host C, {kernel} kernel, logits", logits, wanted[-1])
    compare(f"host C, {kernel} kernel, classes", decided, classes)
    logits, decided = emulator.infer_all(images, network.sizes[-1])
    compare(f"firmware, {kernel} kernel, logits", logits, wanted[-1])
    compare(f"firmware, {kernel} kernel, classes", decided, classes)


@dataclass(frozen=True)
class Measurement:
    """What one network costs with one kernel.

    Parameters
    ----------
    firmware
        Files and sizes.
    stack
        Bytes of stack that were used.
    count
        Instructions and modelled cycles per image.
    images
        Number of images on which all implementations agreed.
    """

    firmware: Firmware
    stack: int
    count: cycles.Count
    images: int

    def row(self, export: Export) -> dict[str, object]:
        """Row of table ``mcu_kernels``, without the names of data set and network."""
        return {
            "format": export.network.layers[0].weight_format,
            "kernel": export.kernel,
            "sizes": "-".join(map(str, export.network.sizes)),
            "weight_bytes": sum(packed.words.nbytes for packed in export.packed),
            "flash_bytes": self.firmware.flash,
            "ram_bytes": self.firmware.ram,
            "stack_bytes": self.stack,
            "cycles": self.count.total_cycles,
            "instructions": self.count.total_instructions,
            "cycle_images": self.count.images,
            "verified_images": self.images,
        }

    def classes(self, export: Export) -> pd.DataFrame:
        """Rows of table ``mcu_cycles``, without the name of the data set."""
        return pd.DataFrame(
            {
                "format": export.network.layers[0].weight_format,
                "kernel": export.kernel,
                "instruction_class": list(cycles.CLASSES),
                "instructions": [self.count.instructions[name] for name in cycles.CLASSES],
                "cycles": [self.count.cycles[name] for name in cycles.CLASSES],
            }
        )


def measure(
    export: Export,
    images: np.ndarray,
    folder: str | os.PathLike[str],
    *,
    engine: HostEngine,
    seed: int,
    cycle_images: int = CYCLE_IMAGES,
) -> Measurement:
    """Build the firmware, verify it on images and adversarial inputs, and count its cycles.

    Parameters
    ----------
    export
        Network and kernel.
    images
        int8 [n, inputs]; cycles are counted on the first of them.
    folder
        For the built files.
    engine
        C on this computer.
    seed
        Of the random images.
    cycle_images
        Number of images for counting.

    Raises
    ------
    MismatchError
        If an implementation differs.
    """
    built = firmware(export, folder)
    emulator = Emulator(built.elf)
    everything = np.concatenate((images, adversarial_images(export.network, seed=seed)))
    verify(export, everything, engine=engine, emulator=emulator)
    count = cycles.count(emulator, images[:cycle_images])
    return Measurement(built, emulator.stack_used(), count, len(everything))
