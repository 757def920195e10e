import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from nonideal import augment, preprocessing, training
from nonideal.data import Dataset
from nonideal.models.fc import fc
from nonideal.rng import torch_stream
from nonideal.training.batches import batches

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


def test_elastic_maps_move_as_their_knots_do():
    images = preprocessing.prepare(dataset(), size=28).train_images
    background, unmoved = torch.full((1, 1, 1), -2.0), UNMOVED.expand(40, 2, 3)
    knots = torch.zeros(40, 2, augment.KNOTS, augment.KNOTS)
    still = augment.transform(images, unmoved, background, knots)
    torch.testing.assert_close(still, images, rtol=1e-4, atol=1e-5)
    knots[:, 0], knots[:, 1] = 1, -2  # everything from one pixel to the right and two up
    shifted = augment.transform(images, unmoved, background, knots)
    torch.testing.assert_close(shifted[:, :, 2:, :-1], images[:, :, :-2, 1:], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(shifted[:, :, :2], torch.full((40, 1, 2, 28), -2.0), rtol=1e-4, atol=1e-4)
    knots.zero_()
    knots[:, 0, 0, 0] = 3  # the upper left corner is a knot; the other corners stay where they are
    bent = augment.transform(images, unmoved, background, knots)
    torch.testing.assert_close(bent[..., 0, 0], images[..., 0, 3], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(bent[..., 14:, :], images[..., 14:, :], rtol=0.05, atol=0.35)
    torch.testing.assert_close(bent[..., -1, -1], images[..., -1, -1], rtol=1e-4, atol=1e-5)

    wide = images[:, :, :20]
    knots[:, 0], knots[:, 1] = 0, 4
    lowered = augment.transform(wide, unmoved, background, knots)
    torch.testing.assert_close(lowered[:, :, :-4], wide[:, :, 4:], rtol=1e-3, atol=1e-4)


def test_elastic_displacements_are_standard_normal():
    drawn = augment.draw_elastic(20_000, generator=torch_stream(0, "knots"))
    assert drawn.shape == (20_000, 2, 5, 5)
    torch.testing.assert_close(drawn.std(dim=0), torch.ones(2, 5, 5), rtol=0.05, atol=0)
    torch.testing.assert_close(drawn.mean(dim=0), torch.zeros(2, 5, 5), rtol=0, atol=0.05)


def test_elastic_copies_are_in_pixels_and_leave_the_rest_of_the_epoch_alone():
    tensors = preprocessing.prepare(dataset(), size=28)

    def drawn(elastic):
        settings = training.Settings(
            batch_size=80, degrees=0, translate=0, scale_range=(1, 1), elastic=elastic
        )
        ((_, images, labels, _),) = batches(tensors, settings, 3, 1)
        return images, labels

    (plain, labels), (moved, same) = drawn(0.0), drawn(1.5)
    assert torch.equal(labels, same) and torch.equal(plain[:40], moved[:40])
    generator = torch_stream(3, "training", "epoch", 1)
    order = [torch.randperm(40, generator=generator) for _ in range(2)][1]
    augment.Affine().matrices(40, generator=generator)
    knots = 1.5 * augment.draw_elastic(40, generator=generator)
    wanted = augment.transform(
        tensors.train_images[order], UNMOVED.expand(40, 2, 3), tensors.background, knots
    )
    torch.testing.assert_close(moved[40:], wanted)
    assert (moved[40:] - plain[40:]).abs().mean() > 0.1
    fine = preprocessing.prepare(dataset(), size=16, fine=True)
    settings = training.Settings(batch_size=80, elastic=1.5)
    ((_, images, _, _),) = batches(fine, settings, 3, 1)
    assert images.shape == (80, 1, 16, 16)
    ((_, straight, _, _),) = batches(fine, training.Settings(batch_size=80), 3, 1)
    assert (images[40:] - straight[40:]).abs().mean() > 0.05


@pytest.mark.parametrize("fine", [False, True])
def test_an_epoch_is_the_same_images_however_it_is_divided(fine):
    tensors = preprocessing.prepare(dataset(), size=16, fine=fine)

    def epoch(size):
        found = [[], [], [], []]
        for _, images, labels, _ in batches(tensors, training.Settings(batch_size=size, elastic=1.5), 3, 1):
            for part, values in zip(found, (*images.chunk(2), *labels.chunk(2)), strict=True):
                part.append(values)
        return [torch.cat(part) for part in found]

    for one, other in zip(epoch(80), epoch(18), strict=True):
        torch.testing.assert_close(one, other)
