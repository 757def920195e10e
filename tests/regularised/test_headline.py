"""The main statements on the crossbars' network."""

import pytest
import torch
from regularised_study import CONFIG

from nonideal import data, tables
from nonideal.pcm import network_training
from nonideal.regularised import headline
from nonideal.schemas import regularised

NETWORKS = {"dataset": "digits", "architecture": "resnet8", "width": 3, "pixels": 8}
HEADLINE = {
    "methods": ["multiplier", "multiplier_ste"],
    "bits": [3],
    "rate": 0.2,
    "p_stuck1": 0.5,
    "sigma": 0.4,
    "epochs": 1,
    "learning_rate": None,
}


@pytest.fixture(scope="module")
def started(digits, tmp_path_factory):
    progress = tmp_path_factory.mktemp("progress")
    config = CONFIG | {"train_images": 128, "seeds": 2, "headline": HEADLINE, "networks": NETWORKS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headline, "WATCHED", 40)  # fewer than there are
        run = headline.HeadlineRun.start(config, digits, seed=1, progress=progress, fingerprint="a" * 64)
    state = network_training.architecture(NETWORKS, 1, 10, seed=5).state_dict()
    return run, state


def test_settings_take_the_one_rate_and_the_network_of_the_crossbars(started):
    run, _ = started
    assert run.config["faults"]["rates"] == [0.2]
    assert run.config["variability"]["sigmas"] == [0.4]
    assert run.config["qat"]["bits"] == run.config["variability"]["bits"] == [3]
    assert {run.config[part]["epochs"] for part in ("qat", "faults", "variability")} == {1}
    assert run.config["width"] == 3 != CONFIG["width"]
    assert run.labels(0) == {"dataset": "digits", "model": "resnet8", "seed": 0}
    assert len(run.examples.tensors.train_labels) == 128


def test_of_a_smaller_data_set_than_that_of_the_studies_all_images_are_taken(digits):
    config = CONFIG | {"train_images": 20_000, "headline": HEADLINE, "networks": NETWORKS}
    _, examples = headline.HeadlineRun.prepared(config, digits, seed=1)
    assert len(examples.tensors.train_labels) == len(data.load(digits).train_labels) == 1437


def test_epochs_and_rate_are_its_own_or_those_of_the_studies():
    def course(**changes):
        config = CONFIG | {"headline": HEADLINE | changes, "networks": NETWORKS}
        made = headline.settings_of(config)
        return {
            (made[part]["epochs"], made[part]["learning_rate"]) for part in ("qat", "faults", "variability")
        }

    own = {
        (CONFIG[part]["epochs"], CONFIG[part]["learning_rate"]) for part in ("qat", "faults", "variability")
    }
    assert course(epochs=None) == own
    assert course(epochs=7, learning_rate=0.5) == {(7, 0.5)}


def test_few_test_images_are_watched_and_all_of_them_count(digits, started):
    run, _ = started
    examples, whole = run.examples, data.load(digits)
    assert len(examples.tensors.test_images) == len(examples.tensors.test_labels) == 40
    assert len(examples.test_images) == len(whole.test_labels) > 40
    assert examples.test_labels.tolist() == whole.test_labels.tolist()
    # Normalised as for the float network, which saw all training images.
    full, _ = network_training.tensors(digits, NETWORKS["pixels"])
    assert torch.equal(examples.test_images, full.test_images)
    seen = (examples.tensors.train_images[:, None] == full.train_images).flatten(2).all(dim=2)
    assert len(examples.tensors.train_images) < len(full.train_images) and seen.any(dim=1).all()


def test_every_condition_is_trained_from_the_one_float_network(started):
    run, state = started
    before = {name: value.clone() for name, value in state.items()}
    frame = tables.check(headline.frame(headline.rows(run, state)), regularised.HEADLINE_RUNS)
    assert all(torch.equal(before[name], state[name]) for name in state)
    # Of each width a folder of its own: the names of its checkpoints do not tell the bits.
    assert "faults-3" in {path.parent.name for path in run.folder.rglob("*.pt")}
    counted = frame.groupby("study")["method"].nunique().to_dict()
    assert counted == {"quantisation": 3, "faults": 5, "variability": 3}
    floats = frame[frame["method"] == "float"]
    assert len(frame) == 2 * 10 + 1 == 2 * 10 + len(floats)  # the float network was trained once
    trained = frame[frame["method"] != "float"]
    assert trained.groupby(["study", "method"])["test_loss"].nunique().min() == 2  # batches and chips differ
    made = tables.check(headline.summary(frame), regularised.HEADLINE_SUMMARY)
    first = made[(made["method"] == "basic")].iloc[0]
    own = frame[frame["method"] == "basic"]["test_accuracy"]
    assert first["change"] == pytest.approx(100 * (own.mean() - floats["test_accuracy"].iloc[0]))
    assert (first["condition"], first["p_stuck1"]) == (0.2, 0.5)
