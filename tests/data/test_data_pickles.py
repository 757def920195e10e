"""CIFAR-10 batches: read exactly, and a pickle never runs anything."""

import hashlib
import os
import pickle
from types import MappingProxyType

import numpy as np
import pytest
from data_files import pictures, write_cifar_batch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nonideal.data import DataError, pickles
from nonideal.data.pickles import read_batch

IMAGES, LABELS = pictures(12, 3, 32, 10)


def publish(monkeypatch, path):
    """Pretend that the file is the published one."""
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(pickles, "CIFAR10_MD5", MappingProxyType({path.name: digest}))


@pytest.mark.parametrize("protocol", [3, 4])
def test_reads_what_was_written(tmp_path, monkeypatch, protocol):
    path = tmp_path / "data_batch_1"
    write_cifar_batch(path, IMAGES, LABELS, protocol)
    publish(monkeypatch, path)
    images, labels, verified = read_batch(path, 10)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert verified


def test_reads_a_batch_as_python_2_wrote_it(tmp_path):
    # The published batches: protocol 2, text keys and pixels as byte strings, numpy.core names.
    raw = IMAGES[:1].tobytes()
    batch = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89T" + len(raw).to_bytes(4, "little") + raw + b"tbU\x06labels]K\x07au."
    )
    expected = pickle.loads(batch, encoding="latin1")  # safe: written above
    np.testing.assert_array_equal(expected["data"], IMAGES[:1].reshape(1, -1))
    path = tmp_path / "test_batch"
    path.write_bytes(batch)
    images, labels, verified = read_batch(path, 10, accept_unknown=True)
    np.testing.assert_array_equal(images, IMAGES[:1])
    assert labels.tolist() == [7]
    assert not verified


def test_unpublished_batch_is_refused_unless_accepted(tmp_path):
    path = tmp_path / "data_batch_1"
    write_cifar_batch(path, IMAGES, LABELS)
    with pytest.raises(DataError, match=r"MD5 c99cafc152244af753f735de768cd75f.*accept_unknown"):
        read_batch(path, 10)
    assert read_batch(path, 10, accept_unknown=True)[2] is False


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_malicious_pickle_runs_nothing(tmp_path, protocol):
    trace = tmp_path / "ran"
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({"data": Malicious(trace), "labels": []}, protocol))
    with pytest.raises(DataError, match=r"mkdir, which is not allowed"):
        read_batch(path, 10, accept_unknown=True)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1, 2], "a pickled dictionary, found list"),
        ({"labels": [1]}, "an entry 'data'"),
        ({"data": IMAGES.reshape(12, -1)}, "an entry 'labels'"),
        ({"data": b"abc", "labels": [1]}, "an array of unsigned bytes"),
        ({"data": IMAGES.reshape(24, -1), "labels": [1]}, "3072 an image, found"),
        ({"data": IMAGES.reshape(12, -1).view(np.int8), "labels": [1]}, "found type i1"),
        ({"data": np.asfortranarray(IMAGES.reshape(12, -1)), "labels": [1]}, "3072 an image, found"),
        ({"data": IMAGES.reshape(12, -1), "labels": [10] * 12}, "labels from 0 to 9"),
        ({"data": IMAGES.reshape(12, -1), "labels": [-1] * 12}, "labels from 0 to 9"),
        ({"data": IMAGES.reshape(12, -1), "labels": [True] * 12}, "labels from 0 to 9"),
        ({"data": IMAGES.reshape(12, -1), "labels": "no"}, "a list of labels"),
    ],
)
def test_other_content_is_refused(tmp_path, batch, message):
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps(batch, protocol=4))
    with pytest.raises(DataError, match=message):
        read_batch(path, 10, accept_unknown=True)


def test_huge_or_absent_file_is_refused_before_reading(tmp_path):
    path = tmp_path / "data_batch_1"
    with path.open("wb") as file:
        file.truncate(pickles.MAX_BYTES + 1)
    with pytest.raises(DataError, match="at most"):
        read_batch(path, 10, accept_unknown=True)
    with pytest.raises(DataError, match="a readable file"):
        read_batch(tmp_path / "absent", 10)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_arbitrary_files_raise_data_errors_only(tmp_path, data):
    path = tmp_path / "data_batch_1"
    write_cifar_batch(path, IMAGES[:1], LABELS[:1])
    whole = path.read_bytes()
    # The last bytes hold the structure; the pixels in the middle are just bytes.
    position = data.draw(st.one_of(st.integers(0, 120), st.integers(len(whole) - 120, len(whole) - 1)))
    piece = data.draw(st.binary(max_size=6))
    content = data.draw(
        st.sampled_from([whole[:position], whole[:position] + piece + whole[position + len(piece) :], piece])
    )
    path.write_bytes(content)
    try:
        images, labels, _ = read_batch(path, 10, accept_unknown=True)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert images.shape[1:] == (3, 32, 32)
        assert labels.ndim == 1
