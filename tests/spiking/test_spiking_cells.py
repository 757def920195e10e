"""Stuck and variable cells under spiking weights: the study on tiny settings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from nonideal import faults, tables
from nonideal.quantize import attach
from nonideal.quantize.learned import LearnedQuantiser
from nonideal.regularised import cell_study, networks, study
from nonideal.schemas import spiking_cells as schemas
from nonideal.spiking import hardening, precision, summaries
from nonideal.training import loop

STEP = {"epochs": 2, "learning_rate": 0.02, "ramp": 0.5}
CONFIG = {
    "dataset": "digits", "widths": [6], "steps": 6, "seeds": 3, "batch_size": 64, "threads": 1,
    "device": "cpu",
    "regularised": {
        "seeds": 2, "alpha": "mean",
        "qat": STEP | {"bits": [3], "quantiser_lr_factor": 100.0},
        "faults": STEP | {"bits": [3], "rates": [0, 0.3], "p_stuck1": [0.5], "remap_epochs": 1},
        "variability": STEP | {
            "bits": [3], "sigmas": [0.4], "distribution": "normal", "high_state": False, "remap_epochs": 1,
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def open_run(digits, tmp_path_factory):
    def open_run(name="run", config=CONFIG):
        progress = tmp_path_factory.getbasetemp() / name
        return hardening.SpikingRun.start(config, digits, seed=5, progress=progress, fingerprint="a" * 20)

    return open_run


@pytest.fixture(scope="module")
def floats(digits, tmp_path_factory):
    config = CONFIG | {"float": {"epochs": 4, "learning_rate": 0.02}}
    made = precision.train_float(
        config, digits, seed=5, progress=tmp_path_factory.mktemp("floats"), fingerprint="b" * 20
    )
    return made[0], made[2]


@pytest.fixture(scope="module")
def trained(open_run, floats):
    return hardening.with_multipliers(open_run(), floats[0])


@pytest.fixture(scope="module")
def made(open_run, trained):
    """Rows of the tables of networks, faults and variability."""
    run, states = open_run(), trained[0]
    cells = [
        row
        for method in ("regularised", "chip_in_loop")
        for row in cell_study.with_variability(run, states, method)
    ]
    return trained[1], pd.DataFrame(cell_study.with_faults(run, states, 3, 0.5)), pd.DataFrame(cells)


def test_study_starts_from_the_float_networks(open_run, floats, trained):
    networks_, rows = floats
    states, table = trained
    tables.check(table, schemas.NETWORKS)
    assert set(states) == {(3, 0), (3, 1)}
    ours = table[table["method"] == "float"].set_index("seed")["test_accuracy"]
    published = rows.set_index("seed")["test_accuracy"]
    assert ours.to_dict() == {seed: pytest.approx(published[seed]) for seed in (0, 1)}
    # Training moves the weights, but not to another network.
    moved = states[3, 1]["body.1.parametrizations.weight.original"] - networks_[1]["body.1.weight"]
    assert 0 < moved.abs().mean() < networks_[1]["body.1.weight"].abs().mean()


def test_every_layer_is_on_cells_and_signals_are_not_quantised(open_run, trained):
    model = study.trained(open_run(), trained[0], 3, 0)
    quantisers = attach.attached(model)
    assert list(quantisers) == ["body.1", "body.3"]
    assert all(type(q) is LearnedQuantiser and q.mode == "multiplier" for q in quantisers.values())
    assert not any("input" in name or "LSQ" in type(m).__name__ for name, m in model.named_modules())
    image, seen = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)), []
    model.body[1].register_forward_hook(lambda layer, inputs, outputs: seen.append(inputs[0]))
    model(image)
    assert torch.equal(seen[0], image.flatten(1))


def test_settings_are_those_of_the_spiking_network(open_run):
    run = open_run("cuda", CONFIG | {"device": "cuda", "batch_size": 7})
    settings = run.settings(3, 0.1)
    assert (settings.device, settings.batch_size, settings.optimiser) == ("cuda", 7, "sgd")
    assert settings.augmentation == "none"
    assert run.child(0) != run.child(1)


def test_modes_agree_without_faults_and_differ_with_them(made):
    table = tables.check(made[1], schemas.FAULT_RUNS)
    assert len(table) == 2 * 2 * len(faults.MODES)
    losses = table.groupby(["rate", "seed"])["test_loss"].nunique()
    # Without faults those with a penalty are one.
    assert losses.loc[0.0].tolist() == [2, 2] and losses.loc[0.3].tolist() == [5, 5]
    assert set(table["model"]) == {"spiking_mlp"}


def test_a_network_holds_what_its_cells_can_hold(open_run, trained):
    run = open_run("held")
    model = study.trained(run, trained[0], 3, 0)
    maps = cell_study.fault_maps(run, model, 3, 0.3, 0.5, 0)
    networks.exchange(model, lambda name, q: faults.FaultyQuantiser(q, maps[name], "active+passive"))
    model.eval()
    for name, quantiser in attach.attached(model).items():
        weight, levels = model.get_submodule(name).weight.detach(), quantiser.levels().detach()
        codes = (weight[..., None] - levels).abs().argmin(-1)
        assert torch.equal(maps[name].apply(codes), codes)  # stuck cells hold their value
        other = cell_study.fault_maps(run, model, 3, 0.3, 0.5, 1)[name]
        assert not torch.equal(other.apply(codes), codes)  # those of another chip do not
    stored = cell_study.stored_maps(run, trained[0], 3, 0.5)
    back = faults.from_frame(stored, networks.shapes(model))
    assert all(torch.equal(back[name].stuck1, maps[name].stuck1) for name in maps)


def test_variability_has_its_control(made):
    table = tables.check(made[2], schemas.VARIABILITY_RUNS)
    assert table.groupby("method").size().to_dict() == {"chip_in_loop": 2, "regularised": 2, "unseen_map": 2}
    assert table.groupby("seed")["test_loss"].nunique().tolist() == [3, 3]


def test_summaries_are_paired_and_leave_out_what_is_not_measured(made):
    frames = summaries.cells(*made, 1.0)
    for name, schema in (
        ("regularised", schemas.NETWORKS_SUMMARY),
        ("faults", schemas.FAULT_SUMMARY),
        ("variability", schemas.VARIABILITY_SUMMARY),
        ("claims", schemas.CLAIMS),
    ):
        tables.check(frames[name], schema)
    full = made[0][made[0]["method"] == "float"].set_index("seed")["test_accuracy"]
    rows = made[1].query("mode == 'active' and rate == 0.3").set_index("seed")["test_accuracy"]
    found = frames["faults"].query("mode == 'active' and rate == 0.3").iloc[0]
    assert found["change"] == pytest.approx(100 * (rows - full).mean())
    assert found["mean"] == pytest.approx(rows.mean()) and found["seeds"] == 2
    names = set(frames["claims"]["name"])
    assert {"passive_over_basic", "active_passive_over_active", "regularised_over_unseen_map"} <= names
    # Only multipliers are trained, 20 % faults and 4-bit networks are not part of this run.
    assert not names & {"multiplier_over_step", "ste_over_lsq"}
    assert frames["claims"]["value"].notna().all()


def test_an_interrupted_job_resumes_bit_for_bit(open_run, trained, made, monkeypatch):
    advance, calls = loop._Run.advance, []

    def dies(self):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return advance(self)

    run = open_run("interrupted")
    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "advance", dies)
        with pytest.raises(KeyboardInterrupt):
            list(cell_study.with_faults(run, trained[0], 3, 0.5))
    left = len(list(run.folder.iterdir()))
    counted = []
    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "advance", lambda self: counted.append(1) or advance(self))
        again = pd.DataFrame(cell_study.with_faults(open_run("interrupted"), trained[0], 3, 0.5))
    # Two epochs of each of 14 networks, less the three that were done.
    assert left == 2 and len(counted) == 2 * 14 - 3
    pd.testing.assert_frame_equal(again, made[1])
    assert np.isfinite(again["test_loss"]).all()
