"""Small genuine data files for the tests, written the way the published ones are."""

import gzip
import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from nonideal import rng


def pictures(n: int, channels: int, side: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Random uint8 images [n, c, side, side] and labels that cover the classes in turn."""
    generator = rng.stream(0, "test pictures", n, channels, side)
    images = generator.integers(0, 256, (n, channels, side, side), dtype=np.uint8)
    return images, np.arange(n, dtype=np.int64) % classes


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + np.ascontiguousarray(array, dtype=np.uint8).tobytes()


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(root: Path, suffix: str = "") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    splits = {"train": pictures(30, 1, 28, 10), "t10k": pictures(20, 1, 28, 10)}
    for stem, (images, labels) in splits.items():
        write_idx(root / f"MNIST/raw/{stem}-images-idx3-ubyte{suffix}", images[:, 0])
        write_idx(root / f"MNIST/raw/{stem}-labels-idx1-ubyte{suffix}", labels)
    return splits


def encode(image: np.ndarray, kind: str = "PNG") -> bytes:
    picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def parquet_table(encoded: list[bytes | None], labels: list[int | None], column: str) -> pa.Table:
    items = [{"bytes": item, "path": f"{k}.png"} for k, item in enumerate(encoded)]
    struct_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({column: pa.array(items, struct_type), "label": pa.array(labels, pa.int64())})


def write_parquet(path: Path, images: np.ndarray, labels: np.ndarray, column: str = "img") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = parquet_table([encode(image) for image in images], labels.tolist(), column)
    pq.write_table(table, path, row_group_size=7)


def write_cifar_batch(path: Path, images: np.ndarray, labels: np.ndarray, protocol: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = {
        "batch_label": "testing batch",
        "data": images.reshape(len(images), -1),
        "labels": labels.tolist(),
        "filenames": [f"{k}.png" for k in range(len(images))],
    }
    path.write_bytes(pickle.dumps(batch, protocol=protocol))
