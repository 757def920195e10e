"""Sharpness-aware minimisation and images that are not shifted."""

import copy

import pytest
import torch
from short_training import coloured_images, net, short
from torch.nn import functional

from nonideal.preprocessing import Tensors
from nonideal.training import train
from nonideal.training.batches import batches
from nonideal.training.sharpness import ascended


@pytest.fixture(scope="module")
def coloured() -> Tensors:
    return coloured_images()


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_step_against_a_loop_written_out(coloured, share):
    """Up the unit vector of the gradient, gradient there, step from where it was (Foret et al.)."""
    settings = short(epochs=1, sharpness=0.3, sharpness_share=share, momentum=0.0)
    model = net()
    other = copy.deepcopy(model)
    history = train(model, coloured, settings, seed=4, progress=False)
    other.train()
    losses, counts = [], []
    for _, images, labels, _ in batches(coloured, settings, 4, 0):
        seen = int(share * len(images))
        loss = functional.cross_entropy(other(images[:seen]), labels[:seen])
        losses.append(loss.item() * seen)
        counts.append(seen)
        gradients = torch.autograd.grad(loss, list(other.parameters()))
        length = torch.cat([g.flatten() for g in gradients]).norm()
        worse = copy.deepcopy(other)
        for value, gradient in zip(worse.parameters(), gradients, strict=True):
            value.data += 0.3 * gradient / length
        up = torch.autograd.grad(functional.cross_entropy(worse(images), labels), list(worse.parameters()))
        rate = settings.rate(0, (len(losses) - 1) * 16 / 40)
        for value, gradient in zip(other.parameters(), up, strict=True):
            value.data -= rate * gradient
    assert history["train_loss"].item() == pytest.approx(
        sum(losses) / sum(counts)
    )  # at the weights, not at the worst
    for (name, found), expected in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, msg=name, rtol=1e-4, atol=1e-5)


def test_weights_come_back_bit_for_bit(coloured):
    model = net().train()
    functional.cross_entropy(model(coloured.train_images), coloured.train_labels).backward()
    before = copy.deepcopy(model.state_dict())
    flat = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    with pytest.raises(RuntimeError, match="out of memory"), ascended(model, 0.7):
        moved = torch.nn.utils.parameters_to_vector(model.parameters()) - flat
        assert moved.norm().item() == pytest.approx(0.7, rel=1e-3)
        model(coloured.train_images)  # leaves the running statistics
        raise RuntimeError("out of memory")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model(coloured.train_images)
    assert not torch.equal(model.norm.running_mean, before["norm.running_mean"])


def test_without_a_gradient_nothing_moves():
    model = net()
    for value in model.parameters():
        value.grad = torch.zeros_like(value)
    before = copy.deepcopy(model.state_dict())
    with ascended(model, 1.0):
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_share_of_still_images(coloured):
    """Of the other images a 1/81 is not shifted by chance; order and mirroring are as without."""
    shown = {}
    for share in (0.0, 0.5, 1.0):
        settings = short(augmentation="crop_flip", still_share=share)
        shown[share] = [batch for epoch in range(25) for batch in batches(coloured, settings, 0, epoch)]

    def still(share):
        found = []
        for _, images, _, _ in shown[share]:
            for image in images:
                both = torch.stack((image, image.flip(2)))
                found.append((both[:, None] == coloured.train_images[None]).flatten(2).all(2).any().item())
        return torch.tensor(found).double()

    assert still(1.0).all()
    assert still(0.0).mean() < 0.03
    assert still(0.5).mean().item() == pytest.approx(0.5 + 0.5 / 81, abs=5 * 0.5 / 1000**0.5)
    for (_, _, first, _), (_, _, second, _) in zip(shown[0.0], shown[0.5], strict=True):
        assert torch.equal(first, second)
    moved = torch.cat([batch[1] for batch in shown[0.5]])[still(0.5) == 0]
    as_without = torch.cat([batch[1] for batch in shown[0.0]])[still(0.5) == 0]
    assert torch.equal(moved, as_without)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sharpness": -0.1}, "sharpness must be a radius from 0"),
        ({"sharpness": float("nan")}, "sharpness"),
        ({"sharpness_share": 0.0}, r"sharpness_share must lie in \(0, 1\], got 0.0"),
        ({"sharpness_share": 1.5}, "sharpness_share must lie in"),
        (
            {"sharpness": 0.1, "sharpness_share": 0.5, "augmentation": "affine"},
            "sharpness_share goes with augmentation crop_flip or none, got 'affine'",
        ),
        ({"still_share": 1.5, "augmentation": "crop_flip"}, "still_share must lie in"),
        ({"still_share": 0.5}, "still_share goes with augmentation crop_flip, got 'none'"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        short(**change)
