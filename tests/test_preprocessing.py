"""Augmentation and preprocessing of images."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from nonideal import augment, preprocessing, recipe
from nonideal.data import Dataset
from nonideal.preprocessing import prepare
from nonideal.rng import torch_stream


def dataset(train_images, train_labels, test_images, test_labels) -> Dataset:
    arrays = map(np.asarray, (train_images, train_labels, test_images, test_labels))
    return Dataset("made up", *arrays, class_names=tuple(map(str, range(10))))


def test_matrices_have_the_stated_ranges_and_moments():
    ranges = augment.Affine(degrees=20.0, translate=0.2, scale=(0.8, 1.3))
    count = 20_000
    maps = ranges.matrices(count, generator=torch_stream(0, "affine"))
    linear = maps[:, :, :2].double()
    scale = 1 / linear.det().sqrt()
    angle = torch.atan2(linear[:, 1, 0], linear[:, 0, 0]).rad2deg()
    # Pure rotation times magnification: columns are orthogonal and of equal length.
    torch.testing.assert_close(linear[:, 0, 0], linear[:, 1, 1])
    torch.testing.assert_close(linear[:, 0, 1], -linear[:, 1, 0])
    for values, low, high in (
        (angle, -20, 20),
        (scale, 0.8, 1.3),
        (maps[:, 0, 2], -0.4, 0.4),  # 0.2 of the width in coordinates that span 2
        (maps[:, 1, 2], -0.4, 0.4),
    ):
        assert low - 1e-4 <= values.min() and values.max() <= high + 1e-4
        width = high - low
        four_errors = 4 * width / math.sqrt(12 * count)
        assert values.double().mean().item() == pytest.approx((low + high) / 2, abs=four_errors)
        # variance of the uniform: width^2 / 12, standard error width^2 sqrt(1/80 - 1/144) / sqrt(n)
        error = width**2 * math.sqrt(1 / 80 - 1 / 144) / math.sqrt(count)
        assert values.double().var().item() == pytest.approx(width**2 / 12, abs=4 * error)


def test_identity_map_returns_the_images():
    images = torch.randn(3, 2, 6, 6, generator=torch_stream(0, "images"))
    identity = augment.Affine(0.0, 0.0, (1.0, 1.0)).matrices(3, generator=torch_stream(0, "affine"))
    moved = augment.transform(images, identity, torch.tensor([-0.4, 0.7]).view(2, 1, 1))
    torch.testing.assert_close(moved, images, atol=2e-6, rtol=0)


def test_a_shift_by_one_pixel_brings_in_background():
    images = torch.arange(32.0).view(1, 2, 4, 4)
    right = torch.tensor([[[1.0, 0.0, -2 / 4], [0.0, 1.0, 0.0]]])  # the output looks one pixel to the left
    background = torch.tensor([-5.0, 7.0]).view(2, 1, 1)
    moved = augment.transform(images, right, background)
    torch.testing.assert_close(moved[..., 1:], images[..., :-1])
    torch.testing.assert_close(moved[..., 0], background.expand(1, 2, 4, 4)[..., 0])


def test_maps_are_those_of_torch_affine_grid():
    images = torch.randn(4, 2, 5, 7, generator=torch_stream(0, "images"))
    maps = augment.Affine(30.0, 0.2, (0.7, 1.4)).matrices(4, generator=torch_stream(0, "affine"))
    grid = functional.affine_grid(maps, [4, 2, 5, 7], align_corners=False)
    expected = functional.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(
        augment.transform(images, maps, torch.zeros(2, 1, 1)), expected, atol=1e-5, rtol=0
    )


def test_rotation_by_a_right_angle_and_magnification_agree_with_exact_pixels():
    images = torch.randn(1, 1, 6, 6, generator=torch_stream(0, "images"))
    turn = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    moved = augment.transform(images, turn, torch.zeros(1, 1, 1))
    torch.testing.assert_close(moved, torch.rot90(images, 1, dims=(2, 3)), atol=1e-5, rtol=0)
    larger = augment.Affine(0.0, 0.0, (2.0, 2.0)).matrices(1, generator=torch_stream(0, "affine"))
    blob = torch.zeros(1, 1, 8, 8)
    blob[..., 3:5, 3:5] = 1.0
    total = augment.transform(blob, larger, torch.zeros(1, 1, 1)).sum()
    assert total.item() == pytest.approx(4 * blob.sum().item())  # twice as wide, twice as high


def test_preprocessing_resizes_with_antialiasing_and_normalises():
    images = torch.randint(0, 256, (5, 2, 28, 28), generator=torch_stream(0, "images"), dtype=torch.uint8)
    mean, std = [0.1, 0.5], [0.3, 0.2]
    result = preprocessing.preprocess(images, size=16, mean=mean, std=std)
    expected = functional.interpolate(images.double() / 255, (16, 16), mode="bilinear", antialias=True)
    expected = (expected - torch.tensor(mean).view(2, 1, 1)) / torch.tensor(std).view(2, 1, 1)
    torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=0)
    black = preprocessing.preprocess(torch.zeros_like(images), size=16, mean=mean, std=std)
    torch.testing.assert_close(black[0], preprocessing.background(mean, std).expand(2, 16, 16))


def test_moments_are_those_of_the_pixels():
    images = torch.randint(0, 256, (50, 3, 9, 9), generator=torch_stream(0, "images"), dtype=torch.uint8)
    images[:, 1] //= 4
    pixels = images.double().transpose(0, 1).reshape(3, -1) / 255
    mean, std = preprocessing.moments(images)
    assert mean == pytest.approx(pixels.mean(dim=1).tolist(), rel=1e-12)
    assert std == pytest.approx(pixels.std(dim=1, correction=0).tolist(), rel=1e-12)
    with pytest.raises(ValueError, match="channel 0 of the training images is constant"):
        preprocessing.moments(torch.zeros(2, 1, 3, 3, dtype=torch.uint8))


def test_prepare_takes_moments_from_the_training_images_only():
    train_set = torch.randint(0, 200, (20, 1, 6, 6), generator=torch_stream(0, "a"), dtype=torch.uint8)
    test_set = torch.full((4, 1, 6, 6), 255, dtype=torch.uint8)
    labels = torch.zeros(20, dtype=torch.uint8)
    tensors = prepare(dataset(train_set, labels, test_set, labels[:4]), size=6)
    assert tensors.train_images.mean().item() == pytest.approx(0, abs=1e-6)
    assert tensors.train_images.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert tensors.train_labels.dtype == torch.int64


def test_bad_images_and_ranges_are_refused():
    byte = torch.zeros(2, 1, 3, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"uint8 \[n, c, h, w\], got torch.float32 \[2, 1, 3, 3\]"):
        preprocessing.preprocess(byte.float(), size=3, mean=[0.0], std=[1.0])
    with pytest.raises(ValueError, match="one finite value for each of 1 channels"):
        preprocessing.preprocess(byte, size=3, mean=[0.0, 0.0], std=[1.0, 1.0])
    with pytest.raises(ValueError, match="give both mean and std"):
        prepare(dataset(byte, [0, 1], byte, [0, 1]), mean=[0.1])
    with pytest.raises(ValueError, match="test set: found 2 images and 1 labels"):
        prepare(dataset(byte, [0, 1], byte, [0]), mean=[0.1], std=[1.0])
    with pytest.raises(ValueError, match="ascending order"):
        augment.Affine(scale=(1.1, 0.9))
    for ranges in ({"degrees": -1}, {"translate": float("nan")}, {"degrees": float("inf")}):
        with pytest.raises(ValueError, match="must be finite and not negative"):
            augment.Affine(**ranges)
    with pytest.raises(ValueError, match="ascending order"):
        augment.Affine(scale=(0.9, float("inf")))


@pytest.mark.parametrize("std", [float("nan"), float("inf")])
def test_moments_that_are_not_finite_are_refused(std):
    with pytest.raises(ValueError, match="finite"):
        preprocessing.preprocess(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), size=4, mean=[0.0], std=[std])


def test_black_of_mnist_is_that_of_bitnetmcu(monkeypatch):
    images = np.zeros((10, 1, 28, 28), np.uint8)
    images[:, 0, ::2] = 255
    made_up = dataset(images, np.arange(10), images, np.arange(10))
    for name, black in (("mnist", -0.1307 / 0.3081), ("made up", -1.0)):
        monkeypatch.setattr(recipe, "load", lambda folder, name=name: replace(made_up, name=name))
        examples, classes = recipe.tensors("anywhere")
        assert classes == 10 and examples.background.item() == pytest.approx(black)
