import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from nonideal.models import build
from nonideal.quantize import attach
from nonideal.quantize.clipping import choose_scale
from nonideal.quantize.fixed_point import FixedPointQuantiser
from nonideal.quantize.formats import FORMATS
from nonideal.rng import torch_stream


def network() -> nn.Module:
    return build("resnet8", width=4, generator=torch_stream(0, "init"))


def ternary(name, layer, **settings):
    return attach.FormatQuantiser(layer.weight, "ternary", **settings)


@pytest.mark.parametrize("layer", [nn.Linear(6, 5), nn.Conv2d(3, 4, 3), nn.Conv1d(2, 3, 3)])
@pytest.mark.parametrize("name", FORMATS)
def test_a_layer_computes_with_levels_of_the_format(layer, name):
    float_weight = layer.weight.detach().clone()
    attach.attach(layer, lambda _, x: attach.FormatQuantiser(x.weight, name))
    quantiser = attach.attached(layer)[""]
    levels = layer.weight.detach() / quantiser.scale
    nearest = quantiser.format.nearest(float_weight / quantiser.scale)
    torch.testing.assert_close(levels, nearest)
    assert torch.equal(quantiser.integers(float_weight), nearest.to(torch.int32))
    assert set(nearest.unique().tolist()) <= set(map(float, FORMATS[name].levels))
    attach.detach(layer)
    assert torch.equal(layer.weight, nearest * quantiser.scale)
    assert not attach.attached(layer)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_layer_of_zeros_made_half_stays_finite(name, per_channel):
    layer = nn.Linear(6, 5, bias=False)
    nn.init.zeros_(layer.weight)
    attach.attach(layer, lambda _, x: attach.FormatQuantiser(x.weight, name, per_channel=per_channel))
    layer.half()
    for training in (False, True):
        weight = layer.train(training).weight
        assert weight.dtype == torch.float16 and bool(torch.isfinite(weight).all())
    quantiser = attach.attached(layer)[""]
    quantiser.scale.zero_()  # as a float32 scale of 1e-12 that was made half
    assert set(quantiser.integers(weight).unique().tolist()) <= set(FORMATS[name].levels)


def test_layers_without_a_single_weight_are_refused_by_name():
    model = nn.ModuleDict({"cell": nn.LSTM(4, 4), "norm": nn.BatchNorm1d(4, affine=False)})
    for name, kind in (("cell", "LSTM"), ("norm", "BatchNorm1d")):
        with pytest.raises(ValueError, match=f"layer '{name}': a {kind} has no single weight"):
            attach.attach(model, ternary, select=lambda found, _, name=name: found == name)


def test_a_weight_without_values_is_refused_by_name():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of the initial values
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(0, 4))
    with pytest.raises(ValueError, match=r"layer '1': its weight \[4, 0\] has no values"):
        attach.attach(model, ternary)


def test_a_layer_without_a_shape_yet_is_refused_and_not_left_out():
    model = nn.Sequential(nn.Linear(4, 3), nn.LazyLinear(2))

    def factory(name, layer):
        return attach.FormatQuantiser(layer.weight, "4bit")

    with pytest.raises(ValueError, match=r"layer .1.: .* LazyLinear has no shape .* call the model once"):
        attach.attach(model, factory)
    model(torch.ones(1, 4))
    assert attach.attach(model, factory) == ["0", "1"]


def test_a_quantiser_whose_scale_follows_its_weight_is_for_one_layer():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    one = attach.FormatQuantiser(model[0].weight, "4bitsym")
    with pytest.raises(ValueError, match=r"layer '1': .*FormatQuantiser of another layer"):
        attach.attach(model, lambda name, layer: one)
    assert not attach.attached(model)
    fixed = FixedPointQuantiser("q2.2")  # without a scale of its own
    assert attach.attach(model, lambda name, layer: fixed) == ["0", "1"]


def test_a_factory_without_a_module_is_refused():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with pytest.raises(
        ValueError, match=r"layer '1': the factory gave None; it must return a torch\.nn\.Mod"
    ):
        attach.attach(model, lambda name, x: ternary(name, x) if name == "0" else None)
    assert not attach.attached(model)


