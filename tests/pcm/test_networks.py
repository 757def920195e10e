"""The Monte Carlo of networks: plans, shards, tables; and noise-aware training."""

import copy
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from small_networks import network
from torch import nn
from torch.nn.utils import parametrize

from nonideal import rng, tables, training
from nonideal.pcm import network_analysis, network_options, network_training, networks, noise_training
from nonideal.pcm.slicing import ternarise
from nonideal.schemas import networks as schemas
from nonideal.schemas.network_architectures import NETWORK_ARCHITECTURES
from nonideal.schemas.network_history import NETWORK_HISTORY
from nonideal.sections import teacher_section

CONFIG = {
    "distillation": {"networks": [], "views": 2, "temperature": 4, "share": 0.9},
    "dataset": "digits",
    "architecture": "resnet8",
    "width": 2,
    "pixels": 8,
    "threads": 1,
    "device": "cpu",
    "float": {
        "epochs": 1, "threads": None, "batch_size": 128, "optimiser": "sgd", "learning_rate": 0.1,
        "warmup_epochs": 0, "weight_decay": 5e-4, "augmentation": "none", "cutout": 0, "still_share": 0,
        "sharpness": 0, "sharpness_share": 1, "precision": "float32", "channels_last": True,
        "small": {"share": 0, "pixels": 4}, "taught": False,
        "averaging": {"epochs": 0, "learning_rate": 0.02, "decay": 0.9},
    },
    "noise": {
        "epochs": 1, "learning_rate": 0.01, "step_epochs": 10, "weight_decay": 1e-4, "noise": 0.038,
        "clip_sigmas": 2,
    },
    "deployment": {
        "n_slices": [1, 2], "last_s": 31536000, "points": 3, "images": 40, "calibration_images": 8,
        "ablation_chips": 2, "dac_bits": None, "adc_bits": None, "converter_quantile": 1,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def states(digits, tmp_path_factory):
    """States of all networks, and their learning curves."""
    found, curves = {}, []
    for name in network_training.NETWORKS:
        found[name], history = network_training.train_network(
            CONFIG, name, digits, initial=found.get("float"), seed=3,
            progress=tmp_path_factory.mktemp("progress"), fingerprint="a" * 64,
        )  # fmt: skip
        curves.append(history)
    return found, pd.concat(curves, ignore_index=True)


@pytest.fixture(scope="module")
def chips(digits, states):
    frames = [
        networks.run(CONFIG, name, state, digits, range(3), seed=3) for name, state in states[0].items()
    ]
    return tables.check(pd.concat(frames, ignore_index=True), schemas.NETWORK_CHIPS)


def test_plans_cover_the_figures():
    settings = {"n_slices": [8, 1, 4, 2], "last_s": 31536000, "points": 12}
    plans = networks.plans(settings, "noise_aware")
    every = networks.times(settings)
    assert len(every) == 13 and every[0] == 20 and every[-1] == 31536000 and networks.MONTH_S in every
    names = [(plan.mapping, plan.base, plan.n_slices) for plan in plans]
    assert len(set(names)) == len(names) == 1 + 3 * 5
    full = {name for name, plan in zip(names, plans, strict=True) if plan.times_s == every}
    assert full == {("max_fill", 1, n) for n in (1, 2, 4, 8)} | {(m, b, 8) for m, b in networks.FIVE}
    assert all({20.0, networks.MONTH_S} <= set(plan.times_s) for plan in plans)


@pytest.mark.parametrize("slices", [[2], [1, 2], [8, 1, 4]])
@pytest.mark.parametrize("network", network_training.NETWORKS)
def test_no_configuration_is_planned_twice(network, slices):
    """One number of slices is the smallest and the largest at once."""
    found = networks.plans({"n_slices": slices, "last_s": 31536000, "points": 2}, network)
    names = [(plan.mapping, plan.base, plan.n_slices) for plan in found]
    assert len(set(names)) == len(names)
    assert {n for *_, n in names} == ({*slices} if network == "noise_aware" else {min(slices), max(slices)})


def test_rows_do_not_depend_on_shards(digits, states, chips):
    parts = [
        networks.run(CONFIG, "noise_aware", states[0]["noise_aware"], digits, part, seed=3)
        for part in (range(1), range(1, 3))
    ]
    joined = tables.check(pd.concat(parts, ignore_index=True), schemas.NETWORK_CHIPS)
    whole = chips[chips["network"] == "noise_aware"].reset_index(drop=True)
    pd.testing.assert_frame_equal(joined, whole)
    other = networks.run(CONFIG, "noise_aware", states[0]["noise_aware"], digits, range(1), seed=4)
    assert not np.allclose(other["logit_error"], parts[0]["logit_error"])


def test_chips_differ_and_errors_grow(chips):
    one = chips.query("network == 'noise_aware' and mapping == 'max_fill' and base == 1 and n_slices == 2")
    assert one[one["time_s"] == 20]["logit_error"].nunique() == 3
    mean = one.groupby("time_s")["logit_error"].mean()
    assert mean.iloc[-1] > mean.iloc[0] > 0


def test_converters_of_the_configuration_reach_the_chips(digits, states, chips):
    deployment = CONFIG["deployment"] | {"dac_bits": 4, "adc_bits": 4}
    found = networks.run(
        CONFIG | {"deployment": deployment}, "ternary", states[0]["ternary"], digits, range(1), seed=3
    )
    ideal = chips.query("network == 'ternary' and chip == 0")
    key = ["mapping", "base", "n_slices", "time_s"]
    both = found.merge(ideal, on=key, suffixes=("", "_ideal"))
    assert len(both) == len(ideal) == len(found)
    assert (both["logit_error"] != both["logit_error_ideal"]).all()
    assert both["logit_error"].mean() > both["logit_error_ideal"].mean()


def test_summary_is_mean_and_interval(digits, states, chips):
    references = tables.check(
        networks.references(CONFIG, states[0], digits, seed=3), schemas.NETWORK_REFERENCES
    )
    summary = tables.check(network_analysis.summary_table(chips, references), schemas.NETWORK_SUMMARY)
    row = summary.query(
        "network == 'ternary' and mapping == 'equal_fill' and n_slices == 2 and time_s == 20"
    ).iloc[0]
    values = chips.query(
        "network == 'ternary' and mapping == 'equal_fill' and n_slices == 2 and time_s == 20"
    )
    assert row["error_mean"] == pytest.approx(values["logit_error"].mean())
    # Student's t for two degrees of freedom
    assert row["error_half_width"] == pytest.approx(4.3027 * values["logit_error"].std() / 3**0.5, rel=1e-4)
    full = references.set_index("network").loc["float", "accuracy"]
    assert row["kept"] == pytest.approx(row["accuracy_mean"] / full)
    assert row["kept_half_width"] == pytest.approx(row["accuracy_half_width"] / full)
    assert (references["images"] == 40).all() and (references["all_images"] == 360).all()


REFERENCES = pd.DataFrame({"network": ["float"], "dataset": ["digits"]})


def test_differences_are_paired(chips):
    table = tables.check(network_analysis.difference_table(chips, REFERENCES), schemas.NETWORK_DIFFERENCES)
    query = (
        "first_mapping == 'equal_fill' and second_mapping == 'max_fill' and first_base == second_base == 1"
    )
    row = table.query(f"{query} and time_s == 20").iloc[0]
    parts = [
        chips.query(
            f"network == 'noise_aware' and mapping == '{name}' and base == 1"
            " and n_slices == 2 and time_s == 20"
        )
        for name in ("equal_fill", "max_fill")
    ]
    difference = parts[0]["logit_error"].to_numpy() - parts[1]["logit_error"].to_numpy()
    assert row["error_difference"] == pytest.approx(difference.mean())
    assert row["error_difference_sem"] == pytest.approx(difference.std(ddof=1) / 3**0.5)
    slices = table[table["first_n_slices"] != table["second_n_slices"]]
    assert set(slices["first_n_slices"]) == {2} and set(slices["second_n_slices"]) == {1}


def test_crossover_is_found_where_it_was_put():
    times = [20.0, 200.0, 2000.0]
    rows = [
        {"network": "noise_aware", "mapping": mapping, "base": 1, "n_slices": 8, "time_s": t, "chip": chip,
         "accuracy": 1 - error[k], "logit_error": error[k] + 0.001 * chip}
        for mapping, error in (("max_fill", [0.1, 0.2, 0.4]), ("equal_fill", [0.2, 0.2 + 1e-9, 0.2]))
        for k, t in enumerate(times) for chip in range(5)
    ]  # fmt: skip
    table = tables.check(
        network_analysis.crossover_table(pd.DataFrame(rows), rng=rng.stream(0, "test")),
        schemas.NETWORK_CROSSOVER,
    )
    assert list(table["first_mapping"]) == ["max_fill"] * 2
    assert table["time_s"].to_numpy() == pytest.approx(200, rel=1e-3)


def test_options_change_what_they_should(digits, states, monkeypatch):
    monkeypatch.setattr(network_options, "CONFIGURATIONS", (("max_fill_ec", 2),))
    table = network_options.compare_options(CONFIG, states[0]["noise_aware"], digits, seed=3)
    table = tables.check(table, schemas.NETWORK_OPTIONS)
    assert set(table["option"]) == {option for option, _, _ in network_options.ALTERNATIVES}
    change = table.set_index(["option", "value", "time_s"])["error_change"]
    for kind in ("column", "fixed", "none"):
        assert change["compensation", kind, 20.0] == pytest.approx(0, abs=1e-6)  # nothing to compensate at t0
    assert change["compensation", "none", networks.MONTH_S] > 0.5
    assert (change.xs("read noise at t0") != 0).any()
    assert change["converters of inputs and outputs", "8 bits", 20.0] != 0


def test_learning_curves_and_weights(states):
    found, history = states
    tables.check(history, NETWORK_HISTORY)
    for name, weight in found["noise_aware"].items():
        if weight.ndim > 1:
            assert weight.abs().max() / weight.std(correction=0) < 3
            assert found["ternary"][name].abs().round(decimals=5).unique().numel() == 2
    assert not any("original" in name for name in found["noise_aware"])


def test_architectures_are_compared_after_their_last_epochs(states):
    history = pd.concat([states[1]] * 2, ignore_index=True).query("network == 'float'")
    history = history.assign(epoch=[2, 1], train_accuracy=[0.75, 0.5], test_accuracy=[0.625, 0.25])
    history["seconds"] = [90.0, 30.0]
    other = history.query("epoch == 1").assign(architecture="resnet20")
    histories = {"float": history, "deeper": other}
    made = network_analysis.architecture_table(histories, [0.875, math.nan], ["", "float"])
    made = tables.check(made, NETWORK_ARCHITECTURES)
    assert made.drop(columns="mirrored_accuracy").to_numpy().tolist() == [
        ["digits", "deeper", "float", "resnet20", "float", 1, 0.5, 0.5, 0.25],
        ["digits", "float", "float", "resnet8", "", 2, 2.0, 0.75, 0.625],
    ]  # fmt: skip
    assert math.isnan(made["mirrored_accuracy"][0]) and made["mirrored_accuracy"][1] == 0.875


def test_accuracy_with_mirror_images(digits, states):
    """Of the mean of both views' probabilities."""
    state = states[0]["float"]
    found = network_training.mirrored_accuracies([CONFIG], [state], digits)
    examples, classes = network_training.tensors(digits, CONFIG["pixels"])
    model = network_training.architecture(CONFIG, 1, classes, seed=0)
    model.load_state_dict(state)
    model.eval()
    with torch.no_grad():
        said = [model(images).softmax(1) for images in (examples.test_images, examples.test_images.flip(3))]
    expected = ((said[0] + said[1]).argmax(1) == examples.test_labels).double().mean().item()
    one_view = (said[0].argmax(1) == examples.test_labels).double().mean().item()
    assert found == [expected] != [one_view]


def test_a_continued_network_starts_where_the_float_network_ended(digits, states, tmp_path, monkeypatch):
    config = CONFIG | {"architecture": "resnet20"}
    starts, seeds, untouched = [], [], network_training.training.train

    def watch(model, examples, *args, **options):
        found = training.evaluate(model, examples.test_images, examples.test_labels)
        starts.append(found.accuracy)
        seeds.append(options["seed"])
        return untouched(model, examples, *args, **options)

    monkeypatch.setattr(network_training.training, "train", watch)

    def train(network, initial, **changed):
        return network_training.train_network(
            config | changed, network, digits, initial=initial, seed=3, progress=tmp_path / str(len(seeds)),
            fingerprint="a" * 64,
        )  # fmt: skip

    state, history = train("continued", states[0]["float"], start="float")
    train("labels", None)
    ended = states[1].query("network == 'float'")["test_accuracy"].iloc[-1]
    assert starts[0] == pytest.approx(ended) != starts[1]
    tables.check(history, NETWORK_HISTORY)
    assert set(history["network"]) == {"continued"} and set(history["architecture"]) == {"resnet20"}
    assert "blocks.8.conv2.weight" in state and seeds[0] != seeds[1]
    train("continued", state, start="more")
    assert len(set(seeds)) == 3
    with pytest.raises(ValueError, match="'continued' starts from another: give its state"):
        train("continued", None, start="float")


def test_float_networks_learn_from_teachers(digits, tmp_path, monkeypatch):
    taught, seeds, untouched = [], [], network_training.training.train

    def watch(*args, **options):
        taught.append(options.get("distillation") is not None)
        seeds.append(options["seed"])
        return untouched(*args, **options)

    monkeypatch.setattr(network_training.training, "train", watch)
    common = {"batch_size": 64, "learning_rate": 0.2, "threads": None}
    larger = common | {"name": "larger", "architecture": "resnet20", "width": 4, "epochs": 2}
    older = common | {"name": "older", "architecture": "resnet8", "width": 2, "epochs": 1}
    recipe = CONFIG["float"] | {
        "augmentation": "crop_flip",
        "averaging": {"epochs": 1, "learning_rate": 0.02, "decay": 0.9},
    }
    config = CONFIG | {"float": recipe | {"taught": True}}
    sections = [teacher_section(config, teacher) for teacher in (larger, older)]

    def train(network, config=config, lessons=None, initial=None):
        return network_training.train_network(
            config, network, digits, initial=initial, lessons=lessons, seed=3,
            progress=tmp_path / config.get("name", network), fingerprint="a" * 64,
        )  # fmt: skip

    teachers, histories = zip(*(train("teacher", section) for section in sections), strict=True)
    history = histories[0]
    tables.check(history, NETWORK_HISTORY)
    assert set(history["network"]) == {"teacher"} and set(history["architecture"]) == {"resnet20-w4"}
    assert list(history["epoch"]) == [1, 2]  # none of them averaged
    assert history["learning_rate"].tolist() == [0.2, 0.1]

    def teach(chosen):
        return network_training.teach(
            [sections[k] for k in chosen], [teachers[k] for k in chosen], digits, views=2, seed=3
        )

    lessons, alone = teach([0, 1]), [teach([0]), teach([1])]
    assert lessons.outputs.shape == (2, 1437, 10)
    means = (alone[0].outputs + alone[1].outputs) / 2
    assert torch.equal(lessons.corners, alone[1].corners) and torch.equal(lessons.outputs, means)
    torch.testing.assert_close(alone[0].outputs.exp().sum(dim=2), torch.ones(2, 1437))
    labels = network_training.tensors(digits, CONFIG["pixels"])[0].train_labels
    agree = (alone[0].outputs.argmax(dim=2) == labels).double().mean().item()
    assert agree == pytest.approx(history["train_accuracy"].iloc[-1], abs=0.15)

    state, history = train("taught", lessons=lessons)
    assert set(history["network"]) == {"taught"} and set(history["architecture"]) == {"resnet8"}
    assert taught == [False, False, True, True]  # also in the averaged epochs
    assert len(teachers[0]) > len(state)
    # Streams of their own: a taught network is no repetition of the one from the labels, which may teach it.
    assert seeds[0] == rng.child_seed(3, "networks", "teacher", "larger")  # not those of an architecture
    assert seeds[2] not in (*seeds[:2], rng.child_seed(3, "networks", "resnet8"))
    with pytest.raises(ValueError, match="give the lessons of its teachers"):
        train("taught")
    other = training.Lessons(lessons.corners, -lessons.outputs)
    shutil.rmtree(tmp_path / "taught")
    assert not torch.equal(train("taught", lessons=other)[0]["conv.weight"], state["conv.weight"])

    goes_on = config | {"start": "float", "name": "goes_on"}
    further, history = train("taught", goes_on, lessons, state)
    assert taught[-2:] == [True, True] and seeds[-2] not in seeds[:-2]
    assert set(history["network"]) == {"taught"}
    near, far = (torch.dist(further["conv.weight"], other["conv.weight"]) for other in (state, teachers[1]))
    assert near < 0.5 * far
    with pytest.raises(ValueError, match="'taught' starts from another: give its state"):
        train("taught", goes_on, lessons)


def test_averaged_epochs_follow_the_others_and_resume(digits, states, tmp_path, monkeypatch):
    averaging = CONFIG["float"]["averaging"] | {"epochs": 2}
    config = CONFIG | {"float": CONFIG["float"] | {"averaging": averaging}}

    def train():
        return network_training.train_network(
            config, "float", digits, initial=None, seed=3, progress=tmp_path, fingerprint="a" * 64
        )

    state, history = train()
    annealed = states[1].query("network == 'float'")
    columns = ["epoch", "learning_rate", "train_loss", "test_accuracy"]
    pd.testing.assert_frame_equal(history[columns].head(1), annealed[columns].head(1))
    assert history["epoch"].tolist() == [1, 2, 3] and history["learning_rate"].tolist()[1:] == [0.02, 0.02]
    tables.check(history, NETWORK_HISTORY)
    assert not torch.equal(state["classifier.weight"], states[0]["float"]["classifier.weight"])

    def again(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(network_training.training.loop._Run, "_steps", again)
    resumed, _ = train()
    assert all(torch.equal(resumed[name], values) for name, values in state.items())


def test_sharpness_and_still_images_are_of_full_precision_alone():
    own = {"augmentation": "crop_flip", "sharpness": 0.1, "sharpness_share": 0.25, "still_share": 0.5}
    averaging = CONFIG["float"]["averaging"] | {"epochs": 2}
    config = CONFIG | {"float": CONFIG["float"] | own | {"averaging": averaging}}
    for made in (network_training.float_settings(config), network_training.averaging_settings(config)):
        assert (made.sharpness, made.sharpness_share, made.still_share) == (0.1, 0.25, 0.5)
    fine_tuning = network_training.noise_settings(config)
    assert (fine_tuning.sharpness, fine_tuning.still_share) == (0.0, 0.0)


def test_the_device_of_the_configuration_is_taken(digits, states):
    on_any = CONFIG | {
        "device": "auto",
        "float": CONFIG["float"] | {"averaging": {"epochs": 1, "learning_rate": 1, "decay": 0.9}},
    }
    for made in ("float_settings", "averaging_settings", "noise_settings"):
        assert getattr(network_training, made)(on_any).device == "auto"
        assert getattr(network_training, made)(on_any | {"device": "cpu"}).device == "cpu"
    on_gpu = CONFIG | {"device": "cuda"}
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA device here"):
            networks.run(on_gpu, "ternary", states[0]["ternary"], digits, range(1), seed=3)
    found = networks.references(on_gpu, {"float": states[0]["float"]}, digits, seed=3)
    assert len(found) == 1  # without hardware, on the processor


def test_fine_tuning_needs_the_float_network(digits, tmp_path):
    with pytest.raises(ValueError, match="starts from another: give its state"):
        network_training.train_network(
            CONFIG, "ternary", digits, initial=None, seed=3, progress=tmp_path, fingerprint="a" * 64
        )
    with pytest.raises(ValueError, match="network must be one of"):
        network_training.train_network(
            CONFIG, "best", digits, initial=None, seed=3, progress=tmp_path, fingerprint="a" * 64
        )


def test_weight_noise_has_its_moments_and_passes_gradients():
    layer = nn.Linear(300, 200, bias=False)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    original = layer.weight.detach().clone()
    weights = noise_training.attach(layer, noise=0.05, clip_sigmas=1.5)
    hook = noise_training.WeightNoise(weights, seed=1)
    hook.before_step(layer, epoch=0, step=0)
    limit = 1.5 * original.std(correction=0)
    clipped = original.clamp(-limit, limit)
    noise = (layer.weight - clipped).detach()
    count = noise.numel()
    assert abs(noise.mean()) < 5 * 0.05 * limit / count**0.5
    assert abs(noise.std() / (0.05 * limit) - 1) < 5 / (2 * count) ** 0.5
    layer(torch.ones(1, 300)).sum().backward()
    gradient = layer.parametrizations["weight"].original.grad
    torch.testing.assert_close(gradient, torch.ones_like(gradient))  # also where a weight is clipped

    first = layer.weight.detach().clone()
    hook.before_step(layer, epoch=0, step=1)
    assert not torch.equal(first, layer.weight)
    hook.before_step(layer, epoch=0, step=0)
    assert torch.equal(first, layer.weight)
    layer.eval()
    torch.testing.assert_close(layer.weight.detach(), clipped)
    with pytest.raises(ValueError, match="has a noisy weight already; bake the model first"):
        noise_training.attach(layer)
    copied = noise_training.bake(copy.deepcopy(layer))
    assert copied(torch.ones(1, copied.in_features)).isfinite().all()
    assert layer(torch.ones(1, layer.in_features)).isfinite().all()  # is not baked with its copy
    baked = noise_training.bake(layer.train())
    torch.testing.assert_close(baked.weight.detach(), clipped)


def test_baking_leaves_other_parametrisations():
    model = nn.Sequential(nn.Conv1d(2, 3, 1), nn.Flatten(), nn.Linear(12, 2))
    nn.utils.parametrizations.weight_norm(model[0])
    noise_training.attach(model)
    noise_training.bake(model)
    assert parametrize.is_parametrized(model[0], "weight") and not parametrize.is_parametrized(model[2])


def test_ternary_weights_in_training():
    model, _ = network(dtype=torch.float32)
    expected = ternarise(model.conv.weight.detach())
    weights = noise_training.attach(model, noise=0.0, weights="ternary")
    assert list(weights) == ["conv", "grouped", "classifier"]
    torch.testing.assert_close(model.conv.weight.detach(), expected)
    with pytest.raises(ValueError, match="weights must be one of 9bit, ternary"):
        noise_training.NoisyWeight(weights="binary")


def test_full_precision_chooses_its_optimiser_and_fine_tuning_is_published():
    config = CONFIG | {"float": CONFIG["float"] | {"optimiser": "muon"}}
    assert network_training.float_settings(config).optimiser == "muon"
    assert network_training.float_settings(config).threads == config["threads"] == 1
    config["float"]["threads"] = 2
    assert network_training.float_settings(config).threads == 2
    assert network_training.noise_settings(config).threads == 1
    fine = network_training.noise_settings(config)
    assert (fine.optimiser, fine.momentum, fine.nesterov) == ("sgd", 0.9, False)  # Joshi et al. 2020, Methods
    longer = network_training.noise_settings(
        CONFIG | {"noise": CONFIG["noise"] | {"epochs": 15, "step_epochs": 10}}
    )
    rates = [longer.rate(epoch) / CONFIG["noise"]["learning_rate"] for epoch in range(15)]
    assert rates == pytest.approx([1.0] * 10 + [0.1] * 5)
    assert network_training.float_settings(config).nesterov


def test_without_the_hook_noise_is_drawn_in_every_pass_of_training():
    layer = nn.Linear(200, 50)
    weights = noise_training.attach(layer, noise=0.05)
    with torch.no_grad():
        torch.manual_seed(0)
        first, second = layer.train().weight.clone(), layer.weight.clone()
        clean = layer.eval().weight.clone()
    noise = (first - clean) / clean.abs().max()
    assert noise.std().item() == pytest.approx(0.05, rel=0.05)  # seven standard errors of 10,000 draws
    assert not torch.equal(first, second) and weights[""].draw is None
