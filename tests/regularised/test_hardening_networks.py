"""Networks of the user's: their modes, shared weights and parametrisations, and trainings that diverge."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import nonideal
from nonideal import faults, variability
from nonideal.quantize import attach
from nonideal.rng import torch_stream
from nonideal.training import Settings, Tensors


def small(bias=True):
    return nn.Sequential(*(nn.Linear(8, 8, bias=bias) for _ in range(3)))


def inputs(*shape):
    return torch.randn(shape, generator=torch_stream(1, "x"))


@pytest.mark.parametrize("given", [{}, {"faults": 0.3}, {"variability": 0.3}])
def test_in_evaluation_mode_it_computes_what_the_chip_does(given):
    hardened = nonideal.harden(small().eval(), bits=3, **given)
    x = inputs(4, 8)
    with torch.no_grad():
        assert torch.equal(hardened.model(x), hardened.finish()(x))
        assert not torch.equal(hardened.model.train()(x), hardened.finish()(x))


@pytest.mark.parametrize("quantiser", ["step", "multiplier"])
def test_levels_do_not_decay_in_an_optimiser_of_ones_own(quantiser):
    hardened = nonideal.harden(small(), quantiser=quantiser)
    optimiser = torch.optim.SGD(hardened.parameters(), lr=0.1, weight_decay=0.5)
    own, weight = attach.attached(hardened.model)["1"], attach.original(hardened.model)["1"]
    before = [values.detach().clone() for values in (own.r, own.c, weight)]
    for values in hardened.model.parameters():
        values.grad = torch.zeros_like(values)
    optimiser.step()
    after = [values.detach() for values in (own.r, own.c, weight)]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False]


@pytest.mark.parametrize("other", [parametrizations.spectral_norm, parametrizations.weight_norm])
def test_parametrisations_of_float_layers_stay(other):
    model = small()
    other(model[0])
    model.eval()
    keys, wanted = set(model.state_dict()), model[0].weight.detach().clone()
    hardened = nonideal.harden(model, faults=0.2, bits=3)
    assert list(attach.attached(model)) == ["1"] and hardened.penalty() > 0
    hardened.begin(4)
    chip = hardened.finish()
    assert set(chip.state_dict()) == keys and torch.equal(chip[0].weight, wanted)


@pytest.mark.parametrize("other", [parametrizations.spectral_norm, parametrizations.weight_norm])
def test_after_a_refusal_parametrisations_are_there(other):
    model = small()
    other(model[0])
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="rate is a probability"):
        nonideal.harden(model, faults=2)
    with pytest.raises(ValueError, match="layer '0': a parametrisation makes its weight"):
        nonideal.harden(model, faults=0.1, layers="all")
    after = model.state_dict()
    assert set(after) == set(before) and all(torch.equal(after[name], before[name]) for name in before)


class Tied(nn.Module):
    """A table and layers, defined in any order."""

    def __init__(self, *order, tied):
        super().__init__()
        made = {"table": nn.Embedding(8, 8)} | {name: nn.Linear(8, 8, bias=False) for name in "abc"}
        for name in order:
            setattr(self, name, made[name])
        made[tied[1]].weight = made[tied[0]].weight

    def forward(self, x):
        return self.c(self.b(self.a(self.table(x))))


@pytest.mark.parametrize(
    ("order", "tied", "settings"),
    [
        (("c", "table", "a", "b"), ("table", "c"), {"layers": "all"}),
        (("table", "a", "b", "c"), ("table", "c"), {"layers": "all"}),
        (("a", "b", "c", "table"), ("a", "b"), {}),
        (("a", "b", "c", "table"), ("b", "table"), {"faults": 0.2}),
    ],
)
def test_a_weight_of_two_layers_is_refused_in_any_order(order, tied, settings):
    model = Tied(*order, tied=tied)
    keys = set(model.state_dict())
    first, second = sorted(tied, key=order.index)
    with pytest.raises(ValueError, match=f"layers '{first}' and '{second}' share one weight"):
        nonideal.harden(model, **settings)
    assert set(model.state_dict()) == keys
    assert getattr(model, tied[0]).weight is getattr(model, tied[1]).weight


@pytest.mark.parametrize("order", [("table", "a", "b", "c"), ("c", "b", "a", "table")])
def test_layers_that_stay_float_may_share_their_weight(order):
    hardened = nonideal.harden(Tied(*order, tied=("table", "c")), faults=0.2)
    assert list(attach.attached(hardened.model)) == ["b"]
    chip = hardened.finish()
    assert chip.table.weight is chip.c.weight


def test_a_layer_of_two_names_is_one_layer():
    body = small()
    both = nn.ModuleDict({"body": body, "named": body[1]})
    hardened = nonideal.harden(both, faults=0.2)
    assert list(attach.attached(both)) == ["body.1"]
    chip = hardened.finish()
    assert chip["named"] is chip["body"][1]


def test_inputs_of_a_projection_that_is_not_called_are_refused():
    model = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
    keys = set(model.state_dict())
    with pytest.raises(ValueError, match=r"'self_attn.out_proj' cannot be .* leave activation_bits"):
        nonideal.harden(model, layers="all", activation_bits=4)
    assert set(model.state_dict()) == keys
    assert "self_attn.out_proj" in attach.attached(nonideal.harden(model, layers="all").model)


@pytest.mark.parametrize(("kind", "module"), [("faults", faults), ("variability", variability)])
def test_the_table_of_cells_is_made_when_it_is_asked_for(kind, module, monkeypatch):
    calls, make = [], module.to_frame
    monkeypatch.setattr(module, "to_frame", lambda maps: calls.append(1) or make(maps))
    hardened = nonideal.harden(small(), **{kind: 0.3})
    assert not calls
    assert set(hardened.cells["layer"]) == {"1"} and hardened.cells is hardened.cells
    assert len(calls) == 1
    assert nonideal.harden(small()).cells is None


def data():
    images = inputs(32, 1, 2, 4)
    labels = (images.flatten(1).sum(1) > 0).long()
    return Tensors(images, labels, images, labels, torch.zeros(1, 1, 1))


def settings(lr=0.01):
    return Settings(epochs=2, optimiser="sgd", lr=lr, batch_size=4, augmentation="none", schedule="constant")


@pytest.mark.parametrize("quantiser", ["fixed", "step", "multiplier"])
@pytest.mark.parametrize("given", [{}, {"faults": 0.2}])
def test_a_training_that_diverges_says_so(quantiser, given):
    model = nn.Sequential(nn.Flatten(), *small())
    hardened = nonideal.harden(model, bits=3, epochs=2, alpha="mean", quantiser=quantiser, **given)
    with torch.no_grad():
        model[1].weight[0, 0] = 1e30
    with pytest.raises(FloatingPointError, match=r"loss is (nan|inf)"):
        hardened.fine_tune(data(), settings(), seed=0)


def test_weights_that_diverge_behind_their_levels_are_noticed(monkeypatch):
    model = nn.Sequential(nn.Flatten(), *small())
    hardened = nonideal.harden(model, bits=3, epochs=2, faults=0.2, mode="trained")
    begin = hardened.begin

    def breaks(epoch):
        begin(epoch)
        if epoch == 1:
            with torch.no_grad():
                attach.original(model)["2"][0, 0] = torch.nan

    monkeypatch.setattr(hardened, "begin", breaks)
    with pytest.raises(FloatingPointError, match="weights of layer '2' are not finite in epoch 2"):
        hardened.fine_tune(data(), settings(), seed=0)