class BitLinear(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, self.weight.sign())


class Standardised(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight - weight.mean(), bias)


class Named(nn.Conv2d):
    pass


def test_a_layer_that_may_quantise_itself_is_named():
    with pytest.warns(UserWarning, match="layer '': Standardised has .* take an nn.Conv2d instead"):
        attach.attach(Standardised(1, 1, 1), ternary)
    with pytest.warns(UserWarning, match="layer '1': BitLinear has a forward of its own"):
        attach.attach(nn.Sequential(nn.Linear(4, 4), BitLinear(4, 4)), ternary)
    attach.attach(
        nn.Sequential(Named(2, 2, 1), nn.LazyLinear(2)), ternary, select=lambda name, _: name == "0"
    )


def test_gradients_reach_the_float_weight_unchanged():
    layer = nn.Linear(4, 3)
    attach.attach(layer, ternary)
    x = torch.randn(5, 4, generator=torch_stream(0, "x"))
    layer(x).sum().backward()
    gradient = attach.original(layer)[""].grad
    torch.testing.assert_close(gradient, x.sum(dim=0).expand(3, 4))


def test_detaching_a_copy_leaves_the_original_as_it_was():
    model = network()
    names = attach.attach(model, ternary)
    wanted = {name: model.get_submodule(name).weight.detach().clone() for name in names}
    for _ in range(2):
        copied = attach.detach(copy.deepcopy(model))
        assert not attach.attached(copied)
        for name in names:
            assert torch.equal(copied.get_submodule(name).weight, wanted[name])
            assert torch.equal(model.get_submodule(name).weight, wanted[name])
    assert list(attach.attached(model)) == names


def test_selection_by_default_and_without_first_and_last():
    model = network()
    names = attach.attach(model, ternary, select=attach.inner(model))
    weighted = [name for name, m in network().named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert names == weighted[1:-1] == list(attach.attached(model))
    assert attach.attach(network(), ternary) == weighted


@pytest.mark.parametrize(("clipping", "follows"), [("mean", True), ("mse", False)])
def test_scales_follow_the_weights_in_training_until_frozen(clipping, follows):
    layer = nn.Linear(8, 8)
    attach.attach(layer, lambda name, x: ternary(name, x, clipping=clipping))
    quantiser, weight = attach.attached(layer)[""], attach.original(layer)[""]
    before = quantiser.scale.clone()
    with torch.no_grad():
        weight.mul_(2)
    layer.eval()(torch.zeros(1, 8))
    assert torch.equal(quantiser.scale, before)
    layer.train()(torch.zeros(1, 8))
    assert (quantiser.scale > before).item() == follows
    attach.update_scales(layer)
    expected = choose_scale(weight, FORMATS["ternary"], clipping)
    torch.testing.assert_close(quantiser.scale, expected)
    attach.update_scales(layer, frozen=True)
    with torch.no_grad():
        weight.mul_(2)
    layer(torch.zeros(1, 8))
    attach.update_scales(layer)
    assert torch.equal(quantiser.scale, expected)


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_given_quantscale_stays_the_deviation_over_the_largest_level_in_training(per_channel):
    layer = nn.Linear(40, 6)
    settings = {"clipping": "proportional", "quantscale": 0.3, "per_channel": per_channel}
    attach.attach(layer, lambda _, x: attach.FormatQuantiser(x.weight, "4bit", **settings))
    quantiser, weight = attach.attached(layer)[""], attach.original(layer)[""]
    for _ in range(2):
        rows = weight.detach() if per_channel else weight.detach().reshape(1, -1)
        ratio = rows.std(dim=1, correction=0) / (8 * quantiser.scale.flatten())
        torch.testing.assert_close(ratio, torch.full_like(ratio, 0.3))
        with torch.no_grad():
            weight.mul_(2)
        layer.train()(torch.zeros(1, 40))


def test_a_saved_state_restores_scale_and_float_weight():
    model = network()
    attach.attach(model, ternary)
    other = build("resnet8", width=4, generator=torch_stream(1, "init"))
    attach.attach(other, ternary)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.conv.weight, model.conv.weight)


