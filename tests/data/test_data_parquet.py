"""Parquet files with encoded images: decoded exactly, with every departure named."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import encode, parquet_table, pictures, write_parquet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nonideal.data import DataError, parquet
from nonideal.data.parquet import read_images

IMAGES, LABELS = pictures(20, 3, 32, 10)
ENCODED = [encode(image) for image in IMAGES]
SHAPE = (3, 32, 32)


def write(path, encoded, labels):
    pq.write_table(parquet_table(encoded, labels, "img"), path)


def test_reads_shards_in_order_across_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BATCH", 3)
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    write_parquet(paths[0], IMAGES[:11], LABELS[:11])
    write_parquet(paths[1], IMAGES[11:], LABELS[11:])
    images, labels, encodings = read_images(paths, "img", SHAPE, 10)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert encodings == {"PNG": 20}


def test_reads_grey_images_and_counts_jpeg(tmp_path):
    grey, labels = pictures(4, 1, 28, 4)
    path = tmp_path / "a.parquet"
    encoded = [encode(image, kind) for image, kind in zip(grey, ("PNG", "JPEG", "JPEG", "PNG"), strict=True)]
    write(path, encoded, labels.tolist())
    images, _, encodings = read_images([path], "img", (1, 28, 28), 4)
    np.testing.assert_array_equal(images[[0, 3]], grey[[0, 3]])
    assert encodings == {"PNG": 2, "JPEG": 2}


def test_jpeg_keeps_colours_in_place(tmp_path):
    smooth = np.zeros((3, 32, 32), dtype=np.uint8)
    smooth[0], smooth[1], smooth[2] = 200, np.arange(32)[:, None] * 4, 30  # red, green falling by row, blue
    write(tmp_path / "a.parquet", [encode(smooth, "JPEG")], [0])
    images, _, _ = read_images([tmp_path / "a.parquet"], "img", SHAPE, 10)
    assert np.abs(images[0].astype(int) - smooth).max() <= 6


def bad_images():
    with io.BytesIO() as buffer:
        Image.new("RGB", (32, 32)).save(buffer, "BMP")
        bmp = buffer.getvalue()
    return {
        "cut": (ENCODED[0][:60], "row 1"),
        "not an image": (b"hello", "row 1"),
        "null": (None, "an empty field"),
        "other encoding": (bmp, "row 1"),
        "other size": (encode(IMAGES[0][:, :31]), "found 32 x 31 pixels"),
        "huge": (encode(np.zeros((1, 20000, 1), dtype=np.uint8)), "found 1 x 20000 pixels, mode L"),
        "grey": (encode(IMAGES[0][:1]), "mode L"),
    }


@pytest.mark.parametrize(("encoded", "message"), bad_images().values(), ids=bad_images().keys())
def test_bad_image_is_named_by_row(tmp_path, monkeypatch, encoded, message):
    monkeypatch.setattr(parquet, "BATCH", 1)  # rows count through the file, not within a batch
    path = tmp_path / "a.parquet"
    write(path, [ENCODED[0], encoded, ENCODED[2]], [0, 1, 2])
    with pytest.raises(DataError, match=message) as caught:
        read_images([path], "img", SHAPE, 10)
    assert "in row 1" in caught.value.expected


@pytest.mark.parametrize("labels", [[0, 10], [-1, 0], [None, 3]])
def test_bad_labels_are_refused(tmp_path, labels):
    write(tmp_path / "a.parquet", ENCODED[:2], labels)
    with pytest.raises(DataError, match="label"):
        read_images([tmp_path / "a.parquet"], "img", SHAPE, 10)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (parquet_table(ENCODED[:1], [0], "image"), "a column 'img', found columns"),
        (parquet_table(ENCODED[:1], [0], "img").drop_columns("label"), "a column 'label'"),
        (pa.table({"img": pa.array(ENCODED[:1]), "label": [0]}), "a struct with binary field"),
        (pa.table({"img": [{"path": "a"}], "label": [0]}), "a struct with binary field"),
        (pa.table({"img": [{"bytes": "text"}], "label": [0]}), "a struct with binary field"),
        (pa.table({"img": [{"bytes": ENCODED[0]}], "label": [0.0]}), "column 'label' of integers"),
        (parquet_table([], [], "img"), "at least one image"),
    ],
)
def test_other_columns_are_refused(tmp_path, table, message):
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        read_images([tmp_path / "a.parquet"], "img", SHAPE, 10)


def test_damaged_column_name_is_a_data_error(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"img": [1], "label": [0]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"label", b"labe\x89"))
    with pytest.raises(DataError, match="a readable parquet file"):
        read_images([path], "img", SHAPE, 10)


def test_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="a readable parquet file"):
        read_images([tmp_path / "absent.parquet"], "img", SHAPE, 10)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_truncated_and_random_files_raise_data_errors_only(tmp_path, data):
    path = tmp_path / "a.parquet"
    write(path, ENCODED[:2], [0, 1])
    whole = path.read_bytes()
    length = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(data.draw(st.one_of(st.just(whole[:length]), st.binary(max_size=64))))
    with pytest.raises(DataError, match="parquet"):
        read_images([path], "img", SHAPE, 10)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(0, 1), data=st.data())
def test_damaged_images_raise_data_errors_only(tmp_path, row, data):
    encoded = ENCODED[:2]
    position = data.draw(st.integers(0, len(encoded[row]) - 1))
    piece = data.draw(st.binary(min_size=1, max_size=8))
    encoded[row] = encoded[row][:position] + piece + encoded[row][position + len(piece) :]
    path = tmp_path / "a.parquet"
    write(path, encoded, [0, 1])
    try:
        images, _, _ = read_images([path], "img", SHAPE, 10)
    except DataError as error:
        assert f"row {row}" in str(error)
    else:
        np.testing.assert_array_equal(images[1 - row], IMAGES[1 - row])
