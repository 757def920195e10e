import numpy as np
import pytest
import torch
import torchvision
from torch.nn import functional

import nonideal
from nonideal import cellmaps, faults, variability
from nonideal.quantize import attach
from nonideal.quantize.lsq import quantise_input
from nonideal.regularised import networks
from nonideal.regularised.penalty import UnstableError
from nonideal.rng import torch_stream


def small():
    return torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(3)])


def test_a_resnet18_of_torchvision_is_hardened_in_a_step():
    model = torchvision.models.resnet18(num_classes=10)
    hardened = nonideal.harden(model, faults=0.2, bits=4, epochs=2)
    optimiser = torch.optim.SGD(hardened.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(2, 3, 32, 32, generator=torch_stream(1, "images"))
    hardened.begin(0)
    before = attach.original(model)["layer1.0.conv1"].detach().clone()
    loss = functional.cross_entropy(model(images), torch.tensor([1, 2])) + hardened.penalty()
    loss.backward()
    optimiser.step()
    assert not torch.equal(attach.original(model)["layer1.0.conv1"], before)
    chip = hardened.finish()
    assert not attach.attached(chip) and len(attach.attached(model)) == 19
    weight = chip.layer1[0].conv1.weight
    assert len(weight.unique()) <= 16
    quantiser = attach.attached(model)["layer1.0.conv1"]
    codes = (weight.reshape(-1, 1) - quantiser.levels().detach()).abs().argmin(1).view(weight.shape)
    assert not (codes & quantiser.stuck0).any()
    assert torch.equal(codes & quantiser.stuck1, quantiser.stuck1.long())
    assert torch.isfinite(chip(images)).all()


def test_maps_come_from_a_share_a_file_or_by_layer(tmp_path):
    model = small()
    shapes = {"1": (8, 8)}
    maps = {"1": faults.draw((8, 8), 4, 0.3, p_stuck1=0.5, seed=0, layer="1")}
    cellmaps.write(faults.to_frame(maps), tmp_path / "map.csv")
    found = []
    for given in (0.3, tmp_path / "map.csv", str(tmp_path / "map.csv"), maps):
        hardened = nonideal.harden(small(), faults=given, bits=4)
        assert networks.shapes(hardened.model) == shapes
        found.append(attach.attached(hardened.model)["1"])
    assert all(torch.equal(q.stuck1, maps["1"].stuck1) for q in found)
    with pytest.raises(ValueError, match="layers 1"):
        nonideal.harden(model, faults={})


def test_factors_come_from_a_sigma_a_file_or_by_layer(tmp_path):
    factors = {"1": variability.draw((8, 8), 4, 0.2, seed=0, layer="1")}
    cellmaps.write(variability.to_frame(factors), tmp_path / "map.parquet")
    for given in (0.2, tmp_path / "map.parquet", factors):
        hardened = nonideal.harden(small(), variability=given, bits=4)
        assert torch.equal(attach.attached(hardened.model)["1"].low, factors["1"])
    hardened.begin(4)
    weight = attach.original(hardened.model)["1"]
    assert torch.equal(weight, attach.attached(hardened.model)["1"].quantise(weight))  # written back


def test_the_array_is_rewritten_when_it_is_time():
    hardened = nonideal.harden(small(), faults=0.3, bits=3, remap_epochs=2, epochs=4)
    weight = attach.original(hardened.model)["1"]
    for epoch, rewritten in enumerate((False, False, True, False)):
        with torch.no_grad():
            weight.add_(0.2)
        before = weight.detach().clone()
        hardened.begin(epoch)
        assert (not torch.equal(weight, before)) == rewritten
    assert hardened.penalty().item() == pytest.approx(2000 / 447.2136 * hardened_at_100(hardened), rel=1e-3)


def test_ideal_cells_are_not_rewritten():
    hardened = nonideal.harden(small(), bits=3, remap_epochs=1, epochs=2)
    weight = attach.original(hardened.model)["1"]
    before = weight.detach().clone()
    hardened.begin(1)
    assert torch.equal(weight, before)


def test_straight_through_there_is_no_penalty_and_nothing_is_rewritten():
    hardened = nonideal.harden(small(), faults=0.3, bits=3, remap_epochs=1, mode="trained", epochs=2)
    weight, quantiser = attach.original(hardened.model)["1"], attach.attached(hardened.model)["1"]
    optimiser = torch.optim.SGD(hardened.parameters(), lr=0.1)
    x = torch.randn(16, 8, generator=torch_stream(1, "x"))
    before = weight.detach().clone()
    hardened.begin(1)
    assert torch.equal(weight, before) and hardened.penalty() == 0
    assert hardened.largest_rate() == torch.inf  # no penalty, no bound on the learning rate
    (hardened.model(x).square().mean() + hardened.penalty()).backward()
    optimiser.step()
    assert not torch.equal(weight, before)
    with torch.no_grad():
        trained_with = hardened.model(x)
        assert torch.equal(hardened.finish()(x), trained_with)  # it is what the chip computes
    assert torch.equal(hardened.finish()[1].weight, quantiser.quantise(weight))


def hardened_at_100(hardened):
    """Penalty at the end of the first half of the rise, over its factor: lambda goes 100, 100, 447, 2000."""
    hardened._epoch = 2
    value = hardened.penalty().item()
    hardened._epoch = 3
    return value


def test_without_hardware_it_is_quantisation_alone():
    hardened = nonideal.harden(small(), bits=2, quantiser="step", layers="all")
    hardened.begin(0)
    assert len(attach.attached(hardened.model)) == 3
    assert all(len(layer.weight.unique()) <= 4 for layer in hardened.finish())


def test_training_goes_on_after_a_look_at_the_chip():
    hardened = nonideal.harden(small(), faults=0.2, bits=3)
    x = torch.randn(4, 8, generator=torch_stream(1, "x"))
    before = hardened.model(x)
    hardened.finish()
    assert torch.equal(hardened.model(x), before)


def test_fine_tuning_in_the_projects_own_loop(monkeypatch):
    from nonideal.training import Settings, Tensors

    images = torch.randn(64, 1, 2, 4, generator=torch_stream(1, "images"))
    labels = (images.flatten(1).sum(1) > 0).long()
    tensors = Tensors(images, labels, images, labels, torch.zeros(1, 1, 1))
    model = torch.nn.Sequential(torch.nn.Flatten(), *small())
    hardened = nonideal.harden(model, faults=0.3, bits=3, epochs=4, remap_epochs=2, alpha="mean")
    begun, penalties = [], []
    begin, penalty = hardened.begin, hardened.penalty
    monkeypatch.setattr(hardened, "begin", lambda epoch: (begun.append(epoch), begin(epoch)))
    monkeypatch.setattr(hardened, "penalty", lambda: penalties.append(penalty()) or penalties[-1])
    settings = Settings(
        epochs=4, optimiser="sgd", lr=0.01, batch_size=16, augmentation="none", schedule="constant"
    )
    history = hardened.fine_tune(tensors, settings, seed=0)
    assert begun == [0, 1, 2, 3] and len(penalties) == 16 and penalties[-1] > 0
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    with pytest.raises(ValueError, match="4 epochs, settings have 20"):
        hardened.fine_tune(tensors, Settings(), seed=0)
    strong = nonideal.harden(torch.nn.Sequential(torch.nn.Flatten(), *small()), bits=3, epochs=4)
    with pytest.raises(ValueError, match="lower the learning rate"):
        strong.fine_tune(tensors, settings, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"faults": 0.1, "variability": 0.1}, "not both"),
        ({"quantiser": "lsq"}, "quantiser must be one of fixed, step, multiplier"),
        ({"bits": 9}, "bits"),
        ({"faults": 0.1, "mode": "lazy"}, "mode must be one of basic"),
        ({"faults": 1.5}, "rate"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        nonideal.harden(small(), **settings)


def test_unknown_names_of_the_package_are_errors():
    with pytest.raises(AttributeError, match="hardened"):
        _ = nonideal.hardened


@pytest.mark.parametrize("quantiser", ["fixed", "step", "multiplier"])
def test_levels_stay_where_they_are_in_a_loop_of_ones_own(quantiser):
    model = torch.nn.Sequential(*[torch.nn.Linear(64, 64) for _ in range(3)])
    hardened = nonideal.harden(model, faults=0.1, quantiser=quantiser, epochs=1)
    assert hardened.largest_rate() > 0.01
    optimiser = torch.optim.SGD(hardened.parameters(), lr=0.01)
    hardened.begin(0)
    values = []
    for _ in range(40):
        loss = hardened.penalty()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0] and max(values) == values[0]
    own = attach.attached(model)["1"]
    assert quantiser == "fixed" or (own.r > 0).all()