def test_refusals():
    layer = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="nothing to quantise"):
        attach.attach(nn.ReLU(), ternary)
    attach.attach(layer, ternary)
    with pytest.raises(ValueError, match="already"):
        attach.attach(layer, ternary)
    with pytest.raises(ValueError, match="not known"):
        attach.FormatQuantiser(torch.ones(2, 2), "3bit")


class Reversed(nn.Module):
    """Layers defined in another order than they run in, and gains that are no weights."""

    def __init__(self):
        super().__init__()
        self.head, self.a, self.b = nn.Linear(4, 2), nn.Linear(3, 4), nn.Linear(4, 4)
        self.norm = nn.LayerNorm([1, 4])

    def forward(self, x):
        return self.head(self.norm(self.b(self.a(x).relu())[:, None]).flatten(1))


def test_first_and_last_are_those_that_run_first_and_last():
    model = Reversed()
    assert attach.attach(model, ternary, select=attach.inner(model)) == ["b"]
    assert attach.attach(Reversed(), ternary) == ["head", "a", "b"]
    with pytest.raises(ValueError, match=r"has 2 weighted layers, .*--layers all"):
        attach.inner(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))


def test_a_weight_that_a_hook_makes_is_refused():
    layer = nn.Linear(4, 3)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    with pytest.raises(ValueError, match="make it permanent first"):
        attach.attach(layer, ternary)


def test_tables_that_are_looked_up_are_not_weighted():
    model = nn.ModuleDict({"table": nn.Embedding(5, 4), "lstm": nn.LSTM(4, 4), "out": nn.Linear(4, 2)})
    assert attach.attach(model, ternary) == ["out"]


class Remembering(nn.Module):
    """Keeps what it computed."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
        self.seen = None

    def forward(self, x):
        self.seen = self.body(x)
        return self.seen


def test_looking_for_the_order_leaves_nothing_in_the_model():
    model = Remembering()
    model(torch.ones(1, 4))
    before = model.seen
    assert attach.attach(model, ternary, select=attach.inner(model)) == ["body.1"]
    assert model.seen is before


@pytest.mark.parametrize("other", [parametrizations.spectral_norm, parametrizations.weight_norm])
def test_parametrisations_of_the_user_are_no_quantisers(other):
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    other(model[0])
    model.eval()
    assert attach.attach(model, ternary, select=attach.inner(model)) == ["1"]
    assert list(attach.attached(model)) == list(attach.original(model)) == ["1"]
    attach.update_scales(model)
    with pytest.raises(ValueError, match=r"layer '0': a parametrisation .* make it permanent first"):
        attach.attach(model, ternary, select=lambda name, layer: name == "0")
    wanted = model[0].weight.detach().clone()
    attach.detach(model, select=attach.quantised)
    assert not attach.attached(model) and hasattr(model[0], "parametrizations")
    attach.detach(model)
    assert not hasattr(model[0], "parametrizations") and torch.equal(model[0].weight, wanted)


def test_a_weight_that_layers_shared_becomes_one_of_each():
    model = nn.Sequential(*(nn.Linear(5, 5) for _ in range(2)))
    model[1].weight = model[0].weight
    scales = iter((1.0, 4.0))
    attach.attach(model, ternary)
    for quantiser, scale in zip(attach.attached(model).values(), scales, strict=True):
        quantiser.scale.fill_(scale * float(quantiser.scale))
    wanted = [layer.weight.detach().clone() for layer in model.eval()]
    attach.detach(model)
    assert all(torch.equal(layer.weight, weight) for layer, weight in zip(model, wanted, strict=True))
    assert not torch.equal(*wanted)


@pytest.mark.parametrize("name", FORMATS)
def test_filters_may_have_their_channels_last(name):
    layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    attach.attach(layer, lambda _, x: attach.FormatQuantiser(x.weight, name))
    layer(torch.ones(1, 3, 5, 5)).sum().backward()
    assert layer.parametrizations.weight.original.grad.abs().sum() > 0
