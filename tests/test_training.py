import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from nonideal.data import Dataset
from nonideal.models import build, post_training_quantise, quant_layers
from nonideal.preprocessing import Tensors, prepare
from nonideal.quantize.formats import FORMATS
from nonideal.rng import torch_stream
from nonideal.training import Hook, Settings, evaluate, train
from nonideal.training.batches import batches

DETERMINISTIC = ["epoch", "learning_rate", "train_loss", "train_accuracy", "test_loss", "test_accuracy"]


def dataset(train_images, train_labels, test_images, test_labels) -> Dataset:
    arrays = map(np.asarray, (train_images, train_labels, test_images, test_labels))
    return Dataset("made up", *arrays, class_names=tuple(map(str, range(10))))


@pytest.fixture(scope="module")
def digits() -> Tensors:
    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)[:, None]
    return prepare(dataset(images[:1300], data.target[:1300], images[1300:], data.target[1300:]), size=8)


def tiny(weight_format: str = "4bitsym", *, seed: int = 0, **settings):
    return build(
        "fc",
        input_pixels=64,
        widths=(16,),
        weight_format=weight_format,
        generator=torch_stream(seed, "init"),
        **settings,
    )


def short(**changes) -> Settings:
    return Settings(**({"epochs": 4, "batch_size": 100, "lr": 5e-3, "device": "cpu"} | changes))


