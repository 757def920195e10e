"""Learning from what a teacher says, and from smaller images first."""

import math

import pytest
import torch
from short_training import coloured_images, net, short
from torch.nn import functional

from nonideal import augment
from nonideal.preprocessing import Tensors
from nonideal.rng import torch_stream
from nonideal.training import Distillation, Lessons, teach, train
from nonideal.training.batches import batches


@pytest.fixture(scope="module")
def coloured() -> Tensors:
    return coloured_images()


@pytest.fixture(scope="module")
def lessons(coloured) -> Lessons:
    return lessons_of(coloured)


def lessons_of(tensors: Tensors, name: str = "teacher") -> Lessons:
    return teach(net(name), tensors, short(), views=3, seed=0, progress=False)


def cropped(**changes):
    return short(augmentation="crop_flip", **changes)


def test_lessons_are_of_crops_and_their_mirror_images(coloured, lessons):
    assert lessons.corners.shape == (3, 40, 2) and lessons.outputs.shape == (3, 40, 3)
    teacher = net("teacher").eval()
    padded = functional.pad(coloured.train_images, (4,) * 4)
    for view, image in ((0, 0), (2, 39)):
        down, right = lessons.corners[view, image].tolist()
        crop = padded[image : image + 1, :, down : down + 16, right : right + 16]
        with torch.no_grad():
            said = (teacher(crop) + teacher(crop.flip(3)))[0] / 2
        torch.testing.assert_close(lessons.outputs[view, image], said)
    assert (lessons.corners[0] == augment.CROP_PADDING).all()  # the images as they are
    corners = lessons.corners[1:].flatten(0, 1)
    assert corners.min() == 0 and corners.max() == 8 and len(corners.unique(dim=0)) > 40


def test_batches_show_the_crops_the_teacher_was_asked_about(coloured, lessons):
    # Outputs that name view and image, so that a batch can be traced back.
    named = torch.arange(3 * 40.0).view(3, 40, 1).expand(3, 40, 3).contiguous()
    traced = Lessons(lessons.corners, named)
    padded = functional.pad(coloured.train_images, (4,) * 4)
    seen, mirrored = [], 0
    for epoch in range(2):
        found = list(batches(coloured, cropped(), 0, epoch, traced))
        names = torch.cat([outputs[:, 0] for *_, outputs in found]).long()
        assert sorted((names % 40).tolist()) == list(range(40))
        seen.append(names.sort().values)
        images, labels = (torch.cat([batch[part] for batch in found]) for part in (1, 2))
        assert torch.equal(labels, coloured.train_labels[names % 40])
        for name, shown in zip(names.tolist(), images, strict=True):
            view, image = divmod(name, 40)
            down, right = lessons.corners[view, image].tolist()
            crop = padded[image, :, down : down + 16, right : right + 16]
            mirrored += torch.equal(shown, crop.flip(2))
            assert torch.equal(shown, crop) or torch.equal(shown, crop.flip(2))
    assert not torch.equal(*seen) and {name // 40 for name in seen[0].tolist()} == {0, 1, 2}
    assert 20 < mirrored < 60


def test_images_that_are_not_shifted_are_shown_as_the_teacher_saw_them(coloured, lessons):
    named = torch.arange(3 * 40.0).view(3, 40, 1).expand(3, 40, 3).contiguous()
    traced = Lessons(lessons.corners, named)
    for share, least, most in ((0.5, 20, 36), (1, 40, 40)):
        shown = list(batches(coloured, cropped(still_share=share), 0, 0, traced))
        names = torch.cat([outputs[:, 0] for *_, outputs in shown]).long()
        images = torch.cat([batch for _, batch, *_ in shown])
        first = names < 40  # by chance, another third of those that are shifted
        assert least <= first.sum() <= most
        whole = coloured.train_images[names[first]]
        mirrored = [torch.equal(*pair) for pair in zip(images[first], whole.flip(3), strict=True)]
        as_it_is = [torch.equal(*pair) for pair in zip(images[first], whole, strict=True)]
        assert all(a or b for a, b in zip(mirrored, as_it_is, strict=True))


def test_lessons_leave_the_order_of_the_images(coloured, lessons):
    taught, plain = (
        torch.cat([batch[2] for batch in batches(coloured, cropped(cutout=2), 0, 0, given)])
        for given in (lessons, None)
    )
    assert torch.equal(taught, plain)


def test_objective_against_its_formula(lessons):
    generator = torch_stream(0, "logits")
    logits, outputs = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 1, 0])
    loss = functional.cross_entropy(logits, labels)
    found = Distillation(lessons, temperature=3, share=0.75)(logits, outputs, loss)
    p, q = (torch.exp(values / 3) for values in (outputs, logits))
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    divergence = (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(found, 0.25 * loss + 0.75 * 9 * divergence)


def test_gradients_hardly_depend_on_a_high_temperature(lessons):
    logits, outputs = torch.randn(2, 50, 3, generator=torch_stream(0, "logits"), dtype=torch.float64)
    gradients = []
    for temperature in (50, 100):
        leaf = logits.clone().requires_grad_()
        distillation = Distillation(lessons, temperature=temperature, share=1)
        distillation(leaf, outputs, torch.zeros(())).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, rtol=0.05, atol=1e-4)


