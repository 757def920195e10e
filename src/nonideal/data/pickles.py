"""Read CIFAR-10's pickled batches without running what a pickle may contain.

A pickle is a program. Here it may build dictionaries, lists, numbers, text and bytes, and one kind of array;
every other global it names is refused, and even the arrays are stand-ins whose bytes are checked before NumPy
sees them.
"""

from __future__ import annotations

import hashlib
import io
import operator
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nonideal.data.catalogue import CIFAR10_MD5
from nonideal.data.errors import DataError

PIXELS = 3 * 32 * 32  # values of one image: red, green and blue planes of 32 x 32
MAX_BYTES = 64 << 20  # a genuine batch of 10,000 images has 31 MB
REMEDY = "Unpack cifar-10-python.tar.gz again, or use the parquet files."


class _Array:
    """Stand-in for an ndarray or a dtype: keeps what the pickle says about it, does nothing with it."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


# numpy.core became numpy._core in NumPy 2; pickles carry the name of the version that wrote them.
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}


def _refuse(reader: pickle._Unpickler) -> None:
    raise pickle.UnpicklingError("an operation that no batch needs")


class _Reader(pickle._Unpickler):  # the one in C allocates whatever size a damaged pickle asks for
    # Hashing a tuple of tuples that share their parts can take for ever, so nothing but text is hashed: sets
    # are refused, and so are keys that are no text. A byte array is allocated on the word of its header.
    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)
    for _code in (
        *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET, pickle.BYTEARRAY8),
        *(pickle.EXT1, pickle.EXT2, pickle.EXT4),  # registered classes, which bypass find_class
    ):
        dispatch[_code[0]] = _refuse

    def find_class(self, module: str, name: str) -> type[_Array]:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"a reference to {module}.{name}, which is not allowed")
        return _Array

    def load_dict(self) -> None:
        items = self.pop_mark()
        made: dict[str | bytes, Any] = {}
        self._set(made, zip(items[::2], items[1::2], strict=True))
        self.append(made)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(self.stack[-1], [(key, value)])

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self._set(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def _set(self, target: Any, items: Iterable[tuple[Any, Any]]) -> None:
        for key, value in items:
            if not isinstance(target, dict) or not isinstance(key, str | bytes):
                raise pickle.UnpicklingError("an entry that is not text in a dictionary")
            target[key] = value

    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems


def read_batch(
    path: str | os.PathLike[str], classes: int, *, accept_unknown: bool = False
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Read one batch of CIFAR-10.

    Parameters
    ----------
    path
        A file such as ``data_batch_1``.
    classes
        Number of classes; labels run from 0 to one less.
    accept_unknown
        Read a file whose MD5 is not the published one.

    Returns
    -------
    images
        uint8 array ``[n, 3, 32, 32]``.
    labels
        int64 array ``[n]``.
    verified
        Whether the file has its published MD5.

    Raises
    ------
    DataError
        If the checksum differs (and `accept_unknown` is false) or the content is not a batch.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(path, f"at most {MAX_BYTES} bytes", f"{size} bytes", REMEDY)
        content = path.read_bytes()
    except OSError as error:
        raise DataError(path, "a readable file", str(error), REMEDY) from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    published = CIFAR10_MD5.get(path.name)
    if found != published and not accept_unknown:
        remedy = f"{REMEDY} To read this file all the same, set accept_unknown."
        raise DataError(path, f"MD5 {published}", found, remedy)
    try:
        batch = _Reader(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything, e.g. IndexError or UnicodeDecodeError
        problem = f"{type(error).__name__}: {error}"
        raise DataError(path, "a pickled CIFAR-10 batch", problem, REMEDY) from error
    return _images(path, batch), _labels(path, batch, classes), found == published


def _entry(path: Path, batch: Any, key: str) -> Any:
    if not isinstance(batch, dict):
        raise DataError(path, "a pickled dictionary", type(batch).__name__, REMEDY)
    # Python 2 wrote text keys; a pickle from Python 3 may hold them as bytes.
    for name in (key, key.encode()):
        if name in batch:
            return batch[name]
    raise DataError(path, f"an entry {key!r}", f"only {sorted(map(str, batch))}", REMEDY)


def _images(path: Path, batch: Any) -> np.ndarray:
    array = _entry(path, batch, "data")
    expected = f"an array of unsigned bytes, {PIXELS} an image"
    try:
        _version, shape, dtype, fortran_order, raw = array.state
        code = dtype.arguments[0]
        count, width = map(operator.index, shape)
        content = raw.encode("latin1") if isinstance(raw, str) else bytes(memoryview(raw))
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise DataError(path, expected, f"something else ({str(error)[:200]})", REMEDY) from error
    if not isinstance(code, str | bytes):
        raise DataError(path, expected, f"a {type(code).__name__} for a type of numbers", REMEDY)
    if code not in ("u1", b"u1") or width != PIXELS or fortran_order or len(content) != count * PIXELS:
        found = f"type {str(code)[:20]}, shape {count, width}, {len(content)} bytes"
        raise DataError(path, expected, found, REMEDY)
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, 3, 32, 32)


def _labels(path: Path, batch: Any, classes: int) -> np.ndarray:
    labels = _entry(path, batch, "labels")
    if not isinstance(labels, list) or not all(type(k) is int and 0 <= k < classes for k in labels):
        raise DataError(path, f"a list of labels from 0 to {classes - 1}", "other values", REMEDY)
    return np.array(labels, dtype=np.int64)