def test_the_largest_rate_is_where_a_weight_oscillates_about_its_level():
    for factor, settles in ((0.99, True), (2.2, False)):  # 2 lr lambda alpha = 2 is the border of stability
        hardened = nonideal.harden(small(), quantiser="fixed", epochs=1)
        hardened.begin(0)
        weight = attach.original(hardened.model)["1"]
        level = attach.attached(hardened.model)["1"].quantise(weight).detach()
        start = (weight - level).abs().max().item()
        hardened.penalty().backward()
        with torch.no_grad():
            weight -= factor * hardened.largest_rate() * weight.grad
        assert ((weight - level).abs().max().item() < start) == settles


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"faults": {"1": faults.draw((4, 8), 4, 0.3, seed=0, layer="1")}}, r"layer '1' .* \(4, 8\), not"),
        ({"faults": {"1": faults.draw((8, 1), 4, 0.3, seed=0, layer="1")}}, r"layer '1' .* \(8, 1\), not"),
        ({"variability": {"1": torch.ones(8, 8)}}, r"layer '1' .* not \(8, 8, 4\)"),
        ({"variability": {"1": torch.full((8, 8, 4), torch.nan)}}, "not finite"),
        ({"variability": {"1": torch.ones(8, 8, 4), "0": torch.ones(8, 8, 4)}}, "given for 0; .* are 1"),
    ],
)
def test_maps_that_do_not_fit_are_refused_with_their_layer(given, message):
    with pytest.raises(ValueError, match=message):
        nonideal.harden(small(), bits=4, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"remap_epochs": 0}, "remap_epochs must be a whole number of at least 1"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"epochs": 1.5}, "epochs must be a whole number of at least 1"),
        ({"bits": 4.0}, "bits must be a whole number of 1 .. 8"),
        ({"mode": "strong", "faults": None}, "mode must be one of basic"),
        ({"activation_bits": 0}, "activation_bits: bits must be a whole number of 1 .. 16, got 0"),
        ({"activation_bits": True}, "activation_bits: bits must be a whole number of 1 .. 16, got True"),
        ({"activation_bits": 4.0}, "activation_bits: bits must be a whole number of 1 .. 16, got 4.0"),
        ({"seed": 1.5}, "seed must be a whole number of at least 0, got 1.5"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"faults": {"1": torch.ones(8, 8)}}, "the map of layer '1' must be a FaultMap"),
        ({"alpha": "papr"}, "alpha must be one of"),
        ({"faults": True}, "faults must be a number"),
        ({"faults": [0.1]}, "faults must be a number"),
        ({"faults": 1.5}, "rate"),
    ],
)
def test_after_a_refusal_the_network_is_as_it_was(given, message):
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        nonideal.harden(model, **({"faults": 0.1} | given))
    after = model.state_dict()
    assert sorted(after) == sorted(before) and all(torch.equal(after[name], before[name]) for name in before)
    nonideal.harden(model, faults=0.1)


