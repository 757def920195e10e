"""Weights as the engine's kernels read them: codes of a format packed into 32-bit words.

Two layouts exist, one per kernel: ``plain`` holds a row of inputs for each output, ``fast`` a row of outputs
for each input. Words are little-endian; code k of a word with b-bit codes is (word >> (k * b)) & (2^b - 1).
The plain layout of ternary holds five trits a byte (see `_trit_bytes`). What a code means is in `CODES`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nonideal.mcu.fit import FAST_BITS, LAYOUTS, TRITS, WORD_BITS
from nonideal.quantize.formats import FORMATS


def stored_bits(weight_format: str, layout: str) -> float:
    """Bits a weight occupies where rows fill words exactly."""
    dense = layout == "plain" and weight_format == "ternary"
    return 8 / TRITS if dense else FAST_BITS[weight_format]


def _sign_magnitude(levels: tuple[int, ...], magnitude: dict[int, int], bits: int) -> list[int]:
    """Codes with the sign in the top bit."""
    return [(level < 0) << (bits - 1) | magnitude[abs(level)] for level in levels]


def _codes(layout: str, name: str) -> np.ndarray:
    """Stored code of each level, in ascending order of levels."""
    levels = FORMATS[name].levels
    if name == "fp130":
        return np.array(_sign_magnitude(levels, {2**e: e for e in range(8)}, 4), np.uint32)
    if layout == "plain" and name in ("2bitsym", "4bitsym"):
        bits = FAST_BITS[name]
        return np.array(_sign_magnitude(levels, {2 * k + 1: k for k in range(8)}, bits), np.uint32)
    if layout == "plain" and name in ("4bit", "8bit"):
        return np.array([level % len(levels) for level in levels], np.uint32)
    return np.arange(len(levels), dtype=np.uint32)


# Stored code of each level in ascending order: linear codes count levels in the fast layout; plain kernels
# read sign and magnitude (2bitsym, 4bitsym) or two's complement (4bit, 8bit); fp130 is sign and exponent in
# both, nf4 the index of the level.
CODES = {(layout, name): _codes(layout, name) for layout in LAYOUTS for name in FORMATS}


@dataclass(frozen=True)
class Packed:
    """Packed weights of a layer.

    Parameters
    ----------
    words
        uint32 [m].
    stride
        Distance of two rows in words.
    """

    words: np.ndarray
    stride: int


def _rows_to_words(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes [rows, k] to words [rows, ceil(k * bits / 32)]; the last word is filled with zeros."""
    per_word = WORD_BITS // bits
    padded = np.pad(codes.astype(np.uint32), ((0, 0), (0, -codes.shape[1] % per_word)))
    shifts = (np.arange(per_word, dtype=np.uint32) * bits).astype(np.uint32)
    return np.bitwise_or.reduce(padded.reshape(len(codes), -1, per_word) << shifts, axis=2)


def _trit_bytes(trits: np.ndarray) -> np.ndarray:
    """Trits [rows, k] to bytes [rows, ceil(k / 5)].

    The first trit is the most significant; the byte is the number n < 243 they make as a fraction of 256,
    ceil(256 n / 243), so that each multiplication by three carries the next trit out of the byte.
    """
    padded = np.pad(trits.astype(np.uint32), ((0, 0), (0, -trits.shape[1] % TRITS)))
    number = padded.reshape(len(trits), -1, TRITS) @ (3 ** np.arange(TRITS)[::-1]).astype(np.uint32)
    return (-(-256 * number.astype(np.int64) // 3**TRITS)).astype(np.uint8)


def pack(weights: np.ndarray, weight_format: str, layout: str) -> Packed:
    """Pack levels int16 [outputs, inputs].

    Raises
    ------
    ValueError
        If the layout is unknown.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r} is not known; layouts are {', '.join(LAYOUTS)}")
    index = np.searchsorted(FORMATS[weight_format].levels, weights)
    codes = CODES[layout, weight_format][index]
    rows = codes if layout == "plain" else codes.T
    if weight_format == "ternary" and layout == "plain":
        data = _trit_bytes(rows)
        words = np.pad(data, ((0, 0), (0, -data.shape[1] % 4))).view("<u4").astype(np.uint32)
    else:
        words = _rows_to_words(rows, FAST_BITS[weight_format])
    return Packed(words.reshape(-1), words.shape[1])


def unpack(packed: Packed, weight_format: str, layout: str, outputs: int, inputs: int) -> np.ndarray:
    """Levels int16 [outputs, inputs] of packed weights; the inverse of `pack`."""
    rows, columns = (outputs, inputs) if layout == "plain" else (inputs, outputs)
    if weight_format == "ternary" and layout == "plain":
        codes = _bytes_to_trits(packed.words.astype("<u4").view(np.uint8).reshape(rows, -1))
    else:
        bits = FAST_BITS[weight_format]
        shifts = np.arange(0, WORD_BITS, bits, dtype=np.uint32)
        fields = packed.words.reshape(rows, packed.stride, 1) >> shifts
        codes = (fields & np.uint32(2**bits - 1)).reshape(rows, -1)
    table = CODES[layout, weight_format]
    order = np.argsort(table)
    levels = np.array(FORMATS[weight_format].levels, np.int16)
    result = levels[order[np.searchsorted(table[order], codes[:, :columns])]]
    return np.ascontiguousarray(result if layout == "plain" else result.T)


def _bytes_to_trits(data: np.ndarray) -> np.ndarray:
    fraction = data.astype(np.uint32)
    trits = []
    for _ in range(TRITS):
        fraction = fraction * 3
        trits.append(fraction >> 8)
        fraction &= 255
    return np.stack(trits, axis=2).reshape(len(data), -1)
