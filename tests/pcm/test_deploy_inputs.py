"""What `deploy` refuses, and which layers of a network it puts on chips."""

import math

import pytest
import torch
from small_networks import Small, network
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from nonideal.pcm import folding
from nonideal.pcm.deploy import deploy, quantised
from nonideal.pcm.hardware import NOISELESS, Hardware
from nonideal.pcm.programming import quantise_weights
from nonideal.quantize import attach

MONTH = 2_592_000.0
UNCOMPENSATED = Hardware(compensation="none")


def test_weights_that_a_hook_makes_are_refused_until_they_are_permanent():
    model, images = network()
    prune.l1_unstructured(model.grouped, "weight", amount=0.5)
    with pytest.raises(ValueError, match=r"layer 'grouped': a hook makes its weight .*prune.remove"):
        deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images)
    prune.remove(model.grouped, "weight")
    logits = deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images)(images, t=20.0)
    assert logits.std(dim=0).max() > 0


def test_weights_and_calibration_images_are_finite():
    model, images = network()
    bad = images.clone()
    bad[3, 0, 0, 0] = math.nan
    for calibration, message in ((bad, "must be finite"), (images[:0], "one image or more"), ([], "list")):
        with pytest.raises(ValueError, match=message):
            deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=calibration)
    with torch.no_grad():
        model.grouped.weight[0, 0, 0, 0] = math.inf
    with pytest.raises(ValueError, match="layer 'grouped' has weights that are not finite"):
        deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images)
    with pytest.raises(ValueError, match=r"bfloat16.* call model.float\(\)"):
        deploy(network(dtype=torch.bfloat16)[0], "max_fill", 1, 2, 2, seed=1, calibration=images)


def test_layers_that_images_do_not_reach_are_named():
    model, images = network()
    model.auxiliary = nn.Linear(6, 3).double()
    with pytest.raises(ValueError, match="do not reach the layers 'auxiliary'"):
        deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images)
    deploy(model, "max_fill", 1, 2, 2, seed=1, hardware=UNCOMPENSATED)(images, t=20.0)


def test_layers_that_share_a_weight_have_arrays_of_their_own():
    first, second = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
    second.weight = first.weight
    model, x = nn.Sequential(first, nn.ReLU(), second), torch.randn(4, 6)
    chips = deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=UNCOMPENSATED)
    weights = [chips.effective_weights(name, 20.0)[0] for name in ("0", "2")]
    assert not torch.equal(*weights)
    expected = functional.linear(functional.relu(functional.linear(x, weights[0])), weights[1])
    torch.testing.assert_close(chips(x, t=20.0)[0], expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"chips": 2.5}, "chips must be a positive count"),
        ({"clip_sigmas": 0}, "clip_sigmas must be positive"),
        ({"t": "30d"}, "finite number of seconds"),
        ({"t": math.inf}, "finite number of seconds"),
        ({"images": 0}, "no images"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    model, images = network()
    with pytest.raises(ValueError, match=message):
        chips = deploy(
            model, "max_fill", 1, 2, given.get("chips", 2), seed=1, calibration=images,
            clip_sigmas=given.get("clip_sigmas"),
        )  # fmt: skip
        chips(images[: given.get("images", 4)], t=given.get("t", 20.0))


def test_what_stays_digital_is_known():
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.LayerNorm([2, 6]), nn.LSTM(6, 4), nn.Linear(4, 2))
    assert folding.digital_layers(model) == {"0": "Conv1d", "2": "LSTM"}


