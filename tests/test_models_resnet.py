import pytest
import torch
from torch import nn
from torch.nn import functional

from nonideal.models import build
from nonideal.rng import torch_stream


def net(name, **settings):
    return build(name, generator=torch_stream(0, "init"), **settings)


# About 75, 270 and 460 thousand weights (He et al., table 6).
@pytest.mark.parametrize(
    ("name", "layers", "thousands"), [("resnet8", 8, 75), ("resnet20", 20, 270), ("resnet32", 32, 464)]
)
def test_sizes_of_the_residual_networks(name, layers, thousands):
    model = net(name)
    weighted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == layers
    n = (layers - 2) // 6
    filters = 3 * 16 + 2 * n * 16**2 + 16 * 32 + (2 * n - 1) * 32**2 + 32 * 64 + (2 * n - 1) * 64**2
    assert sum(m.weight.numel() for m in weighted) == 9 * filters + 640
    assert round(sum(p.numel() for p in model.parameters()) / 1000) == thousands


def test_shortcut_subsamples_and_pads_evenly():
    model = net("resnet8", width=4).eval()
    block = model.blocks[1]
    x = torch.randn(2, 4, 6, 6, generator=torch_stream(0, "x"))
    with torch.no_grad():
        block.conv2.weight.zero_()
        y = block(x)
    short = functional.relu(x[:, :, ::2, ::2])
    torch.testing.assert_close(y[:, 2:6], short)
    assert not y[:, :2].any() and not y[:, 6:].any()


def test_classifier_sees_the_mean_of_every_map():
    model = net("resnet8", width=2).eval()
    x = torch.randn(2, 3, 16, 16, generator=torch_stream(0, "x"))
    with torch.no_grad():
        maps = model.blocks(functional.relu(model.norm(model.conv(x))))
        assert maps.shape[2:] == (4, 4)
        torch.testing.assert_close(model(x), model.classifier(maps.mean(dim=(2, 3))))


@pytest.mark.parametrize("name", ["resnet8", "vgg_narrow"])
def test_any_image_size_channels_and_classes(name):
    model = net(name, channels=1, classes=7, width=4)
    assert model(torch.zeros(3, 1, 16, 16)).shape == (3, 7)


def test_the_generator_names_the_weights():
    a, b = net("resnet8", width=4), net("resnet8", width=4)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    c = build("resnet8", generator=torch_stream(1, "init"), width=4)
    assert not torch.equal(a.conv.weight, c.conv.weight)
    std = net("resnet8", width=64).blocks[0].conv1.weight.std().item()
    assert std == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)


@pytest.mark.parametrize("name", ["resnet20", "vgg_narrow"])
def test_sizes_must_be_positive(name):
    with pytest.raises(ValueError, match=name):
        net(name, classes=0)


def test_vgg_is_the_narrow_one():
    filters = [m.out_channels for m in net("vgg_narrow").modules() if isinstance(m, nn.Conv2d)]
    assert filters == [16, 16, 32, 32, 64, 64]
