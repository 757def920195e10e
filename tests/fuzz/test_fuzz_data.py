"""Readers of foreign data files refuse what is damaged or lies, in the documented way."""

import gzip
import pickle
import struct

import numpy as np
import pytest
from data_files import idx_bytes, pictures, write_cifar_batch, write_parquet
from hostile import bounded, damaged, few, only
from hypothesis import given
from hypothesis import strategies as st

from nonideal.data import DataError, load, recorded_files
from nonideal.data.idx import read_idx
from nonideal.data.parquet import read_images
from nonideal.data.pickles import read_batch
from nonideal.data.store import prepare

IMAGES, LABELS = pictures(6, 1, 28, 10)
COLOURED, CLASSES = pictures(6, 3, 32, 10)


@few
@given(content=damaged(idx_bytes(IMAGES[:, 0])) | st.binary(max_size=64))
def test_idx(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    array = only(DataError, read_idx, tmp_path / "a", (28, 28))
    assert array is None or array.nbytes <= len(content)


@few
@given(content=damaged(gzip.compress(idx_bytes(IMAGES[:, 0]))))
def test_gzipped_idx(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    only(DataError, read_idx, tmp_path / "a.gz", (28, 28))


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    header = bytes([0, 0, 8, 1]) + struct.pack(">I", 100)
    (tmp_path / "a.gz").write_bytes(gzip.compress(header + bytes(20_000_000), compresslevel=1))
    assert only(DataError, read_idx, tmp_path / "a.gz") is None


def test_a_header_that_announces_gigabytes_is_not_believed(tmp_path):
    for suffix in ("a", "a.gz"):
        content = bytes([0, 0, 8, 1]) + struct.pack(">I", 1 << 30)
        (tmp_path / suffix).write_bytes(gzip.compress(content) if suffix == "a.gz" else content)
        assert only(DataError, read_idx, tmp_path / suffix) is None


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    """A genuine file of each kind, as bytes."""
    folder = tmp_path_factory.mktemp("genuine")
    write_parquet(folder / "a.parquet", COLOURED, CLASSES)
    write_cifar_batch(folder / "batch", COLOURED[:2], CLASSES[:2])
    prepare("digits", folder / "digits")
    return folder


@few
@given(data=st.data())
def test_parquet(tmp_path, genuine, data):
    content = data.draw(damaged((genuine / "a.parquet").read_bytes()))
    (tmp_path / "a.parquet").write_bytes(content)
    only(DataError, read_images, [tmp_path / "a.parquet"], "img", (3, 32, 32), 10)


@few
@given(data=st.data())
def test_batches(tmp_path, genuine, data):
    content = data.draw(damaged((genuine / "batch").read_bytes()) | st.binary(max_size=64))
    (tmp_path / "batch").write_bytes(content)
    only(DataError, read_batch, tmp_path / "batch", 10, accept_unknown=True)


def laughs(depth=60):
    """Opcodes of a tuple that holds 2**depth empty ones, each level sharing the one below."""
    return b")" + b"2\x86" * depth  # the empty tuple; then again and again: repeat the top, make a pair


HOSTILE = {
    "a key of 2**60 parts": b"\x80\x04}" + laughs() + b"K\x01s.",
    "a dictionary built with such a key": b"\x80\x04(" + laughs() + b"K\x01d.",
    "a set of it": b"\x80\x04\x8f(" + laughs() + b"\x90.",
    "a frozen set of it": b"\x80\x04(" + laughs() + b"\x91.",
    "a byte array of a terabyte": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "text of a terabyte": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b".",
    "bytes of a terabyte": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
    "a place far out in the memo": b"\x80\x04Nr" + struct.pack("<I", 0xFFFFFFFF) + b".",
    "a registered class": b"\x80\x02\x82\x01.",
    "a persistent object": b"\x80\x04Nq\x00Q.",
    "a call of the system": b"cposix\nsystem\n(S'touch /tmp/never'\ntR.",
    "a class by stacked name": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
    "an attribute of an allowed one": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_pickles_are_refused_at_once(tmp_path, attack):
    (tmp_path / "batch").write_bytes(HOSTILE[attack])
    with bounded(), pytest.raises(DataError, match="batch: expected a pickled"):
        read_batch(tmp_path / "batch", 10, accept_unknown=True)


@pytest.mark.parametrize(
    ("shape", "code"),
    [(([0] * 1_000_000, 3072), "u1"), ((1 << 200, 3072), "u1"), ((2, "3072"), "u1"), ((2, 3072), ["u1"])],
)
def test_arrays_that_are_none(tmp_path, shape, code):
    class Part:  # an array or a type of numbers, as NumPy writes them
        def __init__(self, arguments, state):
            self.arguments, self.state = arguments, state

        def __reduce__(self):
            return np.ndarray, self.arguments, self.state

    kind = Part((code, False, True), (3, "|", None, None, None, -1, -1, 0))
    batch = {"data": Part(((0,), "b"), (1, shape, kind, False, bytes(6144))), "labels": [0, 1]}
    (tmp_path / "batch").write_bytes(pickle.dumps(batch, protocol=4))
    assert only(DataError, read_batch, tmp_path / "batch", 10, accept_unknown=True) is None


@few
@given(data=st.data(), check=st.booleans())
def test_prepared_arrays(tmp_path, genuine, data, check):
    manifest = (genuine / "digits/manifest.json").read_bytes()
    (tmp_path / "manifest.json").write_bytes(data.draw(st.just(manifest) | damaged(manifest)))
    whole = (genuine / "digits/arrays.npz").read_bytes()
    front, back = whole[:2000], whole[-2000:]
    damaged_front = data.draw(damaged(front) | st.just(front))
    content = damaged_front + whole[2000:-2000] + data.draw(damaged(back) | st.just(back))
    (tmp_path / "arrays.npz").write_bytes(content)
    dataset = only(DataError, load, tmp_path, check=check)
    assert dataset is None or len(dataset.train_images) == len(dataset.train_labels)
    only(DataError, recorded_files, tmp_path / "manifest.json")


def test_a_manifest_nested_without_end(tmp_path):
    (tmp_path / "manifest.json").write_text("[" * 200_000)
    assert only(DataError, load, tmp_path) is None