def test_named_layers_stay_digital():
    model, images = network()
    settings = {"seed": 1, "calibration": images, "digital": ("conv", "classifier")}
    chips = deploy(model, "max_fill", 1, 2, 2, **settings)
    assert list(chips.layers) == ["grouped"]
    only = Small(torch.Generator().manual_seed(0)).eval().double()
    with torch.no_grad():
        logits = []
        for k in range(2):
            only.load_state_dict(model.state_dict())
            only.grouped.weight.copy_(chips.effective_weights("grouped", 20.0)[k])
            logits.append(only(images))
    torch.testing.assert_close(chips(images, t=20.0), torch.stack(logits), rtol=1e-9, atol=1e-12)
    all_chips = deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images)
    weights = [found.effective_weights("grouped", MONTH) for found in (chips, all_chips)]
    assert torch.equal(*weights)  # a layer's devices are the same whatever other layers are deployed
    with pytest.raises(ValueError, match="layer is called 'conv9', to stay digital; there are conv, grouped"):
        deploy(model, "max_fill", 1, 2, 2, seed=1, calibration=images, digital=["conv9"])


class Ternary(nn.Linear):
    """A layer that quantises its weight again at every call, whatever the weight."""

    def forward(self, x):
        if x.sum() > 1e9:  # no trace shows what it does with the weight
            return x
        return functional.linear(x, self.weight.sign() * self.weight.abs().mean(), self.bias)


class Standardised(nn.Conv2d):
    """A layer that overrides what nn.Conv2d.forward calls."""

    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(input, weight - weight.mean(), bias)


def test_layers_with_a_forward_of_their_own_are_refused_unless_digital():
    for odd in (Ternary(6, 4), Standardised(2, 4, 3), nn.Linear(6, 4)):
        kind = "Conv2d" if isinstance(odd, nn.Conv2d) else "Linear"
        if type(odd) is nn.Linear:
            odd.forward = lambda x: 2 * x[:, :4]
        with pytest.raises(ValueError, match=rf"layer '1' .* becomes an nn.{kind} .* or name it in digital"):
            deploy(nn.Sequential(nn.ReLU(), odd), "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    model = nn.Sequential(Ternary(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)).eval()
    model[1].running_var.fill_(4.0)
    images = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    for hardware in (
        NOISELESS,
        Hardware(read_noise="off", programming_noise=False, drift=False, adc_bits=24),
    ):
        given = {"calibration": images, "hardware": hardware, "digital": ["0"]}
        deployed = deploy(model, "max_fill", 1, 4, 1, seed=1, **given)
        assert isinstance(deployed.model[1], nn.BatchNorm1d)
        expected = quantised(model, digital=["0"])(images)
        torch.testing.assert_close(deployed(images, t=20.0)[0], expected, rtol=1e-3, atol=1e-4)


def test_layers_of_parametrised_and_derived_classes_without_a_forward_are_deployed():
    class Named(nn.Linear):
        pass

    model = nn.Sequential(Named(6, 5), nn.ReLU(), nn.Linear(5, 3))
    attach.attach(model, lambda name, layer: attach.FormatQuantiser(layer.weight, "4bitsym"))
    images = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    deployed = deploy(model.eval(), "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    torch.testing.assert_close(deployed(images, t=20.0)[0], quantised(model)(images))


def test_digital_layers_keep_a_weight_that_they_share():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6, bias=False))
    model[2].weight = model[0].weight
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS, digital=["0"])
    assert torch.equal(deployed.model[0].weight, model[0].weight)
    images = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    expected = functional.linear(model[:2](images), quantised(model)[2].weight)
    torch.testing.assert_close(deployed(images, t=20.0)[0], expected)


def test_an_embedding_keeps_the_weight_that_it_shares_with_the_last_layer():
    model = nn.Sequential(nn.Embedding(20, 6), nn.Flatten(), nn.Linear(6, 20, bias=False))
    model[2].weight = model[0].weight
    deployed = deploy(model, "max_fill", 1, 2, 1, seed=1, hardware=NOISELESS)
    assert torch.equal(deployed.model[0].weight, model[0].weight)
    assert not torch.equal(deployed.model[2].weight, model[2].weight)
    words = torch.arange(20)[:, None]
    expected = functional.linear(model[0](words)[:, 0], quantised(model)[2].weight)
    torch.testing.assert_close(deployed(words, t=20.0)[0], expected)


def test_weights_without_values_are_refused():
    with pytest.raises(ValueError, match=r"weights \[4, 0\] of a layer have no values"):
        quantise_weights(torch.zeros(4, 0))