def test_a_student_comes_nearer_to_its_teacher(coloured, lessons):
    teacher = net("teacher").eval()

    def distance(model):
        with torch.no_grad():
            outputs = [m(coloured.train_images) for m in (model.eval(), teacher)]
        return (outputs[0].softmax(1) - outputs[1].softmax(1)).abs().mean().item()

    plain, taught = net(), net()
    settings = cropped(epochs=10, lr=0.1)
    train(plain, coloured, settings, seed=0, progress=False)
    history = train(
        taught, coloured, settings, seed=0, progress=False,
        distillation=Distillation(lessons, temperature=1, share=1),
    )  # fmt: skip
    assert distance(taught) < 0.5 * distance(plain)
    # What is reported stays the loss against the labels: the teacher here knows nothing of them.
    assert history["train_loss"].iloc[-1] > 0.5 * math.log(3)


def test_a_checkpoint_is_of_one_teacher(coloured, lessons, tmp_path):
    def run(given, temperature=2, share=0.5):
        distillation = given and Distillation(given, temperature=temperature, share=share)
        return train(
            net(), coloured, cropped(epochs=1), seed=0, progress=False, checkpoint=tmp_path / "c.pt",
            distillation=distillation,
        )  # fmt: skip

    run(lessons)
    again = Lessons(*(values.clone() for values in lessons))
    assert len(run(again)) == 1  # the same in content
    other = lessons_of(coloured, "other")
    moved = Lessons(lessons.corners.roll(1, 0), lessons.outputs)
    for given in ((None,), (other,), (moved,), (lessons, 3), (lessons, 2, 0.25)):
        with pytest.raises(ValueError, match="another run: distillation"):
            run(*given)


def test_lessons_of_other_images_are_refused(coloured, lessons):
    fewer = Lessons(lessons.corners[:, :39], lessons.outputs[:, :39])
    for given, settings, message in (
        (fewer, cropped(), "asked about 39 training images, and there are 40"),
        (lessons, short(), "crop_flip.*got 'none'"),
    ):
        with pytest.raises(ValueError, match=message):
            train(
                net(), coloured, settings, seed=0, progress=False,
                distillation=Distillation(given, temperature=1, share=1),
            )  # fmt: skip
    with pytest.raises(ValueError, match=r"\[3, 39, 2\] and \[3, 40, 3\]"):
        Distillation(Lessons(fewer.corners, lessons.outputs), temperature=1, share=1)
    with pytest.raises(ValueError, match="views must be a whole number from 1, got 0"):
        teach(net(), coloured, short(), views=0, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
    ],
)
def test_bad_settings_of_distillation_are_named(lessons, change, message):
    with pytest.raises(ValueError, match=message):
        Distillation(lessons, **({"temperature": 1, "share": 0.5} | change))


def test_the_first_epochs_are_on_smaller_images(coloured, lessons):
    model, sizes = net(), []
    model.register_forward_pre_hook(lambda model, inputs: sizes.append((model.training, inputs[0].shape[-1])))
    train(
        model, coloured, cropped(epochs=4, small_share=0.5, small_pixels=12), seed=0, progress=False,
        distillation=Distillation(lessons, temperature=1, share=0.5),
    )  # fmt: skip
    assert [size for trained, size in sizes if trained] == [12] * 6 + [16] * 6
    assert {size for trained, size in sizes if not trained} == {16}


def test_the_last_epoch_is_on_whole_images_however_short_the_training(coloured):
    model, sizes = net(), []
    model.register_forward_pre_hook(lambda model, inputs: sizes.append((model.training, inputs[0].shape[-1])))
    train(model, coloured, short(epochs=2, small_share=0.9, small_pixels=12), seed=0, progress=False)
    assert [size for trained, size in sizes if trained] == [12] * 3 + [16] * 3


def test_resizing_against_means():
    images = torch.randn(2, 3, 8, 8, generator=torch_stream(0, "resize"))
    # Antialiased halving weighs four pixels along each axis 1, 3, 3, 1.
    inner = augment.resize(images, 4)[:, :, 1:3, 1:3]
    kernel = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    windows = images[:, :, 1:7, 1:7].unfold(2, 4, 2).unfold(3, 4, 2)
    torch.testing.assert_close(inner, torch.einsum("ncijkl,k,l->ncij", windows, kernel, kernel))
    with pytest.raises(ValueError, match="8 x 8"):
        augment.resize(images, 8)


@pytest.mark.parametrize(
    ("change", "message"), [({"small_share": 1.0}, "small_share"), ({"small_pixels": 0}, "small_pixels")]
)
def test_bad_settings_of_small_images_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        short(**change)
