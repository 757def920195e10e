"""Learning from a teacher, and from smaller images first."""

import math

import pytest
import torch
from short_training import coloured_images, net, short
from torch import nn
from torch.nn import functional

from nonideal import augment
from nonideal.preprocessing import Tensors
from nonideal.rng import torch_stream
from nonideal.training import Distillation, train


@pytest.fixture(scope="module")
def coloured() -> Tensors:
    return coloured_images()


def test_objective_against_its_formula():
    generator = torch_stream(0, "logits")
    logits, outputs = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 1, 0])
    loss = functional.cross_entropy(logits, labels)
    found = Distillation(net(), temperature=3, share=0.75)(logits, outputs, loss)
    p, q = (torch.exp(values / 3) for values in (outputs, logits))
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    divergence = (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(found, 0.25 * loss + 0.75 * 9 * divergence)


def test_gradients_hardly_depend_on_a_high_temperature():
    logits, outputs = torch.randn(2, 50, 3, generator=torch_stream(0, "logits"), dtype=torch.float64)
    gradients = []
    for temperature in (50, 100):
        leaf = logits.clone().requires_grad_()
        distillation = Distillation(net(), temperature=temperature, share=1)
        distillation(leaf, outputs, torch.zeros(())).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, rtol=0.05, atol=1e-4)


def test_a_student_comes_nearer_to_its_teacher(coloured):
    teacher = net("teacher")
    before = {name: values.clone() for name, values in teacher.state_dict().items()}

    def distance(model):
        with torch.no_grad():
            outputs = [m(coloured.train_images) for m in (model.eval(), teacher)]
        return (outputs[0].softmax(1) - outputs[1].softmax(1)).abs().mean().item()

    plain, taught = net(), net()
    teacher.eval()
    settings = short(epochs=10, lr=0.1)
    train(plain, coloured, settings, seed=0, progress=False)
    history = train(
        taught, coloured, settings, seed=0, progress=False,
        distillation=Distillation(teacher, temperature=1, share=1),
    )  # fmt: skip
    assert distance(taught) < 0.5 * distance(plain)
    assert all(torch.equal(values, before[name]) for name, values in teacher.state_dict().items())
    # What is reported stays the loss against the labels: the teacher here knows nothing of them.
    assert history["train_loss"].iloc[-1] > 0.5 * math.log(3)


def test_a_checkpoint_is_of_one_teacher(coloured, tmp_path):
    def run(teacher, temperature=2, share=0.5):
        distillation = teacher and Distillation(teacher, temperature=temperature, share=share)
        return train(
            net(), coloured, short(epochs=1), seed=0, progress=False, checkpoint=tmp_path / "c.pt",
            distillation=distillation,
        )  # fmt: skip

    run(net("teacher"))
    assert len(run(net("teacher"))) == 1  # the same in content
    for other in ((None,), (net("other"),), (net("teacher"), 3), (net("teacher"), 2, 0.25)):
        with pytest.raises(ValueError, match="another run: distillation"):
            run(*other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
    ],
)
def test_bad_settings_of_distillation_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Distillation(net(), **({"temperature": 1, "share": 0.5} | change))


class Sizes:
    """Sides of the images the network and its teacher are given."""

    def __init__(self, *models: nn.Module) -> None:
        self.seen: list[list[int]] = [[] for _ in models]
        for model, seen in zip(models, self.seen, strict=True):
            model.register_forward_pre_hook(
                lambda model, inputs, seen=seen: seen.append((model.training, inputs[0].shape[-1]))
            )


def test_the_first_epochs_are_on_smaller_images(coloured):
    model, teacher = net(), net("teacher")
    sizes = Sizes(model, teacher)
    train(
        model, coloured, short(epochs=4, small_share=0.5, small_pixels=12), seed=0, progress=False,
        distillation=Distillation(teacher, temperature=1, share=0.5),
    )  # fmt: skip
    assert [size for trained, size in sizes.seen[0] if trained] == [12] * 6 + [16] * 6
    assert {size for trained, size in sizes.seen[0] if not trained} == {16}
    assert {size for _, size in sizes.seen[1]} == {16}


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
