"""Folders of images, one per class, read in place."""

import numpy as np
import pytest
from data_files import encode

from nonideal import data
from nonideal.data import DataError


def write_folders(root, classes, splits=("train", "val")):
    for split in splits:
        for k, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            image = np.full((3, 8 + k, 12), 40 * k, dtype=np.uint8)
            (folder / "a.JPEG").write_bytes(encode(image, "JPEG"))


@pytest.mark.parametrize("prefix", ["", "imagenet"])
def test_image_folders_are_opened_lazily(tmp_path, prefix):
    write_folders(tmp_path / prefix, ["n01", "n02"])
    folders = data.open_folders(tmp_path, test_transform=lambda image: image.size)
    assert folders.class_names == ("n01", "n02")
    image, label = folders.train[1]
    assert (image.size, label) == ((12, 9), 1)
    assert folders.test[1] == ((12, 9), 1)
    source = data.locate("imagenet", tmp_path)
    assert source.files == (tmp_path / prefix / "train", tmp_path / prefix / "val")
    with pytest.raises(ValueError, match="open_folders"):
        data.prepare("imagenet", tmp_path / "out", root=tmp_path)


def test_image_folders_must_agree_and_be_filled(tmp_path, monkeypatch):
    monkeypatch.delenv("NONIDEAL_DATA", raising=False)
    with pytest.raises(DataError, match="<class>"):
        data.open_folders(tmp_path)
    write_folders(tmp_path, ["n01", "n02"])
    (tmp_path / "train/n03").mkdir()
    with pytest.raises(DataError, match="1 in only one of them, first n03"):
        data.open_folders(tmp_path)
    (tmp_path / "val/n03").mkdir()
    with pytest.raises(DataError, match="images in every class"):
        data.open_folders(tmp_path)


def test_image_folders_are_scaled_down_once(tmp_path):
    write_folders(tmp_path, ["n01", "n02"])
    halves = np.zeros((3, 80, 80), dtype=np.uint8)
    halves[:, 40:] = 200  # bright below
    (tmp_path / "val" / "n01" / "a.JPEG").write_bytes(encode(halves, "JPEG"))
    manifest = data.prepare("imagenet64", tmp_path / "out", root=tmp_path)
    assert manifest["classes"] == ["n01", "n02"] and manifest["counts"] == {"train": 2, "test": 2}
    made = data.load(tmp_path / "out")
    assert made.train_images.shape == (2, 3, 64, 64)
    assert made.test_labels.tolist() == [0, 1]
    for k in range(2):  # a plain image stays plain; JPEG may shift it by a step or two
        assert np.abs(made.train_images[k].astype(int) - 40 * k).max() <= 2
    upright = made.test_images[0].astype(int)
    assert upright[:, :28].max() < 20 and upright[:, 36:].min() > 180
    recorded = data.recorded_files(tmp_path / "out" / "manifest.json")
    assert recorded == [["train", 2], ["val", 2]]
    source = data.locate("imagenet64", tmp_path)
    assert recorded == sorted([path.name, data.extent(path)] for path in source.files)


def test_a_damaged_image_is_named(tmp_path):
    write_folders(tmp_path, ["n01", "n02"])
    (tmp_path / "val/n02/a.JPEG").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"val/n02/a\.JPEG"):
        data.prepare("imagenet64", tmp_path / "out", root=tmp_path)
    assert not (tmp_path / "out").exists()


def test_one_split_alone_is_an_error(tmp_path):
    write_folders(tmp_path / "imagenet", ["n01"], splits=["train"])
    with pytest.raises(DataError, match=r"imagenet/val: expected"):
        data.locate("imagenet", tmp_path)
