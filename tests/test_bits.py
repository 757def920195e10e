import numpy as np
import pandas as pd
import pytest
import torch

from nonideal import bits, data, tables
from nonideal.schemas.training import ACCURACY, HISTORY
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
    "augmented_copies": 1,
    "threads": 1,
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    data.prepare("digits", folder)
    return folder


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    progress = tmp_path_factory.mktemp("progress")
    return bits.train_format(CONFIG, "ternary", digits, seed=1, progress=progress, fingerprint="a" * 64)


def test_tables_fit_their_schemas(trained):
    networks, history, accuracy = trained
    assert list(networks) == [0, 1]
    assert len(tables.check(history, HISTORY)) == 4
    accuracy = tables.check(accuracy, ACCURACY)
    assert accuracy["weights"].tolist() == [256 * 8 + 8 * 10] * 2
    assert accuracy["bits"].tolist() == pytest.approx([np.log2(3)] * 2)
    last = history[history["epoch"] == 2].sort_values("seed")["test_accuracy"]
    assert np.array_equal(last, accuracy.sort_values("seed")["test_accuracy"])


def test_repetitions_differ_and_repeat(trained, digits, tmp_path):
    networks, history, _ = trained
    assert not torch.equal(networks[0]["layers.0.weight"], networks[1]["layers.0.weight"])
    again, rows, _ = bits.train_format(
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
    networks, history, _ = bits.train_format(CONFIG, "ternary", digits, **arguments)
    assert len(calls) == 5  # three epochs before the interruption, the failed one, and one after it
    pd.testing.assert_frame_equal(trained[1], history)
    for key, value in trained[0][1].items():
        assert torch.equal(value, networks[1][key])


def test_checkpoints_of_other_code_are_discarded(digits, tmp_path, capsys):
    short = CONFIG | {"seeds": 1, "epochs": 1}
    for mark in ("a" * 64, "b" * 64):
        bits.train_format(short, "ternary", digits, seed=1, progress=tmp_path, fingerprint=mark)
    assert [path.name for path in tmp_path.iterdir()] == ["b" * 16]
    assert "discarding" in capsys.readouterr().out


def test_every_format_starts_from_the_same_weights():
    networks = [bits.network(CONFIG, name, 10, seed=5) for name in ("float", "8bit", "binary")]
    first = [next(network.parameters()) for network in networks]
    assert torch.equal(first[0], first[1]) and torch.equal(first[0], first[2])


def test_post_training_quantisation_uses_the_float_networks(digits, tmp_path):
    short = CONFIG | {"seeds": 1, "widths": [16], "epochs": 8, "formats": ["8bit", "binary"]}
    networks, _, accuracy = bits.train_format(
        short, "float", digits, seed=1, progress=tmp_path, fingerprint="a" * 64
    )
    bits.save_networks(networks, tmp_path / "networks.pt")
    quantised = bits.quantise_after_training(short, bits.load_networks(tmp_path / "networks.pt"), digits)
    found = tables.check(quantised, ACCURACY).set_index("format")["test_accuracy"]
    assert found["8bit"] == pytest.approx(accuracy["test_accuracy"].item(), abs=0.01)
    assert found["binary"] < found["8bit"]
