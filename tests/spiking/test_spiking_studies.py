"""Models, conversion to integers, and the studies on tiny settings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from nonideal import data, tables, training
from nonideal.models import build
from nonideal.models.spiking import Timed
from nonideal.quantize import attach
from nonideal.rng import torch_stream
from nonideal.schemas import spiking as schemas
from nonideal.spiking import convert, precision, summaries
from nonideal.spiking.deploy import run_formats
from nonideal.spiking.neurons import LIF

CONFIG = {
    "dataset": "digits", "widths": [6], "steps": 6, "seeds": 2, "batch_size": 64, "threads": 1,
    "device": "cpu",
    "float": {"epochs": 2, "learning_rate": 0.02}, "qat": {"epochs": 1, "learning_rate": 0.003},
}  # fmt: skip


def make(name: str, **settings) -> nn.Module:
    return build(name, generator=torch_stream(0, "init"), **settings)


@pytest.mark.parametrize(
    ("name", "settings", "shape", "neurons"),
    [
        ("spiking_mlp", {"widths": (12, 9), "steps": 4}, (2, 1, 28, 28), 3),
        ("spiking_mlp", {"input_pixels": 50, "widths": (8,), "steps": 4, "frames": True}, (2, 8, 5, 5), 2),
        ("spiking_cnn", {"width": 2, "steps": 3}, (2, 6, 34, 34), 2),
        ("spiking_cnn", {"width": 2, "steps": 3, "readout": "spikes"}, (2, 6, 34, 34), 3),
        ("spiking_vgg11", {"width": 2, "steps": 2}, (2, 4, 48, 48), 10),
        ("spiking_resnet19", {"width": 2, "steps": 2}, (2, 4, 16, 16), 18),
    ],
)
def test_models_have_their_shape_and_train_through_time(name, settings, shape, neurons):
    model = make(name, **settings)
    assert len(model.neurons()) == neurons
    logits = model(torch.rand(shape, generator=torch_stream(1, "x")))
    assert logits.shape == (2, 10)
    logits.sum().backward()
    # All weights get a gradient, also the first layer's, through all steps.
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    first = next(model.parameters())
    assert first.grad.abs().sum() > 0


def test_published_networks_have_their_published_layers():
    for name, weighted in (("spiking_vgg11", 11), ("spiking_resnet19", 19)):
        model = make(name, width=8, steps=1)
        layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        shortcuts = [m for m in layers if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
        assert len(layers) - len(shortcuts) == weighted
        assert not any(isinstance(m, nn.MaxPool2d) for m in model.modules())


@pytest.mark.parametrize(
    ("name", "channels", "sides"),
    [
        # Simonyan and Zisserman, configuration A; Zheng et al.: 3, 3 and 2 blocks.
        (
            "spiking_vgg11",
            [64, 128, 256, 256, 512, 512, 512, 512],
            [48, 24, 12, 12, 6, 6, 3, 3],
        ),
        (
            "spiking_resnet19",
            [128, *[128] * 6, *[256] * 6, *[512] * 4],
            [48, *[48] * 6, *[24] * 6, *[12] * 4],
        ),
    ],
)
def test_published_networks_have_their_published_sizes(name, channels, sides):
    model, seen = make(name, steps=1), []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            layer.register_forward_hook(lambda layer, _, y: seen.append((layer.out_channels, y.shape[-1])))
    with torch.no_grad():
        model.eval()(torch.zeros(1, 2, 48, 48))
    assert [c for c, _ in seen] == channels
    assert [side for _, side in seen] == sides


def test_constant_current_is_the_same_as_its_frames():
    model, frames = (
        make("spiking_mlp", widths=(9,), steps=4),
        make("spiking_mlp", widths=(9,), steps=4, frames=True),
    )
    frames.load_state_dict(model.state_dict())
    image = torch.rand(3, 1, 28, 28, generator=torch_stream(2, "x"))
    assert torch.equal(model(image), frames(image.repeat(1, 4, 1, 1)))


def test_frames_enter_in_their_order():
    """A frame changes the spikes of its own step and of later ones alone."""
    model = make("spiking_mlp", input_pixels=8, widths=(30,), steps=4, frames=True)
    with torch.no_grad():
        model.body[1].weight.mul_(20)
    seen = []
    model.neurons()[0].register_forward_hook(lambda module, inputs, spikes: seen.append(spikes))
    x = torch.rand(1, 8, 2, 2, generator=torch_stream(3, "x"))
    model(x)
    x[:, 4:6] = 5 * torch.rand(1, 2, 2, 2, generator=torch_stream(4, "x"))  # the third of four frames
    model(x)
    same = [torch.equal(a, b) for a, b in zip(*seen, strict=True)]
    assert same[:2] == [True, True] and not same[2]


@pytest.mark.parametrize("name", ["q8.8", "q4.4", "4bit", "twn", "binary"])
def test_integers_are_the_quantised_network(name, digits):
    examples, classes = precision.tensors(digits)
    model = precision.network(CONFIG, examples, classes, seed=3)
    with torch.no_grad():
        model.body[1].weight.mul_(10)
        model.body[3].weight.abs_().mul_(6)
    convert.quantise(model, name, trained=True)
    model.eval()
    network = convert.to_integers(model, name)
    for layer, (key, quantiser) in zip(network.layers, attach.attached(model).items(), strict=True):
        levels = torch.tensor(layer.weights.astype(np.float32))
        torch.testing.assert_close(levels * layer.scale, quantiser(attach.original(model)[key]).detach())
    assert [layer.input_bits for layer in network.layers] == [8, 0]
    counts = network.run(convert.grey_levels(examples.test_images)).counts
    logits = model(examples.test_images).detach().numpy()
    assert logits.sum() > 100 and np.abs(counts - logits).mean() < 0.1 * logits.mean()


def test_spikes_of_an_image_are_those_of_the_integers(digits):
    examples, classes = precision.tensors(digits)
    model = precision.network(CONFIG, examples, classes, seed=3)
    with torch.no_grad():
        model.body[1].weight.mul_(10)
        model.body[3].weight.abs_().mul_(6)
    row = precision.measure(convert.quantise(model, "q8.8", trained=True), examples, "q8.8")
    images = convert.grey_levels(examples.test_images)
    spikes = sum(layer.sum() for layer in convert.to_integers(model, "q8.8").run(images).spikes)
    assert row["spikes"] == pytest.approx(spikes / len(images), rel=0.02)
    assert row["spike_share"] == pytest.approx(row["spikes"] / ((6 + 10) * 6))  # neurons times steps
    assert row["spikes"] > 1 and row["weights"] == 64 * 6 + 6 * 10


def test_bits_of_a_weight_are_the_logarithm_of_its_levels():
    wanted = {"float": 32.0, "q8.8": 16.0, "q4.4": 8.0, "4bit": 4.0, "twn": np.log2(3), "binary": 1.0}
    assert {name: convert.bits_of(name) for name in wanted} == pytest.approx(wanted)
    with pytest.raises(ValueError, match=r"no kernel knows weight format 'q3\.3'"):
        convert.bits_of("q3.3")


def test_grey_levels_are_exact_or_refused(digits):
    examples, _ = precision.tensors(digits)
    levels = convert.grey_levels(examples.test_images)
    wanted = data.load(digits).test_images.reshape(len(levels), -1)
    np.testing.assert_array_equal(levels, wanted)
    for wrong in (0.5 / 256, -1 / 256, 1.0):
        with pytest.raises(ValueError, match="multiples of 1/256"):
            convert.grey_levels(torch.full((1, 4), wrong))
    assert convert.grey_levels(torch.zeros(0, 1, 3, 3)).shape == (0, 9)


def test_networks_the_integers_cannot_hold_are_refused():
    cases = [
        (make("spiking_cnn", width=2, steps=2), "only dense layers"),
        (make("spiking_mlp", widths=(4,), steps=2), "0 of 2 weights have a quantiser"),
    ]
    biased = make("spiking_mlp", widths=(4,), steps=2)
    biased.body[1].bias = nn.Parameter(torch.zeros(4))
    other = make("spiking_mlp", widths=(4,), steps=2)
    other.output = LIF(2, beta=0.5)
    cases += [(biased, "has a bias"), (other, "beta = 1/4")]
    # Layers between, behind one another or none before the logits would change what is computed.
    _, *layers = make("spiking_mlp", widths=(4,), steps=2).body
    for body in ([layers[0], nn.BatchNorm1d(4), *layers[1:]], [layers[0], layers[2], layers[1]], layers[:2]):
        changed = make("spiking_mlp", widths=(4,), steps=2)
        changed.body = Timed(nn.Flatten(), *body)
        cases.append((changed, "only dense layers, each followed by neurons"))
    counted = make("spiking_mlp", widths=(4,), steps=2)
    counted.output = None
    cases.append((counted, "only dense layers, each followed by neurons"))
    named = convert.quantise(make("spiking_mlp", widths=(4,), steps=2), "4bit")
    cases.append((named, r"'body\.1' has a quantiser of '4bit', not of 'q4\.4'"))
    for model, message in cases:
        with pytest.raises(ValueError, match=message):
            convert.to_integers(model, "q4.4")
    scaled = make("spiking_mlp", widths=(4,), steps=2)
    attach.attach(scaled, lambda _, layer: attach.FormatQuantiser(layer.weight, "4bit", per_channel=True))
    with pytest.raises(ValueError, match=r"'body\.1' has 4 scales; the integers have one"):
        convert.to_integers(scaled, "4bit")


def test_what_changes_no_value_may_stand_between_the_layers():
    model = make("spiking_mlp", input_pixels=9, widths=(4,), steps=2)
    flatten, *layers = model.body
    model.body = Timed(flatten, layers[0], Timed(layers[1], nn.Dropout(0.5)), nn.Identity(), layers[2])
    found = convert.to_integers(convert.quantise(model, "twn"), "twn")
    assert found.sizes == (9, 4, 10) and [layer.weight_format for layer in found.layers] == ["twn"] * 2


def test_spikes_are_counted():
    model = make("spiking_mlp", input_pixels=4, widths=(3,), classes=2, steps=5)
    with torch.no_grad():
        model.body[1].weight.fill_(10.0)
        model.body[3].weight.fill_(-1.0)
    with convert.SpikeCounter(model) as counter:
        model(torch.ones(7, 1, 2, 2))
    assert (counter.spikes, counter.slots) == (7 * 3 * 5, 7 * (3 + 2) * 5)
    model(torch.ones(7, 1, 2, 2))
    assert counter.spikes == 7 * 3 * 5


@pytest.fixture(scope="module")
def study(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    settings = {"seed": 1, "progress": folder, "fingerprint": "a" * 20}
    networks, history, rows = precision.train_float(CONFIG, digits, **settings)
    settings["fingerprint"] = "b" * 20
    trained, more, quantised = precision.quantise_format(CONFIG, "q4.4", networks, digits, **settings)
    return networks, trained, pd.concat((history, more)), pd.concat((rows, quantised))


def test_study_of_precision_fits_its_tables(study):
    _, _, history, rows = study
    tables.check(history, schemas.HISTORY)
    tables.check(rows, schemas.PRECISION)
    quantised = rows[rows["format"] == "q4.4"]
    assert (quantised["weight_bytes"] * 4 == 4 * quantised["weights"] + 4 * 10 * 2).all()  # rows of 6 fill 8
    assert quantised["integer_accuracy"].notna().all() and len(quantised) == 4
    assert (rows["test_accuracy"] > 0.15).all()
    full = rows[rows["method"] == "float"]
    assert (full["weight_bytes"] == 4 * full["weights"]).all() and (full["zero_share"] < 0.01).all()


def test_summary_pairs_networks_by_seed():
    frame = pd.DataFrame(
        {
            "dataset": "digits", "method": ["float"] * 2 + ["qat"] * 2 + ["ptq"] * 2,
            "format": ["float"] * 2 + ["q4.4"] * 4, "bits": [32.0] * 2 + [8.0] * 4, "seed": [0, 1] * 3,
            "test_loss": 1.0, "test_accuracy": [0.9, 0.8, 0.85, 0.77, 0.5, 0.6], "integer_accuracy": np.nan,
            "weights": 100, "zero_share": [0.1, 0.2] * 3, "weight_bytes": [400] * 2 + [100] * 4,
            "spikes": [5.0, 8.0] * 3, "spike_share": [0.1, 0.3] * 3,
        }
    )  # fmt: skip
    summary = summaries.precision(tables.check(frame, schemas.PRECISION))
    tables.check(summary, schemas.PRECISION_SUMMARY)
    rows = summary.set_index("method")
    assert rows.loc["qat", "gap"] == pytest.approx(0.04) and rows.loc["ptq", "gap"] == pytest.approx(0.3)
    # Student's t of two values, one degree of freedom: 12.706 times the standard error.
    assert rows.loc["qat", "gap_high"] == pytest.approx(0.04 + 12.706 * 0.01, rel=1e-4)
    assert rows.loc["ptq", "further_loss"] == pytest.approx((0.35 + 0.17) / 2)
    assert np.isnan(rows.loc["qat", "further_loss"]) and rows.loc["float", "gap"] == 0
    assert rows.loc["qat", "memory_saved"] == 4 and rows.loc["qat", "levels"] == 256
    for name in ("zero_share", "spikes", "spike_share", "weight_bytes"):
        assert rows.loc["ptq", name] == frame[frame["method"] == "ptq"][name].mean()
    assert rows.loc["float", "high"] == 1.0


def test_intervals_of_a_summary_count_the_pairs_of_a_data_set_alone():
    methods = ["float"] * 3 + ["qat"] * 2 + ["ptq"] * 2
    one = pd.DataFrame(
        {
            "dataset": "digits", "method": methods, "format": ["float"] * 3 + ["q4.4"] * 4,
            "bits": [32.0] * 3 + [8.0] * 4, "seed": [0, 1, 2, 0, 1, 0, 1], "test_loss": 1.0,
            "test_accuracy": [0.9, 0.8, 0.7, 0.85, 0.77, 0.5, 0.6], "integer_accuracy": np.nan,
            "weights": 100, "zero_share": 0.0, "weight_bytes": [400] * 3 + [100] * 4, "spikes": 5.0,
            "spike_share": 0.1,
        }
    )  # fmt: skip
    other = one.assign(dataset="mnist", test_accuracy=one["test_accuracy"] - 0.1)
    summary = summaries.precision(tables.check(pd.concat((one, other)), schemas.PRECISION))
    rows = summary.set_index(["dataset", "method"])
    for name in ("digits", "mnist"):
        # Two pairs each, though there are three float networks and four of the other data set.
        assert rows.loc[(name, "qat"), "gap_high"] == pytest.approx(0.04 + 12.706 * 0.01, rel=1e-4)
        assert rows.loc[(name, "ptq"), "further_high"] == pytest.approx(0.26 + 12.706 * 0.09, rel=1e-4)


def test_qat_starts_from_the_float_network(study, digits):
    networks, trained, _, _ = study
    moved = trained[0]["body.1.parametrizations.weight.original"] - networks[0]["body.1.weight"]
    assert 0 < moved.abs().mean() < networks[0]["body.1.weight"].abs().mean()


def test_repetitions_start_from_other_weights(study):
    networks, _, _, rows = study
    assert not torch.equal(networks[0]["body.1.weight"], networks[1]["body.1.weight"])
    full = rows[rows["method"] == "float"]
    assert full["test_loss"].nunique() == len(full) == 2


def test_each_phase_has_its_settings_and_each_repetition_its_batches(study, digits, tmp_path, monkeypatch):
    for phase in ("float", "qat"):
        found = precision.settings_of(CONFIG, phase)
        assert {"epochs": found.epochs, "learning_rate": found.lr} == CONFIG[phase]
        assert (found.batch_size, found.augmentation) == (64, "none")
    seeds = []

    def watch(model, examples, settings, *, seed, checkpoint):
        seeds.append(seed)
        return pd.DataFrame({"epoch": [1], "seconds": [0.0]})

    monkeypatch.setattr(training, "train", watch)
    monkeypatch.setattr(precision, "measure", lambda *_: {})
    for run, name in ((1, "q4.4"), (1, "binary"), (2, "q4.4")):
        folder = {"seed": run, "progress": tmp_path, "fingerprint": "e" * 20}
        precision.quantise_format(CONFIG, name, study[0], digits, **folder)
    # Formats share their batches, so that they are paired; repetitions and runs do not.
    assert seeds[:2] == seeds[2:4] and len(set(seeds)) == 4


def test_networks_quantised_after_training_have_the_scale_of_least_error(study, digits):
    """Scales of formats that have one are chosen for trained weights, by their squared error."""
    networks = study[0]
    folder = {"seed": 1, "progress": digits.parent / "scaled", "fingerprint": "d" * 20}
    _, _, rows = precision.quantise_format(CONFIG, "4bit", {0: networks[0]}, digits, **folder)
    examples, classes = precision.tensors(digits)
    losses = {}
    for trained in (True, False):
        model = precision.network(CONFIG, examples, classes, seed=0)
        model.load_state_dict(networks[0])
        convert.quantise(model, "4bit", trained=trained)
        losses[trained] = precision.measure(model, examples)["test_loss"]
    assert rows[rows["method"] == "ptq"]["test_loss"].item() == losses[True] != losses[False]


def test_exported_format_is_verified(study, digits, tmp_path):
    row = run_formats(CONFIG, {"q4.4": study[1]}, digits, tmp_path, seed=2)
    tables.check(row, schemas.VERIFIED)
    _, _, _, rows = study
    qat = rows[(rows["method"] == "qat") & (rows["seed"] == 0)].iloc[0]
    assert row["test_accuracy"].item() == pytest.approx(qat["integer_accuracy"])
    # Test images; two extremes of each hidden neuron, fifty of each random kind, a dark and a bright image.
    samples = len(data.load(digits).test_labels) + 2 * 6 + 3 * 50 + 2
    assert row["samples"].item() == samples and row["neuron_steps"].item() == samples * 6 * (6 + 10)
    assert row["weight_bytes"].item() == qat["weight_bytes"] and row["sizes"].item() == "64-6-10"
    assert {path.name for path in (tmp_path / "q4.4/c").iterdir()} == {"model.h", "model.npz", "model.json"}


def test_an_interrupted_run_resumes_bit_for_bit(digits, tmp_path):
    examples, classes = precision.tensors(digits)
    settings = precision.settings_of(CONFIG, "float")

    def run(checkpoint, epochs):
        model = convert.quantise(precision.network(CONFIG, examples, classes, seed=9), "twn")
        stop = type("Stop", (training.Hook,), {"__repr__": lambda self: "Stop()"})()

        def before_epoch(model, epoch):
            if epoch == epochs:
                raise KeyboardInterrupt

        stop.before_epoch = before_epoch
        training.train(
            model, examples, settings, seed=9, checkpoint=checkpoint, hooks=(stop,), progress=False
        )
        return model.state_dict()

    whole = run(tmp_path / "whole.pt", 99)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "part.pt", 1)
    resumed = run(tmp_path / "part.pt", 99)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_images_that_are_not_finite_stop_a_training(digits):
    examples, classes = precision.tensors(digits)
    examples.train_images[3, 0, 2, 2] = torch.nan
    model = precision.network(CONFIG, examples, classes, seed=9)
    with pytest.raises(FloatingPointError, match="training images hold values that are not finite"):
        training.train(model, examples, precision.settings_of(CONFIG, "float"), seed=9, progress=False)
