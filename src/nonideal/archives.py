"""Read ``.npz`` archives that others may have written: nothing is executed or allocated on trust."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

KINDS = "biufU"  # booleans, numbers, text


class ArchiveError(ValueError):
    """An archive of arrays that is damaged or lies about its content."""


def read_npz(path: str | os.PathLike[str], keys: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Read arrays from an archive written by `numpy.savez`.

    Parameters
    ----------
    path
        The archive; its members must be stored uncompressed, so that no array is larger than the file.
    keys
        Names of the arrays; all of them if None.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ArchiveError
        If the archive is damaged, lacks an array, holds objects, or an array's header announces another size
        than the member has.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                raise ArchiveError("members announce more bytes than the file has")
            wanted = list(members) if keys is None else list(keys)
            if missing := [key for key in wanted if key not in members]:
                raise ArchiveError(f"no array {missing[0]!r}")
            arrays = {}
            for key in wanted:
                if members[key].compress_type != zipfile.ZIP_STORED:
                    raise ArchiveError(f"member {key!r} is compressed")
                with archive.open(members[key]) as stream:
                    arrays[key] = _read(stream, key, members[key].file_size)
            return arrays
    except FileNotFoundError:
        raise
    except ArchiveError as error:
        raise ArchiveError(f"{path}: {error}") from None
    except Exception as error:  # damaged archives and headers raise many kinds: BadZipFile, struct.error ...
        raise ArchiveError(f"{path}: no archive of arrays ({type(error).__name__}: {error})") from error


def _read(stream: BinaryIO, key: str, size: int) -> np.ndarray:
    """Read one array; its header is believed only if it fits the member's size."""
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ArchiveError(f"array {key!r} has version {version}")
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = header(stream)
    if dtype.kind not in KINDS or dtype.itemsize == 0:
        raise ArchiveError(f"array {key!r} holds {dtype}, no numbers")
    start = stream.tell()
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != size - start:
        raise ArchiveError(f"array {key!r} of shape {shape} does not take {size - start} bytes")
    values = np.frombuffer(bytearray(stream.read()), dtype)  # reads to the end: the checksum is compared
    return values.reshape(shape, order="F" if fortran_order else "C")