def test_a_layer_without_a_step_is_named_and_no_other_is_touched():
    model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(4)])
    torch.nn.init.zeros_(model[2].weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="layer '2': no step follows"):
        nonideal.harden(model, faults=0.1)
    after = model.state_dict()
    assert sorted(after) == sorted(before) and all(torch.equal(after[name], before[name]) for name in before)


def test_inputs_that_are_quantised_already_are_named_and_nothing_is_touched():
    model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(4)])
    quantise_input(model[2], 4)
    before = sorted(model.state_dict())
    with pytest.raises(ValueError, match="the inputs of '2' are quantised already"):
        nonideal.harden(model, faults=0.1, activation_bits=4)
    assert sorted(model.state_dict()) == before


def test_shares_of_any_type_are_numbers():
    one, other = (nonideal.harden(small(), faults=share).cells for share in (0.25, np.float32(0.25)))
    assert one.equals(other)


def test_a_rate_at_which_the_penalty_overshoots_is_refused():
    hardened = nonideal.harden(small(), faults=0.1, epochs=4)
    safe, wild = (
        torch.optim.SGD(hardened.model.parameters(), lr=factor * hardened.largest_rate())
        for factor in (0.99, 1.01)
    )
    for epoch in range(4):
        hardened.begin(epoch, safe)
    hardened.begin(0, wild)  # lambda has not risen yet
    with pytest.raises(UnstableError, match=r"layer '1': lr \* 2 \* lambda \* alpha reaches 1\.01"):
        hardened.begin(3, wild)


def test_networks_in_other_precision_are_refused():
    with pytest.raises(ValueError, match=r"torch.float64; call model.float\(\)"):
        nonideal.harden(small().double(), faults=0.1)


def test_activations_of_few_bits_are_not_negative():
    model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(3)])
    hardened = nonideal.harden(model, activation_bits=4)
    x = torch.randn(4, 8, generator=torch_stream(1, "x"))
    with pytest.raises(ValueError, match="layer '1' has negative inputs"):
        hardened.model(x)
    relu = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), *[torch.nn.Linear(8, 8)] * 1,
                               torch.nn.ReLU(), torch.nn.Linear(8, 8))  # fmt: skip
    assert nonideal.harden(relu, activation_bits=4).model(x).shape == (4, 8)
