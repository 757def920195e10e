import pytest
import torch
from torch.nn import functional

from nonideal.layers import normalise_quantise
from nonideal.models import MODELS, build, quant_layers
from nonideal.quantize.formats import FORMATS
from nonideal.rng import torch_stream


def fc(**settings):
    return build("fc", generator=torch_stream(0, "init"), **settings)


def test_the_default_network_has_the_published_number_of_weights():
    model = fc()
    assert [tuple(layer.weight.shape) for layer in quant_layers(model)] == [
        (64, 256),
        (64, 64),
        (64, 64),
        (10, 64),
    ]
    assert sum(weight.numel() for weight in model.parameters()) == 25_216
    assert {layer.weight_format for layer in quant_layers(model)} == {"4bitsym"}


def test_settings_reach_every_layer():
    settings = {"weight_format": "2bitsym", "activation_bits": 4, "clipping": "mse", "per_channel": True}
    for layer in quant_layers(fc(input_pixels=12, widths=(5,), classes=3, **settings)):
        assert {key: getattr(layer, key) for key in settings} == settings


@pytest.mark.parametrize("weight_format", ["float", *FORMATS])
def test_forward_is_layers_with_relu_between(weight_format):
    model = fc(input_pixels=16, widths=(6, 5), classes=3, weight_format=weight_format).eval()
    images = torch.randn(7, 1, 4, 4, generator=torch_stream(1, "images"))
    first, second, third = (layer.effective_weight() for layer in quant_layers(model))
    x = functional.relu(normalise_quantise(images.flatten(1), 8) @ first.T)
    x = functional.relu(normalise_quantise(x, 8) @ second.T)
    torch.testing.assert_close(model(images), normalise_quantise(x, 8) @ third.T)


def test_scaling_images_or_weights_does_not_change_the_classes():
    model = fc(weight_format="4bitsym").eval()
    images = torch.randn(50, 1, 16, 16, generator=torch_stream(1, "images"))
    before = model(images).argmax(dim=1)
    with torch.no_grad():
        for layer in quant_layers(model):
            layer.weight.mul_(4)
            layer.update_scale()
    assert torch.equal(model(images * 2).argmax(dim=1), before)


def test_unknown_model_and_setting_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="model 'resnet' is not known; models are airbench, cnn, fc"):
        build("resnet", generator=torch_stream(0, "init"))
    with pytest.raises(
        ValueError, match="model 'fc' has no setting 'width'; its settings are input_pixels, widths"
    ):
        fc(width=3)
    with pytest.raises(ValueError, match=r"must be positive, got \(256, 64, 0, 10\)"):
        fc(widths=(64, 0))
    assert "fc" in MODELS