def equal_state(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_an_epoch_is_each_image_once_clean_and_once_per_copy():
    images = torch.arange(1.0, 51.0).view(50, 1, 1, 1).expand(50, 1, 5, 5).contiguous()
    labels = torch.arange(50)
    tensors = Tensors(images, labels, images, labels, torch.zeros(1, 1, 1))
    settings = short(batch_size=12, augmented_copies=2, degrees=0.0, translate=0.0, scale_range=(2.0, 2.0))
    found = list(batches(tensors, settings, 0, 0))
    clean = torch.cat([labels[: len(labels) // 3] for _, _, labels, _ in found])
    copies = torch.cat([labels[len(labels) // 3 :] for _, _, labels, _ in found])
    assert clean.sort().values.tolist() == list(range(50))
    assert copies.sort().values.tolist() == sorted(list(range(50)) * 2)
    for (
        _,
        pictures,
        names,
        _,
    ) in found:  # pictures and labels stay together; magnified pictures keep the centre
        torch.testing.assert_close(pictures[:, 0, 2, 2], names + 1.0)
    assert [fraction for fraction, _, _, _ in found] == [start / 50 for start in range(0, 50, 4)]
    later = [labels for _, _, labels, _ in batches(tensors, settings, 0, 1)]
    assert not torch.equal(torch.cat(later)[:4], clean[:4])


@pytest.mark.parametrize("optimiser", ["adam", "sgd", "muon"])
def test_one_clean_epoch_equals_a_loop_written_out(digits, optimiser):
    settings = short(epochs=2, augmented_copies=0, optimiser=optimiser, weight_decay=1e-3, lr=0.01)
    model, reference = tiny("2bitsym"), tiny("2bitsym")
    history = train(model, digits, settings, seed=3, progress=False)
    kinds = {
        "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=1e-3, foreach=False),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=1e-3, foreach=False),
        "muon": lambda p: torch.optim.Muon(p, lr=0.01, weight_decay=1e-3, adjust_lr_fn="match_rms_adamw"),
    }
    stepper, steps = kinds[optimiser](reference.parameters()), 0
    for epoch in range(2):
        order = torch.randperm(1300, generator=torch_stream(3, "training", "epoch", epoch))
        losses = []
        for part in order.split(100):
            stepper.param_groups[0]["lr"] = 0.005 * (1 + math.cos(math.pi * steps / 26))
            loss = functional.cross_entropy(reference(digits.train_images[part]), digits.train_labels[part])
            stepper.zero_grad()
            loss.backward()
            stepper.step()
            steps += 1
            losses.append(loss.item())
        assert history.train_loss[epoch] == pytest.approx(np.mean(losses), rel=1e-4)
    for a, b in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_learning_rate_schedules():
    assert [short(schedule="constant", lr=0.1).rate(epoch) for epoch in (0, 3)] == [0.1, 0.1]
    step = Settings(epochs=30, schedule="step", lr=1.0, step_epochs=10, step_factor=0.1)
    assert [step.rate(epoch) for epoch in (0, 9, 10, 29)] == pytest.approx([1, 1, 0.1, 0.01])
    cosine = Settings(epochs=4, schedule="cosine", lr=2.0)
    assert [cosine.rate(*at) for at in ((0, 0), (1, 0), (2, 0), (3, 0), (3, 1.0))] == pytest.approx(
        [2, 1 + math.sqrt(0.5), 1, 1 - math.sqrt(0.5), 0]
    )


def test_training_learns_and_evaluation_agrees_with_the_history(digits):
    model = tiny("ternary")
    history = train(model, digits, short(epochs=12), seed=0, progress=False)
    assert list(history.columns) == [*DETERMINISTIC, "seconds"] and list(history.epoch) == list(range(1, 13))
    assert history.test_accuracy.iloc[-1] > 0.8 > history.test_accuracy.iloc[0]
    assert history.learning_rate.iloc[0] == 5e-3
    result = evaluate(model, digits.test_images, digits.test_labels, logits=True)
    assert (result.loss, result.accuracy) == tuple(history[["test_loss", "test_accuracy"]].iloc[-1])
    assert not model.training
    # Evaluation against the definition, from the logits.
    probability = result.logits.double().softmax(dim=1)[
        torch.arange(len(digits.test_labels)), digits.test_labels
    ]
    assert result.loss == pytest.approx(-probability.log().mean().item(), rel=1e-5)
    assert result.accuracy == (result.logits.argmax(dim=1) == digits.test_labels).double().mean().item()


@pytest.mark.parametrize(
    ("weight_format", "clipping", "changes"),
    [
        ("4bitsym", None, {}),
        ("2bitsym", "octav", {"optimiser": "sgd", "schedule": "step", "step_epochs": 2, "freeze_scale": 0.5}),
        ("float", None, {"augmented_copies": 0, "batch_size": 97}),
        ("4bitsym", None, {"optimiser": "muon", "elastic": 0.5}),
    ],
)
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(
    digits, tmp_path, weight_format, clipping, changes
):
    settings = short(epochs=5, **changes)
    straight, path = tiny(weight_format, clipping=clipping), tmp_path / "run.pt"
    expected = train(straight, digits, settings, seed=1, progress=False)

    class Interruption(Exception):
        pass

    def interrupt(model, epoch):
        if epoch == 3:
            raise Interruption
        return torch.zeros(())

    with pytest.raises(Interruption):
        train(
            tiny(weight_format, clipping=clipping), digits, settings,
            seed=1, checkpoint=path, regulariser=interrupt, progress=False,
        )  # fmt: skip
    resumed = tiny(weight_format, clipping=clipping, seed=9)  # other initial weights: all comes from the file
    history = train(resumed, digits, settings, seed=1, checkpoint=path, progress=False)
    assert equal_state(resumed.state_dict(), straight.state_dict())
    pd.testing.assert_frame_equal(history[DETERMINISTIC], expected[DETERMINISTIC], check_exact=True)
    # A finished run is read, not repeated.
    again = tiny(weight_format, clipping=clipping, seed=9)
    pd.testing.assert_frame_equal(
        train(again, digits, settings, seed=1, checkpoint=path, progress=False), history, check_exact=True
    )
    assert equal_state(again.state_dict(), straight.state_dict())


def test_threads_of_the_caller_do_not_change_the_bits(digits):
    states = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            model = tiny()
            train(model, digits, short(epochs=2), seed=0, progress=False)
            assert torch.get_num_threads() == threads
            states.append(model.state_dict())
    finally:
        torch.set_num_threads(before)
    assert equal_state(*states)


def test_seeds_make_runs_and_global_generators_do_not(digits):
    states = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        model = tiny()
        train(model, digits, short(epochs=1), seed=seed, progress=False)
        states.append(model.state_dict())
    assert equal_state(states[0], states[1]) and not equal_state(states[0], states[2])


def test_checkpoints_come_every_k_epochs_and_at_the_end(digits, tmp_path):
    path, seen = tmp_path / "run.pt", []

    def watch(model, epoch):
        saved = len(torch.load(path, weights_only=True)["history"]) if path.exists() else 0
        if (epoch, saved) not in seen:
            seen.append((epoch, saved))
        return torch.zeros(())

    settings = short(epochs=5, batch_size=1000)
    train(
        tiny(),
        digits,
        settings,
        seed=0,
        checkpoint=path,
        checkpoint_every=2,
        regulariser=watch,
        progress=False,
    )
    assert seen == [(0, 0), (1, 0), (2, 2), (3, 2), (4, 4)]
    assert len(torch.load(path, weights_only=True)["history"]) == 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.pt"]


def test_a_checkpoint_of_another_run_is_refused_and_the_key_named(digits, tmp_path):
    path = tmp_path / "run.pt"
    train(tiny(), digits, short(epochs=1), seed=0, checkpoint=path, progress=False)
    other = Tensors(**(vars(digits) | {"background": digits.background + 1}))
    cases = [
        (tiny(), digits, short(epochs=1, lr=0.1), 0, r"lr is 0.005 there and 0.1 here; delete the file or"),
        (tiny(), digits, short(epochs=2), 0, "epochs is 1 there and 2 here"),
        (tiny(), digits, short(epochs=1, scale_range=(1.0, 1.0)), 0, "scale_range is"),
        (tiny(), digits, short(epochs=1), 7, "seed is 0 there and 7 here"),
        (tiny("4bit"), digits, short(epochs=1), 0, "model is"),
        (tiny(), other, short(epochs=1), 0, "data is"),
    ]
    for model, tensors, settings, seed, message in cases:
        with pytest.raises(ValueError, match=message):
            train(model, tensors, settings, seed=seed, checkpoint=path, progress=False)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"run\.pt is not a checkpoint of this program"):
        train(tiny(), digits, short(epochs=1), seed=0, checkpoint=path, progress=False)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"run\.pt is not a checkpoint of this program"):
        train(tiny(), digits, short(epochs=1), seed=0, checkpoint=path, progress=False)


def test_regulariser_is_added_to_the_objective_but_not_to_the_reported_loss(digits):
    model, plain = tiny("float"), tiny("float")
    settings = short(epochs=2, augmented_copies=0)
    pull = train(
        model, digits, settings, seed=0, progress=False,
        regulariser=lambda model, epoch: 10 * sum(weight.square().sum() for weight in model.parameters()),
    )  # fmt: skip
    free = train(plain, digits, settings, seed=0, progress=False)
    size, free_size = (sum(float(p.detach().square().sum()) for p in m.parameters()) for m in (model, plain))
    assert size < 0.3 * free_size
    assert pull.train_loss.iloc[0] < 3 and free.train_loss.iloc[0] < 3  # the penalty alone is above 10


def test_scales_are_frozen_after_the_given_fraction(digits):
    scales = []

    def watch(model, epoch):
        scales.append((epoch, quant_layers(model)[0].scale.item()))
        return torch.zeros(())

    settings = short(epochs=4, freeze_scale=0.5)
    model = tiny("2bitsym", clipping="mse")
    train(model, digits, settings, seed=0, regulariser=watch, progress=False)
    assert quant_layers(model)[0].frozen
    distinct = [len({scale for at, scale in scales if at in epochs}) for epochs in ((0, 1), (2, 3))]
    assert distinct == [2, 1] and quant_layers(model)[0].scale.item() == scales[-1][1]


def test_a_finished_run_read_again_is_frozen_as_it_was(digits, tmp_path):
    settings = short(epochs=2, freeze_scale=0.5)
    for model in (tiny("4bitsym"), tiny("4bitsym")):
        train(model, digits, settings, seed=0, checkpoint=tmp_path / "x.pt", progress=False)
        assert all(layer.frozen for layer in quant_layers(model))


def test_evaluation_leaves_every_layer_in_its_mode(digits):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(64), torch.nn.Linear(64, 10)).train()
    model[1].eval()
    evaluate(model, digits.test_images, digits.test_labels)
    assert [layer.training for layer in (model, *model)] == [True, True, False, True]


def test_without_images_there_is_nothing_to_evaluate():
    with pytest.raises(ValueError, match="no images to evaluate"):
        evaluate(torch.nn.Flatten(), torch.zeros(0, 1, 2, 2), torch.zeros(0, dtype=torch.int64))


def test_logits_of_an_evaluation_can_be_learned(digits):
    model = tiny()
    logits = evaluate(model, digits.test_images, digits.test_labels, logits=True).logits
    torch.nn.functional.mse_loss(model(digits.test_images[:9]), logits[:9]).backward()
    assert model.layers[0].weight.grad is not None


def test_images_that_are_not_finite_are_named(digits):
    images = digits.train_images.clone()
    images[3, 0, 2, 2] = math.nan
    with pytest.raises(FloatingPointError, match="training images hold values that are not finite"):
        train(tiny(), replace(digits, train_images=images), short(epochs=1), seed=0, progress=False)


def test_divergence_is_reported(digits):
    with pytest.raises(FloatingPointError, match=r"training loss is nan in epoch 1: lower lr"):
        train(
            tiny(), digits, short(epochs=1), seed=0, progress=False,
            regulariser=lambda model, epoch: math.nan * model.layers[0].weight.sum(),
        )  # fmt: skip


def test_divergence_in_the_very_last_step_is_reported(digits, tmp_path):
    """The losses of the steps, each taken before it, were finite: only the test sees the weights left."""
    state = tmp_path / "state.pt"

    class Last(Hook):
        def after_epoch(self, model, epoch):
            model.layers[0].weight.data.fill_(math.nan)

    with pytest.raises(FloatingPointError, match=r"test loss is nan in epoch 1: lower lr"):
        train(
            tiny("float"), digits, short(epochs=1), seed=0, progress=False, checkpoint=state, hooks=[Last()]
        )
    assert not state.exists()


def test_every_epoch_of_none_is_refused_before_training(digits, tmp_path):
    with pytest.raises(ValueError, match="checkpoint_every must be at least 1, got 0"):
        train(tiny(), digits, short(), seed=0, checkpoint=tmp_path / "state.pt", checkpoint_every=0)


@pytest.mark.parametrize("percent", range(1, 100))
def test_shares_of_the_epochs_are_reached_at_whole_epochs(percent):
    settings = Settings(
        epochs=100, schedule="step", milestones=(percent / 100,), lr=1.0, freeze_scale=percent / 100
    )
    assert [settings.rate(epoch) for epoch in (percent - 1, percent)] == [1.0, settings.step_factor]
    assert [settings.reached(settings.freeze_scale, epoch) for epoch in (percent - 1, percent)] == [
        False,
        True,
    ]


def test_groups_of_a_checkpoint_are_those_of_the_run(digits, tmp_path):
    def groups(factor):
        return lambda model: [{"params": list(model.parameters()), "lr_factor": factor}]

    file = {"checkpoint": tmp_path / "state.pt", "seed": 0, "progress": False}
    train(tiny(), digits, short(epochs=1), **file, parameter_groups=groups(1.0))
    train(tiny(), digits, short(epochs=1), **file, parameter_groups=groups(1.0))
    with pytest.raises(ValueError, match="belongs to another run: groups is"):
        train(tiny(), digits, short(epochs=1), **file, parameter_groups=groups(0.5))


@pytest.mark.parametrize("weight_format", FORMATS)
def test_post_training_quantisation_puts_the_weights_on_the_grid(digits, weight_format):
    model = tiny("float", activation_bits=None)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    result = post_training_quantise(model, weight_format, per_channel=True)
    assert equal_state(model.state_dict(), before) and not result.training
    fmt = FORMATS[weight_format]
    for old, new in zip(quant_layers(model), quant_layers(result), strict=True):
        assert (new.weight_format, new.activation_bits) == (weight_format, 8)
        torch.testing.assert_close(new.weight, new.integer_weight() * new.scale)
        assert torch.equal(new.effective_weight(), new.weight)
        assert torch.equal(new.weight, fmt.nearest(old.weight / new.scale) * new.scale)
    logits = evaluate(result, digits.test_images, digits.test_labels, logits=True).logits
    if weight_format == "8bit":
        close = evaluate(model, digits.test_images, digits.test_labels, logits=True).logits
        assert (logits - close).abs().max() < 0.05 * close.abs().max()


def test_scales_of_post_training_quantisation_stay_as_they_were_chosen():
    layer = quant_layers(post_training_quantise(tiny("float"), "4bit"))[0]
    chosen = layer.scale.clone()
    with torch.no_grad():
        layer.weight.mul_(2)
    layer.update_scale()
    assert torch.equal(layer.scale, chosen)


@pytest.mark.parametrize("bits", [-3, 0, 1, 40])
def test_post_training_quantisation_wants_a_width_there_is(bits):
    with pytest.raises(ValueError, match=r"activation_bits must be 2 \.\. 16"):
        post_training_quantise(tiny("float", activation_bits=None), "4bit", activation_bits=bits)


def test_post_training_quantisation_wants_a_float_network():
    with pytest.raises(ValueError, match=r"layers of weight_format 'float', found \['4bit'\]"):
        post_training_quantise(tiny("4bit"), "2bitsym")
    with pytest.raises(ValueError, match=r"found none in Linear; for other layers attach\(.*detach"):
        post_training_quantise(torch.nn.Linear(2, 2), "2bitsym")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser": "lion"}, "optimiser must be one of adam, muon, sgd, got 'lion'"),
        ({"schedule": "linear"}, "schedule must be one of cosine, step, halving, constant"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"threads": 1.5}, "threads must be a whole number"),
        ({"augmented_copies": -1}, "augmented_copies must be a whole number from 0"),
        ({"batch_size": 25}, r"batch_size must be a multiple of 1 \+ augmented_copies = 2, got 25"),
        ({"lr": math.nan}, "lr must be positive"),
        ({"evaluation_batch": -1}, "evaluation_batch must be a whole number from 0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"freeze_scale": 0.0}, r"freeze_scale must lie in \(0, 1\]"),
        ({"elastic": -0.1}, "elastic must be a number of pixels from 0, got -0.1"),
        ({"elastic": math.inf}, "elastic must be a number of pixels from 0"),
        ({"scale_range": (1.0,)}, "scale must be two positive numbers"),
    ],
)
def test_bad_settings_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        short(**changes)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_device_is_reported(digits):
    with pytest.raises(ValueError, match="PyTorch finds no CUDA device here; use 'auto' or 'cpu'"):
        train(tiny(), digits, short(device="cuda"), seed=0, progress=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_cuda_reaches_the_accuracy_of_the_cpu(digits):
    accuracy = {}
    for device in ("cpu", "cuda"):
        history = train(tiny(), digits, short(epochs=12, device=device), seed=0, progress=False)
        accuracy[device] = history.test_accuracy.iloc[-1]
    assert accuracy["cuda"] == pytest.approx(accuracy["cpu"], abs=0.03)
