"""Random layers, networks and inputs for the tests of this folder."""

import numpy as np

from nonideal.mcu.integer import IntegerLayer, IntegerNetwork
from nonideal.quantize.formats import FORMATS
from nonideal.rng import stream


def layer(name: str, outputs: int, inputs: int, seed: int = 0) -> IntegerLayer:
    levels = np.array(FORMATS[name].levels, np.int16)
    return IntegerLayer(name, stream(seed, name, outputs, inputs).choice(levels, (outputs, inputs)))


def network(name: str, *sizes: int, seed: int = 0) -> IntegerNetwork:
    pairs = zip(sizes[1:], sizes, strict=False)
    return IntegerNetwork(tuple(layer(name, o, i, seed + k) for k, (o, i) in enumerate(pairs)))


def extremes(layer: IntegerLayer, lowest: int, highest: int) -> np.ndarray:
    """Inputs that drive each output to its largest and to its smallest accumulator, [2 * outputs, inputs]."""
    positive = layer.weights > 0
    top = np.where(positive, highest, lowest)
    return np.concatenate((top, np.where(positive, lowest, highest))).astype(np.int8)


def images(pixels: int, count: int = 24, seed: int = 0, lowest: int = -128) -> np.ndarray:
    """Random, sparse, constant and two-valued inputs."""
    generator = stream(seed, "images", pixels, lowest)
    x = generator.integers(lowest, 128, (count, pixels)).astype(np.int8)
    sparse = np.where(generator.random(x.shape) < 0.15, x, max(lowest, -19))
    values = np.unique([lowest, 0, 1, 85, 127]).astype(np.int8)  # 85 = 0b1010101, the most signed digits
    constant = np.repeat(values[:, None], pixels, axis=1)
    return np.concatenate((x, sparse, constant, generator.choice([lowest, 127], x.shape))).astype(np.int8)
