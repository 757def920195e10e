"""Preparing and loading: what goes in comes out, and nothing altered passes."""

import hashlib
import json
import os
import pickle
from types import MappingProxyType

import numpy as np
import pytest
from data_files import idx_bytes, pictures, write_cifar_batch, write_idx, write_mnist, write_parquet

from nonideal import data, files
from nonideal.data import DataError, load, pickles, prepare, read
from nonideal.data.store import KEYS


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A small MNIST that counts as the published one; its root, and its arrays by split."""
    monkeypatch.delenv("NONIDEAL_DATA", raising=False)
    splits = write_mnist(tmp_path / "root")
    published = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        images, labels = splits[stem]
        published[split, "images"] = hashlib.sha256(idx_bytes(images[:, 0])).hexdigest()
        published[split, "labels"] = hashlib.sha256(idx_bytes(labels)).hexdigest()
    monkeypatch.setattr(read, "MNIST_SHA256", MappingProxyType(published))
    return tmp_path / "root", {"train": splits["train"], "test": splits["t10k"]}


def assert_holds(dataset, splits):
    for split, (images, labels) in splits.items():
        np.testing.assert_array_equal(getattr(dataset, f"{split}_images"), images)
        np.testing.assert_array_equal(getattr(dataset, f"{split}_labels"), labels)


def test_mnist_round_trip_and_manifest(mnist, tmp_path):
    root, splits = mnist
    manifest = prepare("mnist", tmp_path / "out", root=root)
    dataset = load(tmp_path / "out")
    assert_holds(dataset, splits)
    assert dataset.class_names == tuple("0123456789")
    assert dataset.train_images.dtype == np.uint8
    assert dataset.train_labels.dtype == np.int64
    assert manifest == json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["verification"] == "verified"
    assert manifest["counts"] == {"train": 30, "test": 20}
    assert manifest["image_shape"] == [1, 28, 28]
    assert manifest["arrays_sha256"] == files.sha256(tmp_path / "out/arrays.npz")
    first = root / "MNIST/raw/train-images-idx3-ubyte"
    assert manifest["files"][0] == {
        "path": "MNIST/raw/train-images-idx3-ubyte",
        "bytes": first.stat().st_size,
        "sha256": files.sha256(first),
    }
    assert_holds(load(tmp_path / "out/arrays.npz"), splits)  # the file may be named instead of the folder


def test_content_counts_however_it_is_stored(mnist, tmp_path):
    root, splits = mnist
    write_mnist(tmp_path / "zipped", ".gz")
    for split, (images, labels) in splits.items():
        write_parquet(tmp_path / f"parquet/mnist/{split}-00000-of-00001.parquet", images, labels, "image")
    manifests = [
        prepare("mnist", tmp_path / f"out{k}", root=folder)
        for k, folder in enumerate((root, tmp_path / "zipped", tmp_path / "parquet"))
    ]
    assert [m["verification"] for m in manifests] == ["verified"] * 3
    assert len({m["arrays_sha256"] for m in manifests}) == 1
    assert manifests[2]["encodings"] == {"PNG": 50}


def test_two_runs_write_the_same_bytes(mnist, tmp_path):
    for folder in ("a", "b"):
        prepare("mnist", tmp_path / folder, root=mnist[0])
    for name in ("arrays.npz", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "name", ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
)
def test_altered_mnist_is_refused_unless_accepted(mnist, tmp_path, name):
    path = mnist[0] / f"MNIST/raw/{name}-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # a pixel, or label 9 becoming 8
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}-ubyte: expected MNIST's .*accept_unknown"):
        prepare("mnist", tmp_path / "out", root=mnist[0])
    assert not (tmp_path / "out").exists()
    manifest = prepare("mnist", tmp_path / "out", root=mnist[0], accept_unknown=True)
    assert manifest["verification"] == "unknown"
    assert manifest["verified_against"] is None


@pytest.mark.parametrize("labels", [np.arange(29) % 10, np.arange(31) % 10, np.full(30, 10)])
def test_labels_must_match_the_images(mnist, tmp_path, labels):
    write_idx(mnist[0] / "MNIST/raw/train-labels-idx1-ubyte", labels)
    with pytest.raises(DataError, match="label"):
        prepare("mnist", tmp_path / "out", root=mnist[0], accept_unknown=True)
    assert not (tmp_path / "out").exists()


def write_emnist(root, split, labels, images=None):
    images = pictures(len(labels), 1, 28, 1)[0] if images is None else images
    for part in ("train", "test"):
        stem = root / f"EMNIST/raw/emnist-{split}-{part}"
        write_idx(stem.with_name(f"{stem.name}-images-idx3-ubyte.gz"), images[:, 0].transpose(0, 2, 1))
        write_idx(stem.with_name(f"{stem.name}-labels-idx1-ubyte.gz"), labels)
    return images


def test_emnist_is_put_upright_and_letters_start_at_zero(tmp_path):
    images = write_emnist(tmp_path, "letters", np.arange(1, 27))
    write_emnist(tmp_path, "balanced", np.arange(47))
    manifest = prepare("emnist_letters", tmp_path / "letters", root=tmp_path)
    letters = load(tmp_path / "letters")
    assert manifest["verification"] == "unknown"
    np.testing.assert_array_equal(letters.train_images, images)
    np.testing.assert_array_equal(letters.test_labels, np.arange(26))
    assert letters.class_names[0] == "a"
    prepare("emnist_balanced", tmp_path / "balanced", root=tmp_path)
    balanced = load(tmp_path / "balanced")
    np.testing.assert_array_equal(balanced.train_labels, np.arange(47))
    assert balanced.class_names[36] == "a"


@pytest.mark.parametrize("labels", [[0, 1], [1, 27]])
def test_emnist_letters_outside_1_to_26_are_refused(tmp_path, labels):
    write_emnist(tmp_path, "letters", np.array(labels))
    with pytest.raises(DataError, match="labels from 1 to 26"):
        prepare("emnist_letters", tmp_path / "out", root=tmp_path)


def test_cifar10_from_pickles(tmp_path, monkeypatch):
    images, labels = pictures(60, 3, 32, 10)
    digests = {}
    for k, name in enumerate([*(f"data_batch_{j}" for j in range(1, 6)), "test_batch"]):
        path = tmp_path / "cifar-10-batches-py" / name
        write_cifar_batch(path, images[10 * k : 10 * k + 10], labels[10 * k : 10 * k + 10])
        digests[name] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    with pytest.raises(DataError, match="data_batch_1: expected MD5"):
        prepare("cifar10", tmp_path / "out", root=tmp_path)
    assert not (tmp_path / "out").exists()
    unknown = prepare("cifar10", tmp_path / "out", root=tmp_path, accept_unknown=True)
    assert unknown["verification"] == "unknown"
    monkeypatch.setattr(pickles, "CIFAR10_MD5", MappingProxyType(digests))
    assert prepare("cifar10", tmp_path / "out", root=tmp_path)["verification"] == "verified"
    splits = {"train": (images[:50], labels[:50]), "test": (images[50:], labels[50:])}
    assert_holds(load(tmp_path / "out"), splits)
    write_cifar_batch(tmp_path / "cifar-10-batches-py/data_batch_4", images[:10], labels[:9])
    with pytest.raises(DataError, match="data_batch_4: expected a label for each of 10 images"):
        prepare("cifar10", tmp_path / "out", root=tmp_path, accept_unknown=True)


def test_cifar10_from_parquet_shards(tmp_path):
    images, labels = pictures(30, 3, 32, 10)
    for name, part in (("train-00000-of-00002", slice(0, 8)), ("train-00001-of-00002", slice(8, 22))):
        write_parquet(tmp_path / f"cifar10/{name}.parquet", images[part], labels[part])
    write_parquet(tmp_path / "cifar10/test-00000-of-00001.parquet", images[22:], labels[22:])
    manifest = prepare("cifar10", tmp_path / "out", root=tmp_path)
    assert manifest["verification"] == "unknown"
    assert manifest["encodings"] == {"PNG": 30}
    splits = {"train": (images[:22], labels[:22]), "test": (images[22:], labels[22:])}
    assert_holds(load(tmp_path / "out"), splits)


def test_digits_split_is_fixed_stratified_and_complete(tmp_path):
    manifest = prepare("digits", tmp_path / "out")
    digits = load(tmp_path / "out")
    assert manifest["counts"] == {"train": 1437, "test": 360}
    assert digits.train_images.shape == (1437, 1, 8, 8)
    assert digits.train_images.max() == 255
    from sklearn.datasets import load_digits

    bunch = load_digits()
    share = np.bincount(bunch.target) * 360 / 1797
    assert np.abs(np.bincount(digits.test_labels) - share).max() < 1
    both = np.concatenate([digits.train_images, digits.test_images]).reshape(1797, 64)
    target = np.concatenate([digits.train_labels, digits.test_labels])
    theirs = np.column_stack([bunch.target, np.floor(bunch.data * 255 / 16 + 0.5)])
    assert sorted(map(tuple, np.column_stack([target, both]))) == sorted(map(tuple, theirs))
    # The split is part of every published number on digits: it must not change unnoticed.
    assert hashlib.sha256(digits.test_images.tobytes()).hexdigest() == DIGITS_TEST_SHA256


DIGITS_TEST_SHA256 = "885011234088b7bb27790c0351791629abcfa7a7a7af97f8a8338bd1d837b2f0"


@pytest.fixture
def prepared(mnist, tmp_path):
    prepare("mnist", tmp_path / "out", root=mnist[0])
    return tmp_path / "out"


@pytest.mark.parametrize("position", [0, 100, -1])
def test_altered_arrays_are_noticed(prepared, position):
    content = bytearray((prepared / "arrays.npz").read_bytes())
    content[position] ^= 1
    (prepared / "arrays.npz").write_bytes(content)
    with pytest.raises(DataError, match="altered or damaged"):
        load(prepared)


def test_unchecked_load_still_refuses_what_is_no_data_set(prepared):
    path = prepared / "arrays.npz"
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[:1000], whole[:-10], pickle.dumps([1])):
        path.write_bytes(content)
        with pytest.raises(DataError, match="a readable archive"):
            load(prepared, check=False)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="a readable archive"):
        load(prepared, check=False)
    arrays = {key: np.zeros((2, 1, 28, 28), dtype=np.uint8) for key in KEYS}
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=r"train images \(30, 1, 28, 28\) in 10 classes"):
        load(prepared, check=False)


def test_npz_with_a_pickle_runs_nothing(prepared, tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    np.savez(prepared / "arrays.npz", **dict.fromkeys(KEYS, np.array([Malicious()], dtype=object)))
    with pytest.raises(DataError, match="ArchiveError"):
        load(prepared, check=False)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a manifest in JSON"),
        ("[]", "a manifest of format 1, found list"),
        ('{"format": 99}', "a manifest of format 1, found 99"),
        ('{"format": 1, "name": "mnist"}', "a str under 'arrays_sha256'"),
    ],
)
def test_bad_manifest_is_refused(prepared, text, message):
    (prepared / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load(prepared)


@pytest.mark.parametrize(
    ("key", "value"),
    # One class too few is enough.
    [("classes", ["0", "1"]), ("classes", [*"012345678"]), ("counts", {}), ("image_shape", [28])],
)
def test_manifest_that_contradicts_the_arrays_is_refused(prepared, key, value):
    manifest = json.loads((prepared / "manifest.json").read_text())
    (prepared / "manifest.json").write_text(json.dumps(manifest | {key: value}))
    with pytest.raises(DataError, match=r"train images .*, by manifest.json"):
        load(prepared)


def test_missing_parts_are_named(prepared):
    (prepared / "arrays.npz").unlink()
    with pytest.raises(DataError, match=r"arrays.npz: expected the arrays"):
        load(prepared)
    (prepared / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"manifest.json: expected a manifest"):
        load(prepared)


def test_failed_preparation_keeps_the_former(mnist, prepared):
    before = {path.name: path.read_bytes() for path in prepared.iterdir()}
    (mnist[0] / "MNIST/raw/t10k-labels-idx1-ubyte").write_bytes(b"broken")
    with pytest.raises(DataError):
        prepare("mnist", prepared, root=mnist[0])
    assert {path.name: path.read_bytes() for path in prepared.iterdir()} == before


@pytest.mark.skipif("NONIDEAL_DATA" not in os.environ, reason="needs NONIDEAL_DATA")
@pytest.mark.parametrize(("name", "mean"), [("mnist", 0.1307), ("cifar10", 0.4734)])
def test_real_data(tmp_path, name, mean):
    if data.locate(name) is None:
        pytest.skip(f"no {name} below NONIDEAL_DATA")
    manifest = prepare(name, tmp_path / "out")
    dataset = load(tmp_path / "out")
    assert manifest["counts"]["test"] == 10000
    # The means everyone normalises by: 0.1307; for CIFAR-10 (0.4914 + 0.4822 + 0.4465) / 3.
    assert dataset.train_images.mean() / 255 == pytest.approx(mean, abs=5e-4)
    assert dataset.train_labels.shape == {"mnist": (60000,), "cifar10": (50000,)}[name]
