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


def test_filters_start_with_the_variance_of_he_et_al():
    for layer in net("resnet20", width=32).modules():
        if isinstance(layer, nn.Conv2d):
            error = (2 / layer.weight.numel()) ** 0.5  # relative, of a normal sample's variance
            wanted = 2 / (9 * layer.out_channels)
            assert layer.weight.var().item() == pytest.approx(wanted, rel=5 * error)


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


@pytest.mark.parametrize("deeper", ["resnet8", "resnet20", "resnet32"])
def test_a_deeper_network_computes_what_the_shallower_one_does(deeper):
    first = net("resnet8", width=4)
    generator = torch_stream(0, "images")
    for value in first.parameters():  # no factor of a normalisation is one
        value.data += 0.1 * torch.randn(value.shape, generator=generator)
    images = torch.randn(20, 3, 12, 12, generator=generator)
    first.train()(images)
    second = build(deeper, width=4, generator=torch_stream(1, "init"))
    second.deepen(first.state_dict())
    with torch.no_grad():
        assert torch.equal(second.eval()(images), first.eval()(images))
        torch.testing.assert_close(second.train()(images), first.train()(images))
    second(images).square().sum().backward()
    if deeper != "resnet8":
        assert second.blocks[1].norm2.weight.grad.abs().min() > 0  # new, and not cut off
        assert not torch.equal(second.blocks[1].conv1.weight, second.blocks[0].conv1.weight)


@pytest.mark.parametrize(
    ("name", "settings"), [("resnet20", {}), ("resnet8", {"width": 6}), ("resnet8", {"classes": 9})]
)
def test_a_network_takes_no_weights_that_do_not_fit(name, settings):
    model = net("resnet8", width=4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="a ResNet of 8 layers takes the weights of one at most as deep"):
        model.deepen(net(name, **({"width": 4} | settings)).state_dict())
    with pytest.raises(ValueError, match="found one of 0 blocks"):
        model.deepen({"weight": torch.zeros(3)})
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
