"""What single trainings of the study are given: arrays of their own, and the keys of the configuration."""

import itertools

import pandas as pd
import pytest
import torch
from regularised_study import CONFIG

from nonideal.quantize import attach
from nonideal.regularised import cell_study, inspection, job, study


def quantised(run):
    return study.quantised(run, 0, "multiplier", 3, run.network(0).state_dict())


def test_every_repetition_and_layer_has_cells_of_its_own(run):
    model = quantised(run)
    maps = [cell_study.fault_maps(run, model, 3, 0.3, 0.5, repetition) for repetition in range(2)]
    stuck = [fault.stuck0 | fault.stuck1 for found in maps for fault in found.values()]
    chips = [
        cell_study.factor_maps(run, model, 3, 0.4, repetition, unseen=unseen)
        for repetition in range(2)
        for unseen in (False, True)
    ]
    factors = [values for chip in chips for pair in chip.values() for values in pair]
    alike = 0
    for drawn in (stuck, factors):
        for first, second in itertools.combinations(drawn, 2):
            assert first.shape != second.shape or not torch.equal(first, second)
            alike += first.shape == second.shape
    assert alike > 100


@pytest.fixture
def trained(monkeypatch):
    """What the training loop is called with, by its order; nothing is trained."""
    seen = []

    def train(model, tensors, settings, *, parameter_groups, hooks, regulariser, seed, **_):
        groups = parameter_groups(model)
        seen.append(
            {"settings": settings, "groups": groups, "hooks": hooks, "regulariser": regulariser, "seed": seed}
        )
        return pd.DataFrame({"test_accuracy": [0.25, 0.5], "seconds": [1.0, 1.0]})

    monkeypatch.setattr(job, "train", train)
    return seen


def test_weights_and_quantisers_decay_as_the_configuration_says(run, trained, tmp_path):
    config = CONFIG | {"quantiser_weight_decay": 0.125, "seeds": 1}
    other = job.Run(config, run.examples, run.seed, tmp_path / "other")
    ((_, state, row),) = study.full_precision(other)
    assert row["validation_accuracy"] == 0.5  # of the last epoch
    list(study.qat(other, {0: state}, "multiplier"))
    study.fine_tune(other, quantised(other), "x", 0, config["faults"])
    floats, *rest = trained
    assert [group["weight_decay"] for group in floats["groups"]] == [config["float"]["weight_decay"]]
    for call in rest:
        assert [group["weight_decay"] for group in call["groups"]] == [0.0, 0.125]
        assert call["groups"][1]["lr_factor"] == pytest.approx(1e-6 / call["settings"].lr)


def test_a_fine_tuning_takes_epochs_rate_ramp_and_remaps_of_its_study(run, trained):
    own = {"epochs": 20, "learning_rate": 0.03, "ramp": 0.25, "remap_epochs": 7}
    study.fine_tune(run, quantised(run), "x", 1, own)
    (call,) = trained
    assert (call["settings"].epochs, call["settings"].lr) == (20, 0.03)
    assert (call["regulariser"].course.epochs, call["regulariser"].course.ramp) == (20, 0.25)
    assert call["regulariser"].option == CONFIG["alpha"]
    assert [hook.every for hook in call["hooks"]] == [7] and call["seed"] == run.child(1) != run.child(0)


def test_the_most_uneven_layer_is_shown(run):
    model = quantised(run)
    quantisers = list(attach.attached(model).values())
    for place, quantiser in enumerate(quantisers):
        with torch.no_grad():
            quantiser.r[0] *= 1 + (0.5 if place == 2 else 0.1)
    assert inspection.uneven(model) is quantisers[2]
