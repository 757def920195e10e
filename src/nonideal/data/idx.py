"""Read IDX files, the format of MNIST and EMNIST, plain or gzipped.

An IDX file is: two zero bytes, a type code (8: unsigned byte), the number of dimensions, each dimension as a
big-endian 32-bit integer, then the values in C order (http://yann.lecun.com/exdb/mnist/). A header may lie,
so nothing is allocated on its word alone.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nonideal.data.errors import DataError

UNSIGNED_BYTE = 8  # IDX type code
CHUNK = 1 << 20  # bytes read at a time
# The largest file of the MNIST family is EMNIST by class: 697,932 training images of 784 bytes, 0.55 GB.
MAX_VALUES = 1 << 30
REMEDY = "Replace the file by a fresh copy."


def read_idx(path: str | os.PathLike[str], item_shape: tuple[int, ...] = ()) -> np.ndarray:
    """Read unsigned bytes from an IDX file.

    Parameters
    ----------
    path
        The file; gzipped if its name ends in ``.gz``.
    item_shape
        Shape of one item: ``(28, 28)`` for images, ``()`` for labels.

    Returns
    -------
    numpy.ndarray
        uint8 array of shape ``[n, *item_shape]``, n at least 1.

    Raises
    ------
    DataError
        If the header, the length or the compression is not as it should be.
    """
    path = Path(path)
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                return _read(path, file, item_shape, length=None)
        with path.open("rb") as file:
            return _read(path, file, item_shape, length=path.stat().st_size)
    except (OSError, EOFError, zlib.error) as error:
        # gzip.BadGzipFile is an OSError, so this also covers a wrong checksum at the end.
        raise DataError(path, "a readable IDX file", f"{type(error).__name__}: {error}", REMEDY) from error


def _read(path: Path, file: BinaryIO, item_shape: tuple[int, ...], length: int | None) -> np.ndarray:
    dimensions = 1 + len(item_shape)
    start = 4 + 4 * dimensions
    header = file.read(start)
    magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if header[:4] != magic:
        raise DataError(path, f"IDX magic number {magic.hex()}", header[:4].hex() or "an empty file", REMEDY)
    if len(header) < start:
        raise DataError(path, f"a header of {start} bytes", f"{len(header)} bytes", REMEDY)
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if shape[1:] != item_shape:
        raise DataError(path, f"items of shape {item_shape}", str(shape[1:]), REMEDY)
    values = math.prod(shape)
    if not 0 < values <= MAX_VALUES:
        raise DataError(path, f"between 1 and {MAX_VALUES} values", f"a header announcing {values}", REMEDY)
    if length is not None and length != start + values:
        raise DataError(path, f"{start + values} bytes, by its header", f"{length} bytes", REMEDY)
    # Grows with what is really there: a gzipped file cannot be sized before it is unpacked. One byte more
    # than announced is asked for, which shows surplus data and makes gzip check its closing checksum.
    content = bytearray()
    while len(content) <= values and (piece := file.read(min(CHUNK, values + 1 - len(content)))):
        content += piece
    if len(content) != values:
        found = "more" if len(content) > values else f"only {len(content)}"
        raise DataError(path, f"{values} values, by its header", found, REMEDY)
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def idx_sha256(array: np.ndarray) -> str:
    """Hexadecimal SHA-256 of the IDX file that would hold a uint8 array of shape ``[n, ...]``.

    It identifies the content of a data set whatever way it was stored.
    """
    if array.dtype != np.uint8:
        raise TypeError(f"expected uint8 values, got {array.dtype}")
    header = bytes([0, 0, UNSIGNED_BYTE, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return hashlib.sha256(header + np.ascontiguousarray(array).tobytes()).hexdigest()
