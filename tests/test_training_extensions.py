"""Schedules, crop and flip, hooks, parameter groups, precision."""

import math
import platform
from pathlib import Path

import pytest
import torch
from short_training import coloured_images, net, short
from torch.nn import functional

from nonideal import augment
from nonideal.preprocessing import Tensors
from nonideal.quantize import attach
from nonideal.rng import torch_stream
from nonideal.training import Hook, Settings, evaluate, evaluation, loop, train
from nonideal.training.batches import batches


@pytest.fixture(scope="module")
def coloured() -> Tensors:
    return coloured_images()


# ------------------------------------------------------------------- schedules


def test_schedules_against_their_formulas():
    halving = Settings(epochs=30, lr=0.8, schedule="halving", step_epochs=10)
    assert [halving.rate(epoch, 0.5) for epoch in (0, 9, 10, 29)] == [0.8, 0.8, 0.4, 0.2]
    steps = Settings(epochs=15, lr=1.0, schedule="step", milestones=(2 / 3, 0.9))
    assert [steps.rate(epoch) for epoch in (9, 10, 13, 14)] == pytest.approx([1.0, 0.1, 0.1, 0.01])
    warm = Settings(epochs=12, lr=1.0, schedule="cosine", warmup_epochs=2.0)
    assert [warm.rate(0), warm.rate(1), warm.rate(1, 0.5)] == [0.0, 0.5, 0.75]
    assert warm.rate(2) == 1.0
    assert warm.rate(7) == pytest.approx(0.5)
    assert warm.rate(9, 0.5) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.75)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"warmup_epochs": 2.0}, "warmup_epochs"),
        ({"milestones": (0.6, 0.3)}, "milestones"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"average_decay": 1.0}, "average_decay"),
        ({"augmentation": "mixup"}, "crop_flip"),
        ({"precision": "float16"}, "bfloat16"),
        ({"cutout": -1, "augmentation": "crop_flip"}, "cutout"),
        ({"cutout": 1.5, "augmentation": "crop_flip"}, "cutout"),
        ({"cutout": 4}, "crop_flip"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        short(**change)


# --------------------------------------------------------------- crop and flip


def test_crop_and_flip_against_indexing():
    generator = torch_stream(0, "crop")
    images = torch.randn(30, 2, 5, 6, generator=generator)
    ground = torch.tensor([0.5, -1.0]).view(2, 1, 1)
    corners, mirrored = augment.draw_crop_flip(30, generator=generator)
    result = augment.crop_flip(images, corners, mirrored, ground)
    assert set(mirrored.tolist()) == {True, False}
    for n in range(30):
        padded = ground.expand(2, 5 + 8, 6 + 8).clone()
        padded[:, 4:9, 4:10] = images[n]
        down, right = corners[n].tolist()
        expected = padded[:, down : down + 5, right : right + 6]
        torch.testing.assert_close(result[n], expected.flip(2) if mirrored[n] else expected)


def test_crops_are_uniform_over_all_corners():
    corners, mirrored = augment.draw_crop_flip(81_000, generator=torch_stream(0, "uniform"))
    counts = torch.bincount(corners[:, 0] * 9 + corners[:, 1], minlength=81)
    assert ((counts - 1000).abs() < 5 * math.sqrt(1000)).all() and len(counts) == 81
    assert abs(mirrored.double().mean().item() - 0.5) < 5 * 0.5 / math.sqrt(81_000)


def test_an_epoch_is_every_image_once(coloured):
    for augmentation in ("none", "crop_flip"):
        found = list(batches(coloured, short(augmentation=augmentation), 0, 0))
        assert [len(labels) for _, _, labels, _ in found] == [16, 16, 8]
        assert sorted(torch.cat([b[2] for b in found]).tolist()) == sorted(coloured.train_labels.tolist())
    plain = list(batches(coloured, short(), 0, 0))
    moved = torch.cat([images for _, images, _, _ in found])
    clean = torch.cat([images for _, images, _, _ in plain])
    assert not torch.equal(moved, clean)
    # The clean images keep their labels.
    index = [(coloured.train_images == image).all(dim=(1, 2, 3)).nonzero().item() for image in clean]
    assert sorted(index) == list(range(40))
    assert coloured.train_labels[index].tolist() == torch.cat([b[2] for b in plain]).tolist()


@pytest.mark.parametrize("side", [1, 2, 3, 4, 9])
def test_cutout_against_indexing(side):
    images = torch.randn(40, 2, 5, 7, generator=torch_stream(0, "cutout")) + 10
    centres = augment.draw_cutout(40, 5, 7, generator=torch_stream(1, "cutout"))
    result = augment.cutout(images, centres, side)
    for n, (row, column) in enumerate(centres.tolist()):
        expected = images[n].clone()
        top, left = row - side // 2, column - side // 2
        expected[:, max(top, 0) : top + side, max(left, 0) : left + side] = 0
        assert torch.equal(result[n], expected)
    assert images.min() > 0  # the given images stay as they are


def test_cutouts_are_centred_on_every_pixel_alike():
    centres = augment.draw_cutout(42_000, 6, 7, generator=torch_stream(0, "uniform"))
    counts = torch.bincount(centres[:, 0] * 7 + centres[:, 1], minlength=42)
    assert ((counts - 1000).abs() < 5 * math.sqrt(1000)).all() and len(counts) == 42


def test_an_epoch_with_cutout_is_the_one_without_but_for_the_squares(coloured):
    pairs = zip(
        batches(coloured, short(augmentation="crop_flip"), 0, 0),
        batches(coloured, short(augmentation="crop_flip", cutout=3), 0, 0),
        strict=True,
    )
    for (_, whole, labels, _), (_, cut, same, _) in pairs:
        assert torch.equal(labels, same)
        hidden = (cut != whole).any(dim=1)
        assert (hidden.sum(dim=(1, 2)) <= 9).all() and hidden.sum() > 0
        assert (cut[hidden[:, None].expand_as(cut)] == 0).all()


# ------------------------------------------------- hooks, groups, loss, precision


class Recorder(Hook):
    def __init__(self):
        self.calls = []

    def before_epoch(self, model, epoch):
        self.calls.append(("epoch", epoch))

    def before_step(self, model, epoch, step):
        self.calls.append(("before", epoch, step, model.conv.weight.detach().clone()))

    def after_step(self, model, epoch, step):
        self.calls.append(("after", epoch, step, model.conv.weight.detach().clone()))

    def after_epoch(self, model, epoch):
        return {"recorded": float(epoch)}


def test_hooks_are_called_around_epochs_and_steps(coloured):
    hook = Recorder()
    history = train(net(), coloured, short(), seed=0, hooks=[hook], progress=False)
    names = [call[:-1] if len(call) > 2 else call for call in hook.calls]
    epoch = lambda k: [("epoch", k)] + [(side, k, s) for s in range(3) for side in ("before", "after")]  # noqa: E731
    assert names == epoch(0) + epoch(1)
    before, after = hook.calls[1][-1], hook.calls[2][-1]
    assert not torch.equal(before, after) and torch.equal(after, hook.calls[3][-1])
    assert history["recorded"].tolist() == [0.0, 1.0]


def test_a_checkpoint_is_refused_with_other_hooks(coloured, tmp_path):
    train(net(), coloured, short(), seed=0, checkpoint=tmp_path / "c.pt", hooks=[Recorder()], progress=False)
    train(net(), coloured, short(), seed=0, checkpoint=tmp_path / "c.pt", hooks=[Recorder()], progress=False)
    with pytest.raises(ValueError, match="hooks"):
        train(net(), coloured, short(), seed=0, checkpoint=tmp_path / "c.pt", progress=False)


def test_parameter_groups_have_their_own_rate_and_decay(coloured):
    model = net()
    start = {name: p.detach().clone() for name, p in model.named_parameters()}

    def groups(model):
        head = list(model.classifier.parameters())
        rest = [p for name, p in model.named_parameters() if not name.startswith("classifier")]
        return [{"params": rest, "lr_factor": 0.0}, {"params": head, "lr_factor": 2.0}]

    settings = short(epochs=1, schedule="constant", momentum=0.0, batch_size=40)
    train(model, coloured, settings, seed=0, parameter_groups=groups, progress=False)
    reference = net().train()
    order = torch.cat([b[2] for b in batches(coloured, settings, 0, 0)])
    images = next(batches(coloured, settings, 0, 0))[1]
    functional.cross_entropy(reference(images), order).backward()
    for name, parameter in model.named_parameters():
        if name.startswith("classifier"):
            expected = start[name] - 2 * 0.01 * dict(reference.named_parameters())[name].grad
            torch.testing.assert_close(parameter, expected)
        else:
            assert torch.equal(parameter, start[name])


def test_label_smoothing_changes_the_step_but_not_the_reported_loss(coloured):
    settings = {"epochs": 1, "batch_size": 40}
    plain, smooth = net(), net()
    a = train(plain, coloured, short(**settings), seed=0, progress=False)
    b = train(smooth, coloured, short(**settings, label_smoothing=0.2), seed=0, progress=False)
    assert a["train_loss"][0] == b["train_loss"][0]
    assert not torch.equal(plain.conv.weight, smooth.conv.weight)
    # One step on all images: the weights differ as the gradients do.
    other, moved = net().train(), {}
    for smoothing in (0.0, 0.2):
        loss = functional.cross_entropy(
            other(coloured.train_images), coloured.train_labels, label_smoothing=smoothing
        )
        moved[smoothing] = torch.autograd.grad(loss, other.conv.weight)[0]
    changed, wanted = (plain.conv.weight - smooth.conv.weight).detach(), moved[0.2] - moved[0.0]
    rate = (changed * wanted).sum() / wanted.square().sum()
    torch.testing.assert_close(changed, rate * wanted, rtol=0, atol=1e-3 * changed.abs().max().item())
    assert rate > 0


@pytest.mark.parametrize("found", [True, False])
def test_bfloat16_and_channels_last_agree_with_plain_training(coloured, found, monkeypatch, capsys):
    """Where a processor does not compute in bfloat16, in float32, and that is said."""
    for module in (loop, evaluation):
        monkeypatch.setattr(module, "has_bfloat16", lambda device: found)
    plain = train(net(), coloured, short(), seed=0, progress=False)
    last = train(net(), coloured, short(channels_last=True), seed=0, progress=False)
    half = train(net(), coloured, short(channels_last=True, precision="bfloat16"), seed=0, progress=False)
    assert last["train_loss"].tolist() == pytest.approx(plain["train_loss"].tolist(), rel=1e-3)
    assert half["train_loss"].tolist() == pytest.approx(plain["train_loss"].tolist(), rel=0.02)
    assert (half["train_loss"].tolist() == last["train_loss"].tolist()) is not found
    assert ("float32 instead" in capsys.readouterr().err) is not found


def test_bfloat16_is_where_the_processor_has_it():
    flags = Path("/proc/cpuinfo")
    if not flags.exists() or platform.machine() != "x86_64":
        pytest.skip("no flags of an x86 processor to read")
    found = evaluation.has_bfloat16(torch.device("cpu"))
    # oneDNN computes in it with AVX-512, or with AVX2 and its extension of that name for neural networks.
    assert found or "avx512bw" not in flags.read_text()
    assert not found or {"avx512bw", "avx_ne_convert"} & set(flags.read_text().split())


def test_nesterov_is_passed_on(coloured):
    plain, nesterov = net(), net()
    train(plain, coloured, short(), seed=0, progress=False)
    train(nesterov, coloured, short(nesterov=True), seed=0, progress=False)
    assert not torch.equal(plain.conv.weight, nesterov.conv.weight)


def test_attached_scales_are_chosen_every_epoch_and_frozen(coloured):
    for share, moves in ((1.0, True), (0.5, False)):
        model = net()
        attach.attach(model, lambda _, layer: attach.FormatQuantiser(layer.weight, "4bitsym", clipping="mse"))
        seen = []

        class Watch(Hook):
            def before_epoch(self, model, epoch):
                seen.append(attach.attached(model)["conv"].scale.item())  # noqa: B023

        train(model, coloured, short(lr=0.1, freeze_scale=share), seed=0, hooks=[Watch()], progress=False)
        last = attach.attached(model)["conv"].scale.item()
        assert seen[0] != seen[1]
        assert (last != seen[1]) == moves


def test_average_is_the_moving_average_of_every_step(coloured):
    class Record(Hook):
        def after_step(self, model, epoch, step):
            steps.append({name: values.clone() for name, values in model.state_dict().items()})

    steps: list[dict[str, torch.Tensor]] = []
    plain, averaged = net(), net()
    train(plain, coloured, short(), seed=0, hooks=[Record()], progress=False)
    history = train(averaged, coloured, short(average_decay=0.75), seed=0, progress=False)
    assert len(steps) == 6
    for name, values in averaged.state_dict().items():
        if values.is_floating_point():
            expected = steps[0][name]
            for step in steps[1:]:
                expected = 0.75 * expected + 0.25 * step[name]
            torch.testing.assert_close(values, expected)
    # What is reported is of the averaged network, and training is not moved by the averaging.
    test = evaluate(averaged, coloured.test_images, coloured.test_labels)
    assert (history["test_loss"].iloc[-1], history["test_accuracy"].iloc[-1]) == (test.loss, test.accuracy)
    assert any("running_mean" in name for name in averaged.state_dict())


def test_quantised_networks_are_not_averaged(coloured):
    model = net()
    attach.attach(model, lambda _, layer: attach.FormatQuantiser(layer.weight, "4bitsym", clipping="mse"))
    with pytest.raises(ValueError, match="without quantisers"):
        train(model, coloured, short(average_decay=0.5), seed=0, progress=False)


@pytest.mark.parametrize(
    "changes", [{}, {"average_decay": 0.9}, {"average_decay": 0.9, "sharpness": 0.1, "still_share": 0.5}]
)
def test_resuming_continues_exactly(coloured, tmp_path, changes):
    common = {"augmentation": "crop_flip", "epochs": 3, "label_smoothing": 0.1, "warmup_epochs": 1.0}
    settings = short(**common, **changes)
    whole = net()
    expected = train(whole, coloured, settings, seed=0, progress=False)

    class Stop(Hook):
        def before_epoch(self, model, epoch):
            if epoch == 2 and not self.passed:
                raise KeyboardInterrupt

    hook = Stop()
    hook.passed = False
    with pytest.raises(KeyboardInterrupt):
        train(net(), coloured, settings, seed=0, hooks=[hook], checkpoint=tmp_path / "c.pt", progress=False)
    hook.passed = True
    model = net()
    found = train(
        model, coloured, settings, seed=0, hooks=[hook], checkpoint=tmp_path / "c.pt", progress=False
    )
    assert found.drop(columns="seconds").equals(expected.drop(columns="seconds"))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))
    a = evaluate(model, coloured.test_images, coloured.test_labels, batch=7)
    b = evaluate(model, coloured.test_images, coloured.test_labels)
    assert a.loss == pytest.approx(b.loss) and a.accuracy == b.accuracy
