"""Integer definition of the CNN's convolutions, shared by Python, the C engine and the emulated firmware.

Every channel c of an int8 image x (16 x 16) passes three 3x3 filters w1, w2, w3 of 8-bit weights, without
padding and without crossing to other channels:

    y1 = w1 * x                   14 x 14      a1 = min(255, max(0, y1) >> s1)
    y2 = w2 * a1                  12 x 12      a2 = min(255, max(0, largest of each 2x2 of y2) >> s2)   6 x 6
    y3 = w3 * a2                   4 x 4       f  = max(0, largest of each 2x2 of y3) >> s3             2 x 2

where * is the sliding product (cross-correlation) and >> drops bits. The y are accumulators of 32 bits; the
shifts are the same for all channels and images. The features f, channel after channel, become the input of
the first fully connected layer through ShiftNorm (`nonideal.mcu.integer`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nonideal.quantize.formats import get_format

WEIGHT_FORMAT = "8bit"
LAYERS = 3
TAPS = 9  # of a 3x3 filter, row by row
SIDE = 16  # height and width of an image
PIXELS = SIDE**2
FEATURES = 4  # per channel
CEILING = 255  # largest activation between convolutions: the fast kernel sums two in a word
MAX_SHIFT = 31
CHUNK = 500  # images at once; bounds memory


@dataclass(frozen=True)
class Convolutions:
    """Filters of every channel.

    Parameters
    ----------
    weights
        int16 [3, channels, 9], levels of the format ``8bit``: layer, channel, tap row by row.
    shifts
        Bits dropped after each layer, 0 .. 31.
    scales
        Weight units per integer unit of each layer, for information.

    Raises
    ------
    ValueError
        If a weight is no level, or a shape or shift is not as described.
    """

    weights: np.ndarray
    shifts: tuple[int, int, int]
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        w, levels = self.weights, get_format(WEIGHT_FORMAT).levels
        if w.dtype != np.int16 or w.ndim != 3 or (w.shape[0], w.shape[2]) != (LAYERS, TAPS) or not w.size:
            raise ValueError(
                f"weights of convolutions must be int16 [3, channels, 9], got {w.dtype} {list(w.shape)}"
            )
        if w.min() < levels[0] or w.max() > levels[-1]:
            raise ValueError(
                f"weights of convolutions must be {levels[0]} .. {levels[-1]}, got {w.min()} .. {w.max()}"
            )
        if len(self.shifts) != LAYERS or any(not 0 <= shift <= MAX_SHIFT for shift in self.shifts):
            raise ValueError(f"convolutions need three shifts of 0 .. {MAX_SHIFT}, got {self.shifts}")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.weights.shape[1]

    def bounds(self, *, lowest: int, highest: int) -> tuple[tuple[int, int, int], int]:
        """Largest magnitudes that the accumulators of each layer can reach, and largest feature.

        Parameters
        ----------
        lowest, highest
            Range of the image's values.
        """
        result, low, high = [], lowest, np.full(self.channels, highest, np.int64)
        for weights, shift in zip(self.weights.astype(np.int64), self.shifts, strict=True):
            positive, negative = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
            top, bottom = positive * high + negative * low, negative * high + positive * low
            result.append(int(max(top.max(), -bottom.min())))
            largest = np.maximum(top, 0) >> shift
            low, high = 0, np.minimum(largest, CEILING)
        return (result[0], result[1], result[2]), int(largest.max())

    def accumulators(self, images: np.ndarray) -> list[np.ndarray]:
        """Accumulators of the three layers: int32 [n, channels, s, s] with s = 14, 12, 4.

        Parameters
        ----------
        images
            int8 [n, 256].

        Raises
        ------
        ValueError
            If the images are of another type or shape.
        """
        if images.dtype != np.int8 or images.ndim != 2 or images.shape[1] != PIXELS:
            raise ValueError(f"images must be int8 [n, {PIXELS}], got {images.dtype} {list(images.shape)}")
        parts = [self._accumulators(images[k : k + CHUNK]) for k in range(0, max(1, len(images)), CHUNK)]
        return [np.concatenate(layer) for layer in zip(*parts, strict=True)]

    def _accumulators(self, images: np.ndarray) -> list[np.ndarray]:
        results: list[np.ndarray] = []
        for weights in self.weights:
            results.append(_slide(self._input(images, results), weights))
        return results

    def _input(self, images: np.ndarray, before: list[np.ndarray]) -> np.ndarray:
        """Input of the next layer, int32 [n, channels or 1, s, s], from the accumulators of those before."""
        if not before:
            return images.reshape(-1, 1, SIDE, SIDE).astype(np.int32)
        last = before[-1] if len(before) == 1 else _pool(before[-1])
        return np.minimum(CEILING, np.maximum(last, 0) >> self.shifts[len(before) - 1])

    def inputs(self, images: np.ndarray, accumulators: list[np.ndarray]) -> list[np.ndarray]:
        """Inputs of the three layers, int32 [n, 1 or channels, s, s] with s = 16, 14, 6.

        Parameters
        ----------
        images
            int8 [n, 256].
        accumulators
            Of these images, from `accumulators`.
        """
        return [self._input(images, accumulators[:k]) for k in range(LAYERS)]

    def features(self, accumulators: np.ndarray) -> np.ndarray:
        """Features int32 [n, 4 * channels] from the accumulators of the third layer."""
        return (np.maximum(_pool(accumulators), 0) >> self.shifts[2]).reshape(len(accumulators), -1)


def _slide(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sliding products int32 [n, c, h - 2, w - 2] of x [n, c or 1, h, w] and weights [c, 9]."""
    height, width = x.shape[2] - 2, x.shape[3] - 2
    total = np.zeros((len(x), len(weights), height, width), np.int32)
    for tap in range(TAPS):
        row, column = divmod(tap, 3)
        part = x[:, :, row : row + height, column : column + width]
        total += weights[:, tap, None, None].astype(np.int32) * part
    return total


def _pool(y: np.ndarray) -> np.ndarray:
    """Largest value of each 2x2."""
    return np.maximum(
        np.maximum(y[:, :, ::2, ::2], y[:, :, ::2, 1::2]), np.maximum(y[:, :, 1::2, ::2], y[:, :, 1::2, 1::2])
    )
