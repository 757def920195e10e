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
from nonideal.mcu.convolutions import PIXELS, SIDE, TAPS, Convolutions
from nonideal.mcu.emulate import Emulator
from nonideal.mcu.export import Export
from nonideal.mcu.host import HostEngine
from nonideal.mcu.integer import INPUT_LARGEST, INPUT_LOWEST, IntegerNetwork

CYCLE_IMAGES = 100  # counting is a hundred times slower than running
SLIDE_IMAGES = 100  # whose accumulators of single convolutions are compared; features are for all
SPARSE = 0.15  # share of pixels that differ from the ground in sparse images


class MismatchError(RuntimeError):
    """Two implementations differ; the message says which, where and by how much."""


def adversarial_images(network: IntegerNetwork, *, seed: int, count: int = 50) -> np.ndarray:
    """Images that reach the bounds of the first layer's accumulators, and random ones.

    Parameters
    ----------
    network
        Its first layer decides the extreme images: two for each output (nine pairs for each filter), which
        drive it to its largest and to its smallest value.
    seed
        Of the random images.
    count
        Random images of each kind: dense, sparse, black and white.

    Returns
    -------
    numpy.ndarray
        int8 [n, inputs], values -128 .. 127.
    """
    convolutions = network.convolutions
    positive = network.layers[0].weights > 0 if convolutions is None else _periodic(convolutions)
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


def _periodic(convolutions: Convolutions) -> np.ndarray:
    """Where each first filter meets positive taps, repeated over the image from nine places: [n, 256].

    Repeated every three pixels, a pattern drives a ninth of the outputs to their bound, and the nine places
    drive every output there.
    """
    row, column = np.divmod(np.arange(PIXELS), SIDE)
    places = [(row + k // 3) % 3 * 3 + (column + k % 3) % 3 for k in range(TAPS)]
    positive = convolutions.weights[0] > 0  # [channels, 9]
    return np.concatenate([positive[:, place] for place in places])


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


def verify(
    export: Export,
    images: np.ndarray,
    *,
    engine: HostEngine,
    emulator: Emulator,
    emulated: np.ndarray | None = None,
) -> None:
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
    emulated
        Which images the firmware is given, indices [m]; None gives it all.

    Raises
    ------
    MismatchError
        If one value differs.
    """
    network, kernel = export.network, export.kernel
    wanted = network.accumulators(images)
    classes = wanted[-1].argmax(axis=1)  # as network.classify
    if network.convolutions is not None:
        _verify_convolutions(network, images, kernel, engine)
    hosted = engine.accumulators(network, images, kernel=kernel)
    for k, (found, expected) in enumerate(zip(hosted, wanted, strict=True), 1):
        compare(f"host C, {kernel} kernel, accumulators of layer {k}", found, expected)
    logits, decided = engine.infer(network, images, kernel=kernel)
    compare(f"host C, {kernel} kernel, logits", logits, wanted[-1])
    compare(f"host C, {kernel} kernel, classes", decided, classes)
    which = np.arange(len(images)) if emulated is None else emulated
    logits, decided = emulator.infer_all(images[which], network.sizes[-1])
    compare(f"firmware, {kernel} kernel, logits", logits, wanted[-1][which])
    compare(f"firmware, {kernel} kernel, classes", decided, classes[which])


def _verify_convolutions(
    network: IntegerNetwork, images: np.ndarray, kernel: str, engine: HostEngine
) -> None:
    convolutions = network.convolutions
    assert convolutions is not None
    found = engine.features(convolutions, images, kernel=kernel)
    compare(f"host C, {kernel} kernel, features", found, network.features(images))
    if kernel == "plain":
        layers = convolutions.accumulators(images[:SLIDE_IMAGES])
        planes = convolutions.inputs(images[:SLIDE_IMAGES], layers)
        for k, (plane, wanted) in enumerate(zip(planes, layers, strict=True)):
            for channel in range(convolutions.channels):
                found = engine.slide(plane[:, channel % plane.shape[1]], convolutions.weights[k, channel])
                what = f"host C, plain kernel, accumulators of convolution {k + 1}, channel {channel}"
                compare(what, found, wanted[:, channel])


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
    emulated_images: int | None = None,
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
    emulated_images
        Largest number of images, and of adversarial inputs, that the firmware is given, evenly spaced over
        all; None gives it all. Python and host C are compared on all of them in any case.

    Raises
    ------
    MismatchError
        If an implementation differs.
    """
    built = firmware(export, folder)
    emulator = Emulator(built.elf)
    everything = np.concatenate((images, adversarial_images(export.network, seed=seed)))
    adversarial = len(everything) - len(images)
    chosen = np.concatenate(
        (_spaced(len(images), emulated_images), len(images) + _spaced(adversarial, emulated_images))
    )
    verify(export, everything, engine=engine, emulator=emulator, emulated=chosen)
    count = cycles.count(emulator, images[:cycle_images])
    return Measurement(built, emulator.stack_used(), count, len(chosen))


def _spaced(count: int, limit: int | None) -> np.ndarray:
    """At most `limit` of the indices 0 .. count - 1, evenly spaced."""
    kept = count if limit is None else min(count, limit)
    return np.arange(kept) * count // max(1, kept)
