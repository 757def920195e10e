"""Reads in steps, in layouts and of all chips at once: where that is a matter of speed alone."""

import numpy as np
import pytest
import torch
from small_networks import network
from torch import nn

from nonideal import models
from nonideal.pcm.deploy import deploy, quantised
from nonideal.pcm.hardware import NOISELESS, Hardware
from nonideal.quantize.lsq import quantise_input

UNCOMPENSATED = Hardware(compensation="none")


def _normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _chips(model, **given):
    return deploy(model, "max_fill", 1, 2, 2, seed=1, hardware=UNCOMPENSATED, **given)


class Recurrent(nn.Module):
    """An LSTM that wants time first, of images (axis 0) or of time (axis 0)."""

    def __init__(self, images_first):
        super().__init__()
        self.images_first = images_first
        self.embed, self.lstm, self.classify = nn.Linear(600, 8), nn.LSTM(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.embed(x)
        return self.classify(self.lstm(x.transpose(0, 1) if self.images_first else x)[0][-1])


class Everywhere(Recurrent):
    """Logits at every time."""

    def forward(self, x):
        return self.classify(self.lstm(self.embed(x))[0])


def test_networks_that_mix_images_are_refused_where_reads_have_steps():
    statistics = nn.Sequential(nn.Flatten(), nn.Linear(6000, 5), nn.BatchNorm1d(5, track_running_stats=False))
    for model in (Recurrent(images_first=False), Everywhere(images_first=False), statistics):
        chips = _chips(model.eval())
        few, many = _normal(16, 10, 600), _normal(40, 10, 600)
        assert torch.isfinite(chips(few, t=20.0)).all()
        with pytest.raises(ValueError, match=r"axis 0 must hold the images .* at most 16 .* here 40"):
            chips(many, t=20.0)
        with pytest.raises(ValueError, match="axis 0 must hold the images"):
            chips.at(20.0)._batched(many, batch=16)


def test_steps_do_not_show_where_images_are_separate():
    class Random(nn.Module):
        """An encoder that draws numbers, and several rows an image."""

        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(600, 3)

        def forward(self, x):
            return self.embed((x > 2 * torch.rand_like(x)).float()).flatten(0, 1)

    images = _normal(40, 10, 600)
    images[-1] = images[0]  # tells nothing of a mixture, so that another is taken
    recurrent = Recurrent(images_first=True).eval()
    noiseless = deploy(recurrent, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    torch.testing.assert_close(noiseless(images, t=20.0)[0], quantised(recurrent)(images))
    chips = _chips(Random())
    torch.manual_seed(5)
    found = chips(images, t=20.0)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    assert found.shape == (2, 400, 3)
    for _ in range(2):  # chips; no other numbers are drawn than those of the network
        for count in (16, 16, 8):
            torch.rand(count, 10, 600)
    assert torch.equal(torch.get_rng_state(), state)


def test_numbers_from_elsewhere_are_no_mixture():
    model = nn.Sequential(nn.Linear(600, 3))
    model.register_forward_hook(lambda _, args, out: out + float(generator.normal()))
    generator = np.random.default_rng(1)
    assert _chips(model)(_normal(400, 600), t=20.0).shape == (2, 400, 3)


def test_one_check_a_network_and_none_of_a_single_step():
    model, images = network()
    chips = _chips(model)
    calls = []
    chips.model.register_forward_hook(lambda *_: calls.append(1))
    chips(images, t=20.0)
    assert len(calls) == 2 and not chips.habits.separate
    many = images.repeat(60, 1, 1, 1)  # 960 images in two steps
    expected = torch.cat([chips(part, t=20.0) for part in many.split(768)], dim=1)
    del calls[:]
    assert torch.equal(chips(many, t=20.0), expected)
    assert len(calls) == 2 * 2 + 3 and chips.habits.separate
    chips(many, t=40.0)
    assert len(calls) == 2 * 2 + 3 + 2 * 2


class Views(nn.Module):
    """Views of a convolution's output, which needs the order of its axes."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6 * 36, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).view(len(x), -1))


@pytest.mark.parametrize("options", [{}, {"adc_bits": 24, "dac_bits": 24}])
def test_views_of_a_convolution_can_be_read(options):
    model, images = Views().eval(), _normal(9, 3, 8, 8)
    hardware = Hardware(read_noise="off", programming_noise=False, drift=False, **options)
    chips = deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images, hardware=hardware)
    expected = quantised(model)(images).expand(2, -1, -1)
    for _ in range(2):
        torch.testing.assert_close(chips(images, t=20.0), expected, rtol=1e-3, atol=1e-4)
    assert not chips.habits.channels_last
    turned = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(chips(turned, t=20.0), expected, rtol=1e-3, atol=1e-4)


def test_other_networks_keep_the_fast_layout():
    model, images = network()
    chips = _chips(model)
    layouts = []
    chips.model.conv.register_forward_hook(lambda _, args, out: layouts.append(out))
    chips(images, t=20.0)
    assert all(out.is_contiguous(memory_format=torch.channels_last) for out in layouts)
    assert chips.habits.channels_last


def test_what_cannot_be_read_in_one_call_is_read_chip_by_chip():
    """The path of images on a GPU."""
    learned = nn.Sequential(nn.Linear(600, 16), nn.ReLU(), nn.Linear(16, 5)).eval()
    images = _normal(9, 10, 600).abs()
    for layer in (learned[0], learned[2]):
        quantise_input(layer, 4)
    learned(images)
    convolutional = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(1, 2), nn.LSTM(6, 4)).eval()
    convolutional[3].register_forward_hook(lambda _, args, out: out[0])
    for model, x in (
        (learned, images),
        (Recurrent(True).eval(), images),
        (convolutional, _normal(5, 3, 8, 8)),
    ):
        snapshot = _chips(model).at(20.0)
        torch.testing.assert_close(snapshot._batched(x, batch=1000), snapshot(x))
        assert not snapshot.habits.vectorised
    model, images = network()
    snapshot = _chips(model).at(20.0)
    snapshot._batched(images)
    assert snapshot.habits.vectorised


def test_an_error_of_the_network_itself_is_raised():
    snapshot = _chips(nn.Linear(6, 4)).at(20.0)
    for read in (snapshot, snapshot._batched):
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            read(_normal(5, 7))


def test_images_that_are_no_tensor_and_reads_that_are_no_number_are_refused():
    chips = _chips(nn.Linear(6, 4))
    x = _normal(5, 6)
    for wrong, kind in ((x.numpy(), "ndarray"), ((x, x), "tuple"), ([x], "list")):
        with pytest.raises(TypeError, match=f"images must be one tensor .*, got {kind}"):
            chips(wrong, t=20.0)
    with pytest.raises(ValueError, match="no images"):
        chips(torch.tensor(1.0), t=20.0)
    for read in (-1, 1.0, "1", None, True):
        with pytest.raises(ValueError, match="read must be a whole number from 0 on"):
            chips(x, t=20.0, read=read)
        with pytest.raises(ValueError, match="read must be a whole number from 0 on"):
            chips.effective_weights("", 20.0, read=read)
    assert torch.equal(chips(x, t=20.0, read=np.int64(3)), chips(x, t=20.0, read=3))


def test_layers_that_no_chip_holds_are_named():
    with pytest.raises(ValueError, match="no layer 'fc3' is on the chips; there are 0, 2"):
        _chips(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))).effective_weights("fc3", 20.0)
    dense = models.build("fc", widths=(4,), generator=torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match=r"becomes one by nonideal\.models\.ordinary\(model\)"):
        _chips(dense)
    assert len(_chips(models.ordinary(dense)).layers) == 2


@pytest.mark.parametrize("kind", ["dict", "tuple", "single number"])
def test_networks_that_return_no_tensor_are_named(kind):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 4)

        def forward(self, x):
            y = self.fc(x)
            return {"dict": {"logits": y}, "tuple": (y, x), "single number": y.sum()}[kind]

    x = _normal(5, 6)
    with pytest.raises(ValueError, match=f"the network returns a {kind}, and chips want one tensor"):
        deploy(Wrapped(), "max_fill", 1, 2, 1, seed=1, calibration=x)
    chips = _chips(Wrapped())
    for read in (chips.at(20.0), chips.at(20.0)._batched):
        with pytest.raises(ValueError, match=f"the network returns a {kind}, and chips want one tensor"):
            read(x)
