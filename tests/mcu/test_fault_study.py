"""The study of stuck bits in flash, on a tiny network."""

import numpy as np
import pandas as pd
import pytest
import torch
from pandera.errors import SchemaErrors

from nonideal import faults, recipe, tables
from nonideal.mcu import build, fault_study, fault_summary, flash
from nonideal.mcu.export import export
from nonideal.mcu.integer import from_model
from nonideal.mcu.verify import MismatchError
from nonideal.quantize import attach
from nonideal.rng import torch_stream
from nonideal.schemas import mcu, regularised
from nonideal.training import Tensors

CONFIG = {
    "dataset": "corners", "widths": [12], "seeds": 2, "epochs": 3, "batch_size": 16, "optimiser": "adam",
    "learning_rate": 0.01, "schedule": "cosine", "step_epochs": 10, "milestones": [], "weight_decay": 0,
    "label_smoothing": 0, "augmented_copies": 0, "augment_fine": False, "degrees": 10, "translate": 0.1,
    "scale_range": [0.9, 1.1], "shear": 0, "elastic": 0, "clipping": {}, "freeze_scale": 1,
    "per_channel": False, "prune_share": 0, "prune_at": 0.5, "threads": 1, "device": "cpu",
    "flash": {
        "modes": ["basic", "active+passive", "trained"], "rates": [0, 0.1, 0.3], "p_stuck1": 0.5,
        "epochs": 3, "learning_rate": 0.005, "ramp": 0.5, "remap_epochs": 1,
    },
}  # fmt: skip


