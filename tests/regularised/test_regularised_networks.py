import pytest
import torch
from torch import nn

from nonideal import faults
from nonideal.models.registry import build
from nonideal.quantize import attach
from nonideal.regularised import networks
from nonideal.rng import torch_stream


def resnet():
    return build("resnet8", generator=torch_stream(1, "init"), width=4, channels=1)


def test_the_policy_decides_about_first_and_last_layer():
    inner = list(attach.attached(networks.quantise(resnet(), "step", 3)))
    every = list(attach.attached(networks.quantise(resnet(), "step", 3, policy="all")))
    assert every == ["conv", *inner, "classifier"]
    with pytest.raises(ValueError, match="layers must be one of"):
        networks.quantise(resnet(), "step", 3, policy="some")
    with pytest.raises(ValueError, match="method must be one of"):
        networks.quantise(resnet(), "steps", 3)


@pytest.mark.parametrize("method", networks.METHODS)
def test_a_quantised_network_evaluates_on_few_levels(method):
    model = networks.quantise(resnet(), method, 2, activation_bits=2).eval()
    for name in attach.attached(model):
        assert len(model.get_submodule(name).weight.unique()) <= 4
        assert hasattr(model.get_submodule(name), "input_quantiser")
    assert torch.isfinite(model(torch.rand(2, 1, 8, 8))).all()


def test_groups_hold_every_trained_parameter_once_and_multipliers_apart():
    model = networks.quantise(resnet(), "multiplier", 3, activation_bits=3)
    first, second = networks.parameter_groups(0.01, 1e-6, weight_decay=0.1)(model)
    quantisers = attach.attached(model).values()
    assert {id(p) for p in second["params"]} == {id(p) for q in quantisers for p in (q.r, q.c)}
    assert second["lr_factor"] == pytest.approx(1e-4) and second["weight_decay"] == 0
    both = [id(p) for group in (first, second) for p in group["params"]]
    assert sorted(both) == sorted(id(p) for p in model.parameters())
    assert first["weight_decay"] == 0.1
    assert len(networks.parameter_groups(0.01, 1e-6)(networks.quantise(resnet(), "fixed", 3))) == 1


@pytest.mark.parametrize("training", [True, False])
def test_exchanged_quantisers_are_in_the_mode_of_those_before(training):
    model = networks.quantise(resnet(), "multiplier", 3).train(training)
    maps = {n: faults.draw(s, 3, 0.3, seed=1, layer=n) for n, s in networks.shapes(model).items()}
    networks.exchange(model, lambda name, q: faults.FaultyQuantiser(q, maps[name], "passive"))
    assert {q.training for q in attach.attached(model).values()} == {training}


def test_remaps_come_every_so_many_epochs():
    model = networks.quantise(resnet(), "multiplier", 3)
    maps = {n: faults.draw(s, 3, 0.3, seed=1, layer=n) for n, s in networks.shapes(model).items()}
    networks.exchange(model, lambda name, q: faults.FaultyQuantiser(q, maps[name], "passive"))
    weights = attach.original(model)
    remap = networks.Remap(2)
    for epoch in range(4):
        before = {name: weight.detach().clone() for name, weight in weights.items()}
        with torch.no_grad():
            for weight in weights.values():
                weight.add_(0.3)
        remap.before_epoch(model, epoch)
        for name, weight in weights.items():
            stuck = (maps[name].stuck0 | maps[name].stuck1) > 0
            moved = weight != before[name] + 0.3
            assert (moved & ~stuck).sum() == 0
            assert bool((moved & stuck).any()) == (epoch == 2)
    assert repr(remap) == "Remap(every=2)"
    with pytest.raises(ValueError, match="at least 1"):
        networks.Remap(0)


def test_a_copy_with_given_weights_has_them_and_no_quantisers():
    model = networks.quantise(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), "step", 2, policy="all")
    copy = networks.with_weights(model, {"0": torch.ones(3, 3), "1": torch.zeros(3, 3)})
    assert torch.equal(copy[0].weight, torch.ones(3, 3)) and not attach.attached(copy)
    assert len(attach.attached(model)) == 2


@pytest.mark.parametrize(("name", "size"), [("resnet18", 11.17e6), ("resnet50", 23.52e6), ("vgg13", 9.42e6)])
def test_networks_of_the_published_scale_have_its_size_and_depend_on_the_seed_alone(name, size):
    torch.manual_seed(1)
    a = build(name, generator=torch_stream(1, "x"), width=64)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    b = build(name, generator=torch_stream(1, "x"), width=64)
    assert torch.equal(state, torch.random.get_rng_state())
    assert sum(p.numel() for p in a.parameters()) == pytest.approx(size, rel=0.01)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    with pytest.raises(ValueError, match=name):
        build(name, generator=torch_stream(1, "x"), width=0)
