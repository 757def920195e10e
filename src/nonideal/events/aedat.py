"""AEDAT 2.0 files of a DVS128 camera, as in CIFAR10-DVS.

A text header of lines starting with ``#``, the first ``#!AER-DAT2.0``, then eight bytes an event, big-endian:
an address and the time in microseconds. Of the address, bits 14 to 8 are the row and bits 7 to 1 the column,
both counted from the far corner, and bit 0 is the polarity (0: brighter). CIFAR10-DVS is read with rows and
columns exchanged, as by its published scripts and by SpikingJelly, so that the pictures stand upright
(Li et al., "CIFAR10-DVS: an event-stream dataset for object classification", Frontiers in Neuroscience
11:309, 2017).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nonideal.data.errors import DataError
from nonideal.events.recording import Recording, first_fault
from nonideal.files import atomic

BYTES = 8  # an event
SIZE = 128  # rows and columns of the sensor
MAGIC = b"#!AER-DAT2.0"
USED = 0x7FFF  # bits of the address that a pixel's event uses
REMEDY = "The file is damaged or of another camera; get it again."


def _header(path: str | os.PathLike[str], content: bytes) -> int:
    """Length of the header in bytes."""
    if not content.startswith(MAGIC):
        raise DataError(path, f"{MAGIC.decode()} at byte 0", repr(content[: len(MAGIC)]), REMEDY)
    start = 0
    while content[start : start + 1] == b"#":
        end = content.find(b"\n", start)
        if end < 0:
            raise DataError(path, "a line end in the header", f"none after byte {start}", REMEDY)
        start = end + 1
    return start


def read(path: str | os.PathLike[str]) -> Recording:
    """Read one file.

    Raises
    ------
    DataError
        If the header is missing, the file ends within an event or holds none, an event is not one of a pixel,
        or time falls; the message names the byte where the faulty event begins.
    """
    content = Path(path).read_bytes()
    start = _header(path, content)
    count, rest = divmod(len(content) - start, BYTES)
    if rest or not count:
        found = f"{rest} of {BYTES} bytes at byte {start + count * BYTES}" if rest else "no event"
        raise DataError(path, "whole events after the header", found, REMEDY)
    table = np.frombuffer(content, ">u4", offset=start).reshape(-1, 2).astype(np.int64)
    address, t = table[:, 0], table[:, 1]
    special = address > USED
    if special.any():
        index = int(special.argmax())
        found = f"{address[index]:#010x} at byte {start + index * BYTES}"
        raise DataError(path, f"an address up to {USED:#06x}", found, REMEDY)
    x, y = SIZE - 1 - (address >> 8), SIZE - 1 - (address >> 1 & (SIZE - 1))
    if (fault := first_fault(x, y, t, SIZE, SIZE)) is not None:
        index, expected, found = fault
        raise DataError(path, expected, f"{found} in the event at byte {start + index * BYTES}", REMEDY)
    return Recording(x.astype(np.int16), y.astype(np.int16), t, address & 1 == 0, SIZE, SIZE)


def write(path: str | os.PathLike[str], recording: Recording) -> None:
    """Write a recording.

    Raises
    ------
    ValueError
        If the sensor is larger than 128 x 128, a time does not fit 32 bits, or there is no event.
    """
    if not len(recording) or max(recording.width, recording.height) > SIZE or recording.t[-1] >= 2**32:
        raise ValueError(
            f"{path}: the format holds at least one event of {SIZE} x {SIZE} pixels below 2^32 us, got "
            f"{len(recording)} of {recording.width} x {recording.height}"
        )
    x, y = recording.x.astype(np.int64), recording.y.astype(np.int64)
    address = (SIZE - 1 - x) << 8 | (SIZE - 1 - y) << 1 | ~recording.on
    table = np.stack((address, recording.t), axis=1).astype(">u4")
    with atomic(path) as temporary:
        temporary.write_bytes(MAGIC + b"\r\n# written by nonideal\r\n" + table.tobytes())
