import numpy as np
import pandas as pd
import pytest
import torch

from nonideal import augment, bits, data, recipe, tables, tensorfile, weights
from nonideal.mcu.integer import from_model
from nonideal.schemas.training import ACCURACY, CODE_USAGE, FIRST_LAYER, HISTORY
from nonideal.training import loop

CONFIG = {
    "dataset": "digits",
    "formats": ["4bitsym", "ternary"],
    "widths": [8],
    "seeds": 2,
    "epochs": 2,
    "batch_size": 128,
    "optimiser": "adam",
    "learning_rate": 0.003,
    "schedule": "cosine",
    "step_epochs": 10,
    "milestones": [],
    "weight_decay": 0,
    "label_smoothing": 0,
    "augmented_copies": 1,
    "augment_fine": False,
    "degrees": 10,
    "translate": 0.1,
    "scale_range": [0.9, 1.1],
    "shear": 0,
    "elastic": 0,
    "clipping": {},
    "freeze_scale": 1,
    "per_channel": False,
    "prune_share": 0,
    "prune_at": 0.5,
    "threads": 1,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    progress = tmp_path_factory.mktemp("progress")
    return bits.train_format(CONFIG, "ternary", digits, seed=1, progress=progress, fingerprint="a" * 64)


def test_tables_fit_their_schemas(trained):
    networks, history, usage, accuracy = trained
    assert list(networks) == [0, 1]
    assert len(tables.check(history, HISTORY)) == 4
    shares = tables.check(usage, CODE_USAGE).groupby(["seed", "epoch", "layer"])["share"]
    assert shares.ngroups == 2 * 2 * 2 and np.allclose(shares.sum(), 1)
    accuracy = tables.check(accuracy, ACCURACY)
    assert accuracy["weights"].tolist() == [256 * 8 + 8 * 10] * 2
    assert accuracy["bits"].tolist() == pytest.approx([np.log2(3)] * 2)
    last = history[history["epoch"] == 2].sort_values("seed")["test_accuracy"]
    assert np.array_equal(last, accuracy.sort_values("seed")["test_accuracy"])


def test_first_layers_are_shown_as_the_images_they_look_at(trained):
    levels = from_model(recipe.restore(CONFIG, "ternary", trained.networks[0])).layers[0].weights
    frame = tables.check(weights.first_layers(CONFIG, "ternary", trained.networks, 3), FIRST_LAYER)
    assert len(frame) == 3 * 256 and (frame["relative"] == frame["level"]).all()  # the largest level is 1
    place = frame["neuron"] - 1, 16 * frame["row"] + frame["column"]
    assert (frame["level"] == levels[place]).all()
    assert frame["row"].max() == frame["column"].max() == 15


def test_repetitions_differ_and_repeat(trained, digits, tmp_path):
    networks, history, *_ = trained
    assert not torch.equal(networks[0]["layers.0.weight"], networks[1]["layers.0.weight"])
    again, rows, *_ = bits.train_format(
        CONFIG, "ternary", digits, seed=1, progress=tmp_path, fingerprint="a" * 64
    )
    pd.testing.assert_frame_equal(history, rows)
    for key, value in networks[1].items():
        assert torch.equal(value, again[1][key])


def test_interrupted_training_resumes_bit_for_bit(trained, digits, tmp_path, monkeypatch):
    advance, calls = loop._Run.advance, []

    def interrupted(run):
        calls.append(run)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return advance(run)

    monkeypatch.setattr(loop._Run, "advance", interrupted)
    arguments = {"seed": 1, "progress": tmp_path, "fingerprint": "a" * 64}
    with pytest.raises(KeyboardInterrupt):
        bits.train_format(CONFIG, "ternary", digits, **arguments)
    networks, history, usage, _ = bits.train_format(CONFIG, "ternary", digits, **arguments)
    assert len(calls) == 5  # three epochs before the interruption, the failed one, and one after it
    pd.testing.assert_frame_equal(trained.history, history)
    pd.testing.assert_frame_equal(trained.usage, usage)
    for key, value in trained[0][1].items():
        assert torch.equal(value, networks[1][key])


def test_checkpoints_of_other_code_are_discarded(digits, tmp_path, capsys):
    short = CONFIG | {"seeds": 1, "epochs": 1}
    for mark in ("a" * 64, "b" * 64):
        bits.train_format(short, "ternary", digits, seed=1, progress=tmp_path, fingerprint=mark)
    assert [path.name for path in tmp_path.iterdir()] == ["b" * 16]
    assert "discarding" in capsys.readouterr().out


def test_every_format_starts_from_the_same_weights():
    networks = [recipe.network(CONFIG, name, 10, seed=5) for name in ("float", "8bit", "binary")]
    first = [next(network.parameters()) for network in networks]
    assert torch.equal(first[0], first[1]) and torch.equal(first[0], first[2])


def test_post_training_quantisation_uses_the_float_networks(digits, tmp_path):
    short = CONFIG | {"seeds": 1, "widths": [16], "epochs": 8, "formats": ["8bit", "binary"]}
    networks, _, usage, accuracy = bits.train_format(
        short, "float", digits, seed=1, progress=tmp_path, fingerprint="a" * 64
    )
    assert usage.empty  # full precision has no codes
    tensorfile.save_networks(networks, tmp_path / "networks.pt")
    quantised = bits.quantise_after_training(
        short, tensorfile.load_networks(tmp_path / "networks.pt"), digits
    )
    found = tables.check(quantised, ACCURACY).set_index("format")["test_accuracy"]
    assert found["8bit"] == pytest.approx(accuracy["test_accuracy"].item(), abs=0.01)
    assert found["binary"] < found["8bit"]


def test_post_training_quantisation_has_as_many_scales_as_training(digits, monkeypatch):
    config = CONFIG | {"formats": ["4bitsym"], "per_channel": True}
    state = recipe.network(config, "float", 10, seed=1).state_dict()
    seen = []
    monkeypatch.setattr(bits, "_result", lambda model, examples: seen.append(model) or {})
    bits.quantise_after_training(config, {0: state}, digits)
    trained = recipe.network(config, "4bitsym", 10, seed=1)
    assert [layer.scale.shape for layer in seen[0].layers] == [layer.scale.shape for layer in trained.layers]


def test_settings_reach_the_training_loop():
    settings = recipe.settings_of(
        CONFIG
        | {"schedule": "step", "milestones": [0.5], "weight_decay": 0.01, "label_smoothing": 0.1}
        | {"degrees": 15, "translate": 0.2, "scale_range": [0.8, 1.3], "shear": 5, "freeze_scale": 0.5}
        | {"optimiser": "muon", "elastic": 0.8}
    )
    assert (settings.rate(0), settings.rate(1)) == pytest.approx((0.003, 0.0003))
    assert (settings.weight_decay, settings.label_smoothing, settings.freeze_scale) == (0.01, 0.1, 0.5)
    assert (settings.optimiser, settings.elastic) == ("muon", 0.8)
    assert settings.affine() == augment.Affine(15, 0.2, (0.8, 1.3), 5)


def test_clipping_is_chosen_by_format():
    config = CONFIG | {"clipping": {"4bitsym": "octav"}, "per_channel": True}
    layer = recipe.network(config, "4bitsym", 10, seed=0).layers[0]
    assert (layer.clipping, layer.per_channel, layer.scale.shape) == ("octav", True, (8, 1))
    assert recipe.network(config, "4bit", 10, seed=0).layers[0].clipping == "proportional"
    assert recipe.network(config, "float", 10, seed=0).layers[0].clipping is None


def test_a_study_changes_what_it_names_and_nothing_else():
    changed = recipe.variant(CONFIG, {"epochs": 7, "values": [1]}, widths=[3])
    assert changed == CONFIG | {"epochs": 7, "widths": [3]}


def test_pruned_networks_are_smaller_and_come_back_from_their_state(digits, tmp_path):
    # Late pruning falls into the last epoch, not behind it.
    config = CONFIG | {"widths": [8, 6], "prune_share": 0.5, "prune_at": 0.8, "seeds": 1}
    trained = bits.train_format(config, "4bitsym", digits, seed=1, progress=tmp_path, fingerprint="a" * 64)
    state = trained.networks[0]
    assert [tuple(value.shape) for key, value in state.items() if key.endswith("weight")] == [
        (4, 256),
        (3, 4),
        (10, 3),
    ]
    assert trained.accuracy["weights"].item() == 4 * 256 + 3 * 4 + 10 * 3
    assert from_model(recipe.restore(config, "4bitsym", state)).sizes == (256, 4, 3, 10)


def test_letters_are_a_data_set_like_another(tmp_path):
    write_emnist(tmp_path, "letters", first_label=1, classes=26)
    data.prepare("emnist_letters", tmp_path / "prepared", root=tmp_path)
    config = CONFIG | {"dataset": "emnist_letters", "seeds": 1, "epochs": 1, "augment_fine": True}
    trained = bits.train_format(
        config, "4bitsym", tmp_path / "prepared", seed=1, progress=tmp_path / "progress", fingerprint="a" * 64
    )
    assert trained.networks[0]["layers.1.weight"].shape == (26, 8)
    assert tables.check(trained.accuracy, ACCURACY)["dataset"].tolist() == ["emnist_letters"]


def write_emnist(root, split, *, first_label, classes):
    """Random images in files as EMNIST's: four a class for training, two for testing."""
    generator = np.random.default_rng(0)
    folder = root / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    for part, count in (("train", 4), ("test", 2)):
        labels = np.tile(np.arange(classes, dtype=np.uint8), count) + first_label
        images = generator.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            (folder / f"emnist-{split}-{part}-{kind}-ubyte").write_bytes(head + array.tobytes())
