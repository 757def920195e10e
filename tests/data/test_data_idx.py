"""IDX files: whole ones are read exactly, anything else is refused without trusting the header."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from data_files import idx_bytes, pictures, write_idx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nonideal.data import DataError
from nonideal.data.idx import idx_sha256, read_idx

IMAGES = pictures(5, 1, 4, 5)[0][:, 0]
LABELS = np.array([3, 0, 255, 7, 9])


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_reads_what_was_written(tmp_path, suffix):
    write_idx(tmp_path / f"images{suffix}", IMAGES)
    write_idx(tmp_path / f"labels{suffix}", LABELS)
    np.testing.assert_array_equal(read_idx(tmp_path / f"images{suffix}", (4, 4)), IMAGES)
    labels = read_idx(tmp_path / f"labels{suffix}")
    np.testing.assert_array_equal(labels, LABELS)
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_every_truncation_is_refused(tmp_path, suffix):
    whole = idx_bytes(IMAGES)
    path = tmp_path / f"images{suffix}"
    for length in range(len(whole)):
        path.write_bytes(gzip.compress(whole[:length]) if suffix else whole[:length])
        with pytest.raises(DataError, match="images"):
            read_idx(path, (4, 4))


def test_every_truncation_of_the_gzip_stream_is_refused(tmp_path):
    path = tmp_path / "images.gz"
    stream = gzip.compress(idx_bytes(IMAGES))
    for length in range(len(stream)):
        path.write_bytes(stream[:length])
        with pytest.raises(DataError):
            read_idx(path, (4, 4))


@pytest.mark.parametrize(("suffix", "found"), [("", "97 bytes"), (".gz", "more")])
def test_extra_bytes_are_refused(tmp_path, suffix, found):
    content = idx_bytes(IMAGES) + b"\0"
    path = tmp_path / f"images{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(DataError, match=f"found {found}"):
        read_idx(path, (4, 4))


def test_damaged_gzip_content_is_noticed_by_its_checksum(tmp_path):
    stream = bytearray(gzip.compress(idx_bytes(IMAGES), compresslevel=0))  # stored, so a flip decompresses
    stream[-20] ^= 1
    (tmp_path / "images.gz").write_bytes(stream)
    with pytest.raises(DataError, match="CRC"):
        read_idx(tmp_path / "images.gz", (4, 4))


@pytest.mark.parametrize("magic", [b"\0\0\x08\x01", b"\0\0\x0d\x03", b"\1\0\x08\x03", b"\x89PNG"])
def test_wrong_magic_is_refused(tmp_path, magic):
    (tmp_path / "images").write_bytes(magic + idx_bytes(IMAGES)[4:])
    with pytest.raises(DataError, match=rf"magic number 00000803, found {magic.hex()}"):
        read_idx(tmp_path / "images", (4, 4))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("count", [2**31, 2**32 - 1, 1 << 25])
def test_lying_header_allocates_nothing(tmp_path, suffix, count):
    content = bytes([0, 0, 8, 3]) + struct.pack(">3I", count, 28, 28) + bytes(100)
    path = tmp_path / f"images{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="header"):
            read_idx(path, (28, 28))
        assert tracemalloc.get_traced_memory()[1] < 16e6
    finally:
        tracemalloc.stop()


def test_surplus_of_a_gzip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES) + bytes(200_000_000), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="found more"):
            read_idx(path, (4, 4))
        assert tracemalloc.get_traced_memory()[1] < 16e6
    finally:
        tracemalloc.stop()


def test_other_image_size_and_empty_sets_are_refused(tmp_path):
    write_idx(tmp_path / "images", IMAGES)
    with pytest.raises(DataError, match=r"items of shape \(28, 28\), found \(4, 4\)"):
        read_idx(tmp_path / "images", (28, 28))
    write_idx(tmp_path / "none", IMAGES[:0])
    with pytest.raises(DataError, match="announcing 0"):
        read_idx(tmp_path / "none", (4, 4))


def test_missing_file_and_folder_are_data_errors(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(DataError, match="a readable IDX file"):
            read_idx(path)


def test_content_hash_is_that_of_the_file(tmp_path):
    from nonideal import files

    write_idx(tmp_path / "images", IMAGES)
    assert idx_sha256(IMAGES) == files.sha256(tmp_path / "images")
    assert idx_sha256(IMAGES.transpose(0, 2, 1)) != idx_sha256(IMAGES)
    with pytest.raises(TypeError, match="uint8"):
        idx_sha256(IMAGES.astype(np.int64))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), zipped=st.booleans())
def test_arbitrary_files_raise_data_errors_only(tmp_path, data, zipped):
    whole = idx_bytes(IMAGES)
    stream = gzip.compress(whole, mtime=0) if zipped else whole
    position = data.draw(st.integers(0, len(stream) - 1))
    content = data.draw(
        st.one_of(
            st.binary(max_size=64),
            st.binary(max_size=64).map(lambda tail: bytes([0, 0, 8, 3]) + tail),
            st.binary(max_size=8).map(
                lambda piece: stream[:position] + piece + stream[position + len(piece) :]
            ),
        )
    )
    path = tmp_path / ("images.gz" if zipped else "images")
    path.write_bytes(content)
    try:
        array = read_idx(path, (4, 4))
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert array.dtype == np.uint8
        assert array.shape[1:] == (4, 4)
