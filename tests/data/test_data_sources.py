"""Finding files below a root, and downloading when there are none."""

import subprocess
import sys
import urllib.error

import numpy as np
import pytest
from data_files import pictures, write_cifar_batch, write_idx, write_mnist, write_parquet

from nonideal import data
from nonideal.data import DataError, locate, sources

MNIST_FILES = [
    "MNIST/raw/train-images-idx3-ubyte",
    "MNIST/raw/train-labels-idx1-ubyte",
    "MNIST/raw/t10k-images-idx3-ubyte",
    "MNIST/raw/t10k-labels-idx1-ubyte",
]


@pytest.fixture(autouse=True)
def no_root(monkeypatch, tmp_path):
    monkeypatch.delenv("NONIDEAL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def relative(source, root):
    return [path.relative_to(root).as_posix() for path in source.files]


def test_digits_need_no_files():
    assert locate("digits") == data.Source("digits", "bundled")


def test_nothing_is_found_without_a_root_or_in_an_empty_one(tmp_path):
    for name in data.NAMES[1:]:
        assert locate(name) is None
        assert locate(name, tmp_path) is None


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="unknown data set 'minst'; known are digits, mnist"):
        locate("minst")


@pytest.mark.parametrize("by_environment", [False, True])
def test_misspelt_root_is_an_error(tmp_path, monkeypatch, by_environment):
    root = tmp_path / "dta"
    if by_environment:
        monkeypatch.setenv("NONIDEAL_DATA", str(root))
    with pytest.raises(DataError, match="no such folder"):
        locate("mnist", None if by_environment else root)


def test_explicit_root_comes_before_the_environment(tmp_path, monkeypatch):
    write_mnist(tmp_path / "a")
    write_mnist(tmp_path / "b")
    monkeypatch.setenv("NONIDEAL_DATA", str(tmp_path / "a"))
    assert locate("mnist").root == tmp_path / "a"
    assert locate("mnist", tmp_path / "b").root == tmp_path / "b"


def test_idx_plain_gzipped_and_mixed(tmp_path):
    write_mnist(tmp_path, ".gz")
    source = locate("mnist", tmp_path)
    assert source.kind == "idx"
    assert relative(source, tmp_path) == [f"{name}.gz" for name in MNIST_FILES]
    write_idx(tmp_path / MNIST_FILES[2], pictures(20, 1, 28, 10)[0][:, 0])  # the plain file is preferred
    assert relative(locate("mnist", tmp_path), tmp_path)[2] == MNIST_FILES[2]


@pytest.mark.parametrize("missing", range(4))
def test_incomplete_idx_names_what_is_missing(tmp_path, missing):
    write_mnist(tmp_path)
    (tmp_path / MNIST_FILES[missing]).unlink()
    with pytest.raises(DataError, match=MNIST_FILES[missing].rpartition("/")[2]):
        locate("mnist", tmp_path)


@pytest.mark.parametrize("marks", [("", "", ""), tuple(f"-{k}f09b74b3ef9c3b5" for k in (2, 3, 1))])
def test_parquet_shards_and_the_hub_s_folder(tmp_path, marks):
    images, labels = pictures(4, 3, 32, 4)
    names = ["test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"]
    names = [name + mark for name, mark in zip(names, marks, strict=True)]  # a hash, in older files
    for folder in ("cifar10/plain_text", "cifar10"):  # the second comes first
        for name in names:
            write_parquet(tmp_path / folder / f"{name}.parquet", images, labels)
        expected = [f"{folder}/{name}.parquet" for name in (names[1], names[2], names[0])]
        source = locate("cifar10", tmp_path)
        assert source.kind == "parquet"
        assert relative(source, tmp_path) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-00000-of-00002", "test-00000-of-00001"], "shards 0 to 1 of 2"),
        (["train-00000-of-00001", "train-00000-of-00002", "test-00000-of-00001"], "shards 0 to 0 of 1"),
        (["train-00000-of-00001"], "test-00000-of-00001.parquet"),
        (["test-00000-of-00001"], "train-00000-of-00001.parquet"),
    ],
)
def test_incomplete_shards_are_an_error(tmp_path, names, message):
    for name in names:
        write_parquet(tmp_path / f"mnist/{name}.parquet", *pictures(2, 1, 28, 2), column="image")
    with pytest.raises(DataError, match=message):
        locate("mnist", tmp_path)


