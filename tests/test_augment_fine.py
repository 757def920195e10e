import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from nonideal import augment, preprocessing, training
from nonideal.data import Dataset
from nonideal.models.fc import fc
from nonideal.rng import torch_stream

UNMOVED = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def dataset(size=28, count=40):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 1, size, size), dtype=np.uint8)
    labels = np.arange(count) % 10
    return Dataset("made up", images, labels, images[:20], labels[:20], tuple(map(str, range(10))))


def test_unmoved_fine_images_are_the_preprocessed_ones():
    tensors = preprocessing.prepare(dataset(), size=16, fine=True)
    assert tensors.fine_images.shape == (40, 1, 28, 28)
    same = augment.transform_fine(tensors.fine_images, UNMOVED.expand(40, 2, 3), tensors.background, size=16)
    torch.testing.assert_close(same, tensors.train_images, rtol=1e-4, atol=1e-5)


def test_moving_comes_before_resizing():
    tensors = preprocessing.prepare(dataset(), size=16, fine=True)
    maps = augment.Affine(20, 0.1, (0.8, 1.2)).matrices(40, generator=torch_stream(1, "maps"))
    found = augment.transform_fine(tensors.fine_images, maps, tensors.background, size=16)
    moved = augment.transform(tensors.fine_images, maps, tensors.background)
    wanted = functional.interpolate(moved, size=(16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    coarse = augment.transform(tensors.train_images, maps, tensors.background)
    assert (found - coarse).abs().mean() > 0.05


def test_small_images_have_no_finer_ones():
    tensors = preprocessing.prepare(dataset(size=8), size=16, fine=True)
    assert tensors.fine_images is None
    assert preprocessing.prepare(dataset(), size=16).fine_images is None


def test_fine_images_belong_to_the_data_and_reach_the_loop(monkeypatch):
    coarse, fine = (preprocessing.prepare(dataset(), size=16, fine=fine) for fine in (False, True))
    assert coarse.digest() != fine.digest() == fine.to(torch.device("cpu")).digest()
    losses = []
    for tensors in (coarse, fine):
        model = fc(generator=torch_stream(0, "init"), widths=(4,))
        history = training.train(
            model, tensors, training.Settings(epochs=1, batch_size=20, device="cpu"), seed=1, progress=False
        )
        losses.append(history["train_loss"].item())
    assert losses[0] != losses[1]


def test_numbers_must_match():
    tensors = preprocessing.prepare(dataset(), size=16, fine=True)
    with pytest.raises(ValueError, match="40 images and 3 fine ones"):
        preprocessing.Tensors(
            tensors.train_images,
            tensors.train_labels,
            tensors.test_images,
            tensors.test_labels,
            tensors.background,
            tensors.fine_images[:3],
        )


def test_shear_slants_by_the_stated_angle_and_leaves_other_maps_alone():
    plain, sheared = (
        augment.Affine(0, 0, (1, 1), shear).matrices(20_000, generator=torch_stream(0, "maps")).double()
        for shear in (0.0, 20.0)
    )
    assert torch.equal(plain, UNMOVED.double().expand(20_000, 2, 3))
    slant = torch.atan(sheared[:, 0, 1])
    assert torch.equal(sheared[:, 1], plain[:, 1]) and torch.equal(sheared[:, 0, 0], plain[:, 0, 0])
    limit = math.radians(20)
    assert slant.abs().max() <= limit + 1e-6
    # Uniform: standard deviation limit / sqrt(3), its standard error that times sqrt(0.2 / n).
    assert slant.std().item() == pytest.approx(limit / math.sqrt(3), rel=4 * math.sqrt(0.2 / 20_000))
    with pytest.raises(ValueError, match="shear must lie"):
        augment.Affine(shear=90)
