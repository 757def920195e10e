"""Binary files of the ATIS sensor, as in N-MNIST and N-Caltech101: five bytes an event.

Byte 0 is x, byte 1 is y, then 24 bits big-endian: bit 23 is the polarity (1: brighter), bits 22 to 0 are the
time in microseconds (Orchard et al., "Converting static image datasets to spiking neuromorphic datasets
using saccades", Frontiers in Neuroscience 9:437, 2015). In long recordings an event with y = 240, below the
sensor's last row, is no event of a pixel: it says that the sensor's clock ran over, and the
times from there on are 2^13 us later.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nonideal.data.errors import DataError
from nonideal.events.recording import Recording, first_fault
from nonideal.files import atomic

BYTES = 5  # an event
ON = 1 << 23  # polarity bit of the 24-bit word
OVERFLOW_ROW = 240  # y of a clock overflow
OVERFLOW_US = 2**13  # time it stands for
LAST_US = ON - 1  # largest time a word holds
LONGEST_US = 2**32  # beyond, a file would be overflows for the most part
REMEDY = "The file is damaged or of another sensor; get it again."


def read(path: str | os.PathLike[str], *, width: int, height: int, overflows: bool = False) -> Recording:
    """Read one file.

    Parameters
    ----------
    path
        File.
    width, height
        Size of the sensor, or of the part of it that the data set uses, in pixels.
    overflows
        Whether events of row 240 stand for overflows of the clock (N-Caltech101). If not, they are faults:
        nothing in N-MNIST lasts long enough for the clock to run over.

    Raises
    ------
    DataError
        If the file ends within an event, holds none, has a pixel outside the sensor, or time falls; the
        message names the byte where the faulty event begins.
    """
    raw = np.frombuffer(Path(path).read_bytes(), np.uint8)
    if len(raw) % BYTES or not len(raw):
        whole = len(raw) // BYTES * BYTES
        found = f"{len(raw)} bytes: the event at byte {whole} is cut off" if len(raw) else "an empty file"
        raise DataError(path, f"whole events of {BYTES} bytes", found, REMEDY)
    table = raw.reshape(-1, BYTES).astype(np.int64)
    x, y = table[:, 0], table[:, 1]
    word = table[:, 2] << 16 | table[:, 3] << 8 | table[:, 4]
    overflow = (y == OVERFLOW_ROW) & overflows
    t = (word & LAST_US) + OVERFLOW_US * np.cumsum(overflow)
    kept = np.flatnonzero(~overflow)
    if not len(kept):
        raise DataError(path, "an event of a pixel", f"{len(table)} clock overflows only", REMEDY)
    x, y, t, on = x[kept], y[kept], t[kept], word[kept] >= ON
    if (fault := first_fault(x, y, t, width, height)) is not None:
        index, expected, found = fault
        raise DataError(path, expected, f"{found} in the event at byte {kept[index] * BYTES}", REMEDY)
    return Recording(x.astype(np.int16), y.astype(np.int16), t, on, width, height)


def write(path: str | os.PathLike[str], recording: Recording) -> None:
    """Write a recording, with clock overflows where its times need them.

    Raises
    ------
    ValueError
        If there is no event, a column or row does not fit the format, or a time is 2^32 us or later.
    """
    if not len(recording):
        raise ValueError(f"{path}: a recording without events cannot be written")
    if recording.x.max() > 255 or recording.y.max() >= OVERFLOW_ROW:
        raise ValueError(f"{path}: the format holds x up to 255 and y up to {OVERFLOW_ROW - 1}")
    if recording.t[-1] >= LONGEST_US:
        raise ValueError(
            f"{path}: the format holds times below {LONGEST_US} us, got {recording.t[-1]}; subtract the first"
        )
    # Overflows that must have come before each event, and how many to insert in front of it.
    needed = np.maximum(0, -(-(recording.t - LAST_US) // OVERFLOW_US))
    before = np.diff(needed, prepend=0)
    position = np.arange(len(recording)) + needed
    table = np.zeros((len(recording) + int(before.sum()), BYTES), np.uint8)
    table[:, 1] = OVERFLOW_ROW
    word = recording.t - needed * OVERFLOW_US | np.where(recording.on, ON, 0)
    columns = (recording.x, recording.y, word >> 16, word >> 8 & 255, word & 255)
    table[position] = np.stack(columns, axis=1).astype(np.uint8)
    with atomic(path) as temporary:
        temporary.write_bytes(table.tobytes())