def test_pickles_come_before_parquet_and_a_whole_layout_before_an_incomplete_one(tmp_path):
    images, labels = pictures(2, 3, 32, 2)
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    for name in names:
        write_cifar_batch(tmp_path / f"cifar-10-batches-py/{name}", images, labels)
    assert relative(locate("cifar10", tmp_path), tmp_path) == [f"cifar-10-batches-py/{n}" for n in names]
    for split in ("train", "test"):
        write_parquet(tmp_path / f"cifar10/{split}-00000-of-00001.parquet", images, labels)
    assert locate("cifar10", tmp_path).kind == "pickle"
    (tmp_path / "cifar-10-batches-py/data_batch_3").unlink()
    assert locate("cifar10", tmp_path).kind == "parquet"


def offline(*arguments, **keywords):
    raise urllib.error.URLError("Name or service not known")


def test_without_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    import torchvision.datasets.mnist

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", offline)
    with pytest.raises(DataError) as caught:
        data.prepare("mnist", tmp_path / "out", allow_download=True)
    message = str(caught.value)
    assert "Name or service not known" in message
    assert "NONIDEAL_DATA" in message
    assert "data.root" in message
    for name in MNIST_FILES:
        assert f"{name}[.gz]" in message
    assert not (tmp_path / "out").exists()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_without_permission_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_torchvision", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(DataError, match=r"downloading is off.*cifar-10-batches-py/data_batch_1"):
        data.prepare("cifar10", tmp_path / "out")


def test_a_broken_download_leaves_nothing(tmp_path, monkeypatch):
    def broken(name, folder):
        write_idx(folder / MNIST_FILES[0], np.zeros((1, 28, 28)))
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(sources, "_torchvision", broken)
    with pytest.raises(DataError, match="corrupted"):
        sources.download("mnist", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_download_goes_to_the_cache_once(tmp_path, monkeypatch):
    calls = []

    def fetch(name, folder):
        calls.append(name)
        write_mnist(folder)

    monkeypatch.setattr(sources, "_torchvision", fetch)
    first = sources.download("mnist")
    assert first.root == tmp_path / "cache/nonideal"
    assert sorted(relative(first, first.root)) == sorted(MNIST_FILES)
    assert sources.download("mnist") == first
    assert calls == ["mnist"]
    assert [path.name for path in first.root.iterdir()] == ["MNIST"]


def test_a_download_leaves_nothing_that_makes_the_data_due_again(tmp_path, monkeypatch):
    """What a data set was made from is compared before and after: of a download nothing is known before."""
    monkeypatch.setattr(sources, "_torchvision", lambda name, folder: write_mnist(folder))
    out = tmp_path / "out"
    data.prepare("mnist", out, allow_download=True, accept_unknown=True)
    assert data.recorded_files(out / "manifest.json") == []
    local = tmp_path / "local"
    write_mnist(local)
    data.prepare("mnist", out, root=local, allow_download=True, accept_unknown=True)
    assert len(data.recorded_files(out / "manifest.json")) == 4


def test_torchvision_is_asked_for_the_right_set(tmp_path, monkeypatch):
    from torchvision import datasets

    asked = []
    for name in ("MNIST", "EMNIST", "CIFAR10"):
        monkeypatch.setattr(
            datasets, name, lambda folder, _name=name, **options: asked.append((_name, options))
        )
    for name in ("mnist", "emnist_balanced", "emnist_letters", "cifar10"):
        sources._torchvision(name, tmp_path)
    assert asked == [
        ("MNIST", {"download": True}),
        ("EMNIST", {"split": "balanced", "download": True}),
        ("EMNIST", {"split": "letters", "download": True}),
        ("CIFAR10", {"download": True}),
    ]


def test_checksums_and_classes_agree_with_torchvision():
    from torchvision import datasets

    from nonideal.data.catalogue import BALANCED_CLASSES, CIFAR10_MD5, LETTERS

    assert dict(CIFAR10_MD5) == dict(datasets.CIFAR10.train_list + datasets.CIFAR10.test_list)
    assert list(BALANCED_CLASSES) == datasets.EMNIST.classes_split_dict["balanced"]
    assert ["N/A", *LETTERS] == datasets.EMNIST.classes_split_dict["letters"]


def test_reading_does_not_import_torch(tmp_path):
    write_mnist(tmp_path)
    code = (
        "import sys; from nonideal import data; "
        f"data.prepare('mnist', {str(tmp_path / 'out')!r}, root={str(tmp_path)!r}, accept_unknown=True); "
        "import nonideal.data.parquet, nonideal.data.pickles; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