def corners(count, name):
    """Images with a bright corner, and which corner it is."""
    labels = torch.arange(count) % 4
    images = 0.8 * torch.randn(count, 1, 16, 16, generator=torch_stream(9, name))
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 8 * (label // 2) : 8 * (label // 2) + 8, 8 * (label % 2) : 8 * (label % 2) + 8] += 0.5
    return images, labels


@pytest.fixture(scope="module")
def examples():
    return Tensors(*corners(96, "train"), *corners(64, "test"), torch.zeros(1, 1, 1))


@pytest.fixture
def job(engine, examples, tmp_path):
    return fault_study.Job(CONFIG, "4bitsym", "plain", examples, engine, 7, tmp_path)


@pytest.fixture(scope="module")
def networks(examples, tmp_path_factory):
    states = {}
    for repetition in range(2):
        checkpoint = tmp_path_factory.mktemp("networks") / "a.pt"
        model, _ = recipe.train_network(
            CONFIG, "4bitsym", examples, 4, seed=1, repetition=repetition, checkpoint=checkpoint
        )
        states[repetition] = model.state_dict()
    return states


@pytest.fixture(scope="module")
def runs(engine, examples, networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    job = fault_study.Job(CONFIG, "4bitsym", "plain", examples, engine, 7, folder)
    return pd.DataFrame(fault_study.run(job, networks))


def accuracies(runs, method, column="test_accuracy"):
    return runs[runs["method"] == method].groupby("rate")[column].mean()


def test_training_for_the_map_repairs_what_stuck_bits_break(runs):
    unaware = accuracies(runs, "unaware")
    assert unaware[0] > 0.8 and unaware[0.3] < unaware[0] - 0.1
    for method in ("active+passive", "trained"):
        assert accuracies(runs, method)[0.3] > unaware[0.3] + 0.05
    changed = accuracies(runs, "unaware", "changed_weights")
    assert changed[0.3] > 0.1 and changed.equals(accuracies(runs, "nearest", "changed_weights"))
    assert (accuracies(runs, "unaware", "sound_accuracy") == unaware[0]).all()
    assert (accuracies(runs, "nearest", "sound_accuracy") == unaware[0]).all()


def test_rows_fit_the_table_and_repeat(runs, job, networks, tmp_path):
    tables.write(runs, tmp_path / "runs.parquet", mcu.FLASH_RUNS, provenance={})
    again = fault_study.run(job, {1: networks[1]})
    wanted = runs[runs["seed"] == 1].to_dict("records")
    assert [next(again) for _ in range(7)] == wanted[:7]
    with pytest.raises(SchemaErrors):
        mcu.FLASH_RUNS.validate(runs.assign(test_accuracy=1.5), lazy=True)


def test_without_faults_methods_that_train_alike_are_one(runs):
    sound = runs[runs["rate"] == 0].set_index(["method", "seed"])
    assert (sound["changed_weights"] == 0).all()
    assert (sound["test_accuracy"] == sound["sound_accuracy"]).all()
    for first, second in (("unaware", "nearest"), ("basic", "active+passive")):
        assert sound.loc[first].equals(sound.loc[second])


def test_each_training_has_its_own_recipe(job, networks, monkeypatch):
    seen = {}

    def train(model, examples, settings, *, regulariser, hooks, **others):
        seen[len(seen)] = settings, regulariser, hooks
        return pd.DataFrame({"seconds": [0.0]})

    monkeypatch.setattr(fault_study.training, "train", train)
    for method in ("passive", "trained"):
        model = recipe.restore(CONFIG, "4bitsym", networks[0])
        network = from_model(model)
        stuck = fault_study.stuck_bits(job, network, 0.3, 0)
        fault_study.with_faults(job, model, flash.cells(job.export(network), stuck), method)
        fault_study.fine_tune(job, model, method, 0.3, 0)
        for weight, quantiser in zip(
            attach.original(model).values(), attach.attached(model).values(), strict=True
        ):
            assert torch.equal(weight, quantiser.quantise(weight)), "training starts from what is held"
            model.train()
            forward = quantiser(weight + 0.3 * quantiser.scale)
            assert torch.equal(forward, weight) == (method == "trained")
    (penalised, penalty, hooks), (straight, none, nothing) = seen.values()
    assert (penalised.optimiser, penalised.lr, penalised.epochs) == ("sgd", 0.005, 3)
    assert penalty is not None and hooks
    assert (straight.optimiser, straight.lr, straight.epochs) == ("adam", 0.01, 3)
    assert none is None and not nothing


def test_untrained_networks_are_damaged_as_flash_says(job, runs, networks):
    """The rows of `unaware` from the export, the map and nothing else."""
    network = from_model(recipe.restore(CONFIG, "4bitsym", networks[0]))
    made = export(network, job.examples.test_images, kernel="plain")
    stuck = fault_study.stuck_bits(job, network, 0.3, 0)
    _, held = flash.damage(made, stuck)
    row = runs.query("method == 'unaware' and rate == 0.3 and seed == 0").iloc[0]
    assert row["weight_bytes"] == sum(part.words.nbytes for part in made.packed) == len(stuck.stuck0)
    pairs = list(zip(network.layers, held.layers, strict=True))
    changed = sum((a.weights != b.weights).sum() for a, b in pairs)
    assert row["changed_weights"] == changed / sum(a.weights.size for a, _ in pairs)
    assert row["verified_images"] == 64


def test_every_seed_has_a_map_of_its_own(job, networks):
    network = from_model(recipe.restore(CONFIG, "4bitsym", networks[0]))
    first, second = (fault_study.stuck_bits(job, network, 0.3, repetition) for repetition in (0, 1))
    assert not torch.equal(first.stuck0, second.stuck0)


def tampered(job, networks):
    """A network with stuck bits, and the map in its flash."""
    model = recipe.restore(CONFIG, "4bitsym", networks[0])
    network = from_model(model)
    stuck = fault_study.stuck_bits(job, network, 0.3, 0)
    return fault_study.with_faults(job, model, flash.cells(job.export(network), stuck), "unaware"), stuck


def test_a_map_that_training_did_not_see_stops_the_job(job, networks):
    model, stuck = tampered(job, networks)
    fault_study.measure(job, model, stuck)
    byte = int(stuck.stuck0.nonzero()[0])
    wrong = stuck.stuck0.clone()
    wrong[byte] = 0
    other = faults.FaultMap(wrong, stuck.stuck1 | (stuck.stuck0 ^ wrong))
    with pytest.raises(MismatchError, match=r"layers.0: \d+ of 3072 weights in flash are not those trained"):
        fault_study.measure(job, model, other)


def test_a_wrong_engine_stops_the_job(job, networks, monkeypatch):
    model, stuck = tampered(job, networks)
    infer = type(job.engine).infer
    # An engine that packs the weights itself and is given the words of a sound flash.
    monkeypatch.setattr(
        type(job.engine),
        "infer",
        lambda self, held, images, *, kernel, packed: infer(
            self, fault_study.written(job, model), images, kernel=kernel
        ),
    )
    with pytest.raises(MismatchError, match="host C, plain kernel, damaged flash, logits"):
        fault_study.measure(job, model, stuck)


def test_an_interrupted_job_resumes_bit_for_bit(job, networks, runs, monkeypatch):
    class StoppedError(RuntimeError):
        pass

    save, count = fault_study.training.loop.checkpoints.save, []

    def stop(path, state):
        save(path, state)
        count.append(path)
        if len(count) == 5:
            raise StoppedError

    with monkeypatch.context() as patched:
        patched.setattr(fault_study.training.loop.checkpoints, "save", stop)
        with pytest.raises(StoppedError):
            list(fault_study.run(job, {0: networks[0]}))
    kept = count[-1].read_bytes()
    resumed = list(fault_study.run(job, {0: networks[0]}))
    assert resumed == runs[runs["seed"] == 0].to_dict("records")
    assert count[-1].read_bytes() != kept, "the stopped network went on"


def test_quantisers_keep_scale_and_grid(job, networks):
    model, _ = tampered(job, networks)
    state = networks[0]
    for k, quantiser in enumerate(attach.attached(model).values()):
        assert quantiser.scale == state[f"layers.{k}.scale"]
        assert not list(quantiser.parameters())
    assert np.array_equal(
        fault_study.written(job, model).layers[0].weights,
        from_model(recipe.restore(CONFIG, "4bitsym", state)).layers[0].weights,
    )


def test_the_stored_map_is_that_of_the_flash(job, networks, tmp_path):
    frame = fault_study.stored_map(job, networks)
    tables.write(frame, tmp_path / "maps.parquet", regularised.CELL_MAP, provenance={})
    shapes = {"layers.0": (12, 256), "layers.1": (4, 12)}
    maps = faults.read_map(tmp_path / "maps.parquet", shapes, 4)
    network = from_model(recipe.restore(CONFIG, "4bitsym", networks[0]))
    wanted = flash.cells(job.export(network), fault_study.stuck_bits(job, network, 0.3, 0))
    for found, fault in zip(maps.values(), wanted, strict=True):
        assert torch.equal(found.stuck0, fault.stuck0) and torch.equal(found.stuck1, fault.stuck1)


def test_summary(runs, tmp_path):
    frame = fault_summary.summary(runs)
    tables.write(frame, tmp_path / "summary.parquet", mcu.FLASH_SUMMARY, provenance={})
    row = frame.query("method == 'trained' and rate == 0.3").iloc[0]
    own = runs.query("method == 'trained' and rate == 0.3").set_index("seed")["test_accuracy"]
    sound = runs.query("method == 'unaware' and rate == 0.3").set_index("seed")["sound_accuracy"]
    assert row["mean"] == pytest.approx(own.mean()) and row["seeds"] == 2
    assert row["change"] == pytest.approx(100 * (own - sound).mean())
    assert row["low"] <= row["mean"] <= row["high"]


def test_a_job_opens_with_its_engine(tmp_path, monkeypatch, examples, engine):
    monkeypatch.setattr(recipe, "tensors", lambda folder, fine: (examples, 4))
    monkeypatch.setattr(build, "host_library", lambda folder: engine._library._name)
    job = fault_study.start(CONFIG, "4bit", "fast", "data", seed=1, progress=tmp_path, fingerprint="a" * 64)
    assert job.folder == tmp_path / ("a" * 16) and job.examples is examples
