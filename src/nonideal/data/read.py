"""Read both splits of a data set from its source and compare them with what is published about it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from nonideal.data.catalogue import MNIST_SHA256, Spec
from nonideal.data.errors import DataError
from nonideal.data.folders import read_scaled
from nonideal.data.idx import idx_sha256, read_idx
from nonideal.data.sources import Source
from nonideal.data.splits import stratified_choice

DIGITS_SEED = 1797  # the number of images; any fixed number would do
DIGITS_TEST = 360  # test images, a fifth of them
DIGITS_MAX = 16  # scikit-learn's digits count the ink pixels in blocks of 4 x 4

Splits = dict[str, tuple[np.ndarray, np.ndarray]]  # by "train", "test": images, labels
Findings = dict[str, Any]  # what goes into the manifest about fidelity


def read_source(
    spec: Spec, source: Source, *, accept_unknown: bool = False, progress: bool = False
) -> tuple[Splits, Findings]:
    """Read images and labels.

    Parameters
    ----------
    spec
        Description of the data set.
    source
        Its files.
    accept_unknown
        Read MNIST files and CIFAR-10 batches even if they are not the published ones.
    progress
        Show a progress bar while images are decoded.

    Returns
    -------
    splits
        By split: uint8 images ``[n, c, h, w]`` and int64 labels ``[n]``.
    findings
        ``verification``: ``"verified"`` if every image and label is the published one, ``"unknown"``
        otherwise; ``verified_against``; for parquet also ``encodings``, counting images by encoding (JPEG
        loses detail).

    Raises
    ------
    DataError
        If a file is damaged, not what it should be, or not the published one.
    """
    if source.kind == "bundled":
        splits, findings = _digits()
    elif source.kind == "idx":
        splits, findings = _from_idx(spec, source), _unknown()
    elif source.kind == "pickle":
        splits, findings = _from_pickles(spec, source, accept_unknown)
    elif source.kind == "folders":
        assert spec.image_shape is not None
        splits = read_scaled(source, spec.image_shape[-1], progress=progress)
        findings = _unknown()
    else:
        splits, findings = _from_parquet(spec, source, progress)
    for split, files in (("train", source.train), ("test", source.test)):
        _check(spec, files[0] if files else spec.name, *splits[split])
    if spec.name == "mnist":
        findings |= _compare_mnist(source, splits, accept_unknown)
    return splits, findings


def _unknown() -> Findings:
    return {"verification": "unknown", "verified_against": None}


def _check(spec: Spec, path: Any, images: np.ndarray, labels: np.ndarray) -> None:
    remedy = "Replace the files of this split by fresh copies."
    if len(images) != len(labels):
        raise DataError(path, f"a label for each of {len(images)} images", f"{len(labels)} labels", remedy)
    classes = len(spec.class_names)
    if labels.min() < 0 or labels.max() >= classes:
        first = spec.idx_first_label
        found = f"{labels.min() + first} to {labels.max() + first}"
        raise DataError(path, f"labels from {first} to {classes - 1 + first}", found, remedy)


def _digits() -> tuple[Splits, Findings]:
    """Scikit-learn's handwritten digits, split by a fixed stratified choice."""
    import sklearn
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # 0..16 becomes 0..255, rounded to nearest; the one half, 8 * 255/16 = 127.5, goes to 128.
    images = np.rint(bunch.images * (255 / DIGITS_MAX)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    test = np.zeros(len(labels), dtype=bool)
    test[stratified_choice(labels, DIGITS_TEST, DIGITS_SEED, "data", "digits")] = True
    splits = {"train": (images[~test], labels[~test]), "test": (images[test], labels[test])}
    return splits, {"verification": "bundled", "verified_against": f"scikit-learn {sklearn.__version__}"}


def _from_idx(spec: Spec, source: Source) -> Splits:
    assert spec.image_shape is not None
    splits = {}
    for split, (image_file, label_file) in (("train", source.train), ("test", source.test)):
        images = read_idx(image_file, spec.image_shape[1:])
        if spec.idx_transposed:
            images = images.transpose(0, 2, 1)
        labels = read_idx(label_file).astype(np.int64) - spec.idx_first_label
        splits[split] = (images[:, None], labels)
    return splits


def _from_pickles(spec: Spec, source: Source, accept_unknown: bool) -> tuple[Splits, Findings]:
    from nonideal.data.pickles import read_batch

    splits, verified = {}, True
    for split, paths in (("train", source.train), ("test", source.test)):
        parts = []
        for path in paths:
            images, labels, published = read_batch(path, len(spec.class_names), accept_unknown=accept_unknown)
            _check(spec, path, images, labels)  # here, so that a mismatch names the batch
            parts.append((images, labels))
            verified &= published
        splits[split] = tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not verified:
        return splits, _unknown()
    return splits, {"verification": "verified", "verified_against": "MD5 of the batches, from torchvision"}


def _from_parquet(spec: Spec, source: Source, progress: bool) -> tuple[Splits, Findings]:
    from nonideal.data.parquet import read_images  # here, because importing PyArrow takes a while

    assert spec.image_shape is not None
    encodings: Counter[str] = Counter()
    splits = {}
    for split, paths in (("train", source.train), ("test", source.test)):
        images, labels, found = read_images(
            paths, spec.parquet_image, spec.image_shape, len(spec.class_names), progress=progress
        )
        splits[split] = (images, labels)
        encodings += found
    return splits, {**_unknown(), "encodings": dict(sorted(encodings.items()))}


def _compare_mnist(source: Source, splits: Splits, accept_unknown: bool) -> Findings:
    for split, files in (("train", source.train), ("test", source.test)):
        images, labels = splits[split]
        contents = {"images": images[:, 0], "labels": labels.astype(np.uint8)}
        for position, (part, content) in enumerate(contents.items()):
            found, published = idx_sha256(content), MNIST_SHA256[split, part]
            if found == published:
                continue
            if accept_unknown:
                return _unknown()
            path = files[position] if source.kind == "idx" else files[0]
            expected = f"MNIST's {split} {part} (SHA-256 {published} of the unpacked file)"
            remedy = "Replace it by a fresh copy; to use these data all the same, set accept_unknown."
            raise DataError(path, expected, found, remedy)
    return {"verification": "verified", "verified_against": "SHA-256 of the unpacked IDX files"}
