import pytest
import torch
from torch.nn import functional

from nonideal.models.airbench import airbench
from nonideal.rng import torch_stream


def net(**settings):
    return airbench(generator=torch_stream(0, "init"), **settings)


def test_size_of_the_published_network():
    # 24 whitened channels with a bias, six convolutions, scale and shift of their outputs, the classifier.
    filters = 24 * 64 + 64 * 64 + 64 * 256 + 256 * 256 + 256 * 256 + 256 * 256
    expected = 24 + 9 * filters + 2 * 2 * (64 + 256 + 256) + 256 * 10
    assert sum(parameter.numel() for parameter in net().parameters()) == expected


def test_whitened_patches_are_uncorrelated():
    generator = torch_stream(0, "images")
    images = torch.randn(200, 3, 20, 20, generator=generator)
    images = functional.avg_pool2d(images, 3, stride=1) * torch.tensor([30.0, 10.0, 20.0]).view(3, 1, 1)
    model = net(width=4)
    model.whiten(images)
    patches = functional.conv2d(images, model.filters)
    values = patches.transpose(0, 1).flatten(1).double()
    covariance = values @ values.T / values.shape[1]
    # The variances of these patches are far above the one that is added to them.
    torch.testing.assert_close(covariance[:12, :12], torch.eye(12, dtype=torch.float64), atol=1e-3, rtol=0)
    torch.testing.assert_close(patches[:, 12:], -patches[:, :12])


def test_whitening_is_not_trained():
    model = net(width=4)
    model.whiten(torch.randn(50, 3, 17, 17, generator=torch_stream(0, "images")))
    before = model.filters.clone()
    model(torch.randn(2, 3, 17, 17, generator=torch_stream(1, "images"))).sum().backward()
    assert model.bias.grad.abs().sum() > 0 and "filters" in model.state_dict()
    assert torch.equal(model.filters, before) and model.filters.grad is None


@pytest.mark.parametrize("side", [9, 17, 24, 32])
def test_any_image_size_channels_and_classes(side):
    assert net(channels=1, classes=7, width=4)(torch.zeros(3, 1, side, side)).shape == (3, 7)


def test_what_comes_in_is_passed_on_at_first():
    stage = net(width=64).stages[0].eval()
    x = torch.randn(2, 24, 8, 8, generator=torch_stream(0, "x"))
    with torch.no_grad():
        found = functional.max_pool2d(stage.conv1(x), 2)[:, :24]
    torch.testing.assert_close(found, functional.max_pool2d(x, 2))


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="model 'airbench': channels, classes and width must be positive"):
        net(width=0)
