"""Read parquet files with encoded images, as the Hugging Face hub serves MNIST and CIFAR-10."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from nonideal.data.errors import DataError

BATCH = 1000  # rows decoded at a time, to keep memory low
ENCODINGS = ("PNG", "JPEG")
MODES = {1: "L", 3: "RGB"}  # Pillow's mode by number of channels
REMEDY = "Replace the file by a fresh copy."


def read_images(
    paths: Sequence[str | os.PathLike[str]],
    column: str,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
    """Read and decode images and labels from the shards of one split.

    Parameters
    ----------
    paths
        The shards in order. Columns: `column`, a struct with binary field ``bytes`` (PNG or JPEG), and
        ``label``, an integer.
    column
        Name of the image column.
    image_shape
        Channels, height, width every image must have.
    classes
        Number of classes; labels run from 0 to one less.
    progress
        Show a progress bar.

    Returns
    -------
    images
        uint8 array ``[n, c, h, w]``.
    labels
        int64 array ``[n]``.
    encodings
        How many images were stored in which encoding.

    Raises
    ------
    DataError
        If a file is damaged, a column is missing or of another type, an image cannot be decoded or has
        another size, or a label is out of range.
    """
    images, labels = [], []
    encodings: Counter[str] = Counter()
    # In one thread: images this small decode faster than a thread pool hands them out.
    for path in map(Path, paths):
        for first, encoded, batch_labels in _batches(path, column, classes, progress):
            decoded = [_decode(path, first + k, item, image_shape) for k, item in enumerate(encoded)]
            images.append(np.stack([pixels for pixels, _ in decoded]))
            labels.append(batch_labels)
            encodings.update(name for _, name in decoded)
    return np.concatenate(images), np.concatenate(labels), encodings


def _batches(
    path: Path, column: str, classes: int, progress: bool
) -> Iterator[tuple[int, list[bytes | None], np.ndarray]]:
    """Yield the first row's number, encoded images and labels of one batch of rows after another."""
    row = 0
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow, column)
            with tqdm(
                total=file.metadata.num_rows, desc=path.name, unit="image", disable=not progress
            ) as bar:
                for batch in file.iter_batches(BATCH, columns=[column, "label"]):
                    encoded = pc.struct_field(batch.column(column), "bytes").to_pylist()
                    yield row, encoded, _labels(path, batch.column("label"), classes)
                    row += len(encoded)
                    bar.update(len(encoded))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last from damaged column names
        problem = f"{type(error).__name__}: {error}"
        raise DataError(path, "a readable parquet file", problem, REMEDY) from error
    if row == 0:
        raise DataError(path, "at least one image", "no row", REMEDY)


def _check_columns(path: Path, schema: pa.Schema, column: str) -> None:
    for name in (column, "label"):
        if name not in schema.names:
            raise DataError(path, f"a column {name!r}", f"columns {schema.names}", REMEDY)
    images, labels = schema.field(column).type, schema.field("label").type
    binary = (
        pa.types.is_struct(images)
        and images.get_field_index("bytes") >= 0
        and (
            pa.types.is_binary(images.field("bytes").type)
            or pa.types.is_large_binary(images.field("bytes").type)
        )
    )
    if not binary:
        raise DataError(path, f"column {column!r} a struct with binary field 'bytes'", str(images), REMEDY)
    if not pa.types.is_integer(labels):
        raise DataError(path, "column 'label' of integers", str(labels), REMEDY)


def _labels(path: Path, column: pa.Array, classes: int) -> np.ndarray:
    if column.null_count:
        raise DataError(path, "a label in every row", f"{column.null_count} empty ones", REMEDY)
    labels = column.to_numpy(zero_copy_only=False)
    if labels.min() < 0 or labels.max() >= classes:
        found = f"labels from {labels.min()} to {labels.max()}"
        raise DataError(path, f"labels from 0 to {classes - 1}", found, REMEDY)
    return labels.astype(np.int64)


def _decode(
    path: Path, row: int, encoded: bytes | None, image_shape: tuple[int, int, int]
) -> tuple[np.ndarray, str]:
    """Decode one image to a uint8 array ``[c, h, w]``; also name its encoding."""
    channels, height, width = image_shape
    expected = f"a PNG or JPEG image, {width} x {height} pixels, mode {MODES[channels]}, in row {row}"
    if encoded is None:
        raise DataError(path, expected, "an empty field", REMEDY)
    try:
        with Image.open(io.BytesIO(encoded), formats=ENCODINGS) as image:
            # Nothing is decoded before its announced size is known to be right.
            if image.size != (width, height) or image.mode != MODES[channels]:
                found = f"{image.size[0]} x {image.size[1]} pixels, mode {image.mode}"
                raise DataError(path, expected, found, REMEDY)
            pixels = np.asarray(image)
            return pixels.reshape(height, width, channels).transpose(2, 0, 1), str(image.format)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds: OSError, SyntaxError, struct.error ...
        raise DataError(path, expected, f"{type(error).__name__}: {error}", REMEDY) from error
