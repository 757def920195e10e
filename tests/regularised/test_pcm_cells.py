"""Multipliers on phase-change memory devices."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from regularised_study import CONFIG

from nonideal import tables, variability
from nonideal.pcm import device
from nonideal.quantize import attach
from nonideal.regularised import analysis, job, networks, pcm_cells, study
from nonideal.schemas import regularised

MONTH_S = 2592000.0
PCM = {
    "bits": [3],
    "times_s": [20, MONTH_S],
    "epochs": 1,
    "learning_rate": 0.001,
    "ramp": 0.5,
    "remap_epochs": 1,
}
SHAPE = (60, 50, 3, 3)


def draw(time_s, *, bits=3, seed=1, layer="x", read=True, shape=SHAPE):
    return variability.draw_pcm(shape, bits, time_s, seed=seed, layer=layer, read=read).double()


def close(found, wanted, count):
    """Sample standard deviation of `count` normal numbers."""
    return abs(found - wanted) < 5 * wanted / math.sqrt(2 * count)


def test_programming_error_is_that_of_a_full_device():
    factors = draw(20.0, read=False)
    std = float(device.programming_std(np.ones(1))[0])
    assert 0.04 < std < 0.045  # 1.06 of 25 microsiemens
    assert close(factors.std(), std, factors.numel())
    assert abs(factors.mean() - 1) < 5 * std / math.sqrt(factors.numel())


def test_a_layers_mean_at_t0_is_that_of_its_devices():
    """Compensation begins at t0: what programming did to the mean of a small layer stays."""
    means = torch.stack([draw(20.0, read=False, seed=k, shape=(4,)).mean() for k in range(60)])
    std = float(device.programming_std(np.ones(1))[0]) / math.sqrt(12)
    assert close(means.std(), std, 60)
    later = torch.stack([draw(MONTH_S, read=False, seed=k, shape=(4,)).mean() for k in range(60)])
    torch.testing.assert_close(later, means, rtol=1e-5, atol=0)


def test_read_noise_comes_on_top_and_grows():
    one = np.ones(1)
    for time_s in (20.0, MONTH_S):
        quiet, noisy = draw(time_s, read=False), draw(time_s)
        wanted = float(device.read_noise_scale(one)[0]) * device.read_noise_growth(time_s)
        assert close((noisy / quiet - 1).std(), wanted, noisy.numel())
    # Of a small layer too, whose mean the compensation leaves alone after the read.
    small = {"bits": 1, "shape": (4,)}
    means = torch.stack(
        [(draw(20.0, seed=k, **small) / draw(20.0, read=False, seed=k, **small)).mean() for k in range(60)]
    )
    wanted = float(device.read_noise_scale(one)[0]) * device.read_noise_growth(20.0)
    assert close(means.std(), wanted / 2, 60)


def test_drift_spreads_the_devices_and_its_mean_is_compensated():
    start, later = draw(20.0, read=False), draw(MONTH_S, read=False)
    assert later.mean() == pytest.approx(float(start.mean()), rel=1e-5)
    spread = float(device.drift_exponent_std(np.ones(1))[0])
    exponent = -torch.log(later / start) / math.log(MONTH_S / 20)
    assert close(exponent.std(), spread, exponent.numel())


def test_one_chip_at_all_times():
    assert torch.equal(draw(MONTH_S), draw(MONTH_S))
    for other in (draw(MONTH_S, seed=2), draw(MONTH_S, layer="y")):
        assert not torch.equal(other, draw(MONTH_S))
    start, later = draw(20.0, read=False), draw(MONTH_S, read=False)
    assert np.corrcoef(start.flatten(), later.flatten())[0, 1] > 0.3  # the programming error stays
    noise = [draw(t) / draw(t, read=False) - 1 for t in (20.0, MONTH_S)]
    assert abs(np.corrcoef(noise[0].flatten(), noise[1].flatten())[0, 1]) < 0.03
    assert not torch.equal(start[..., 0], start[..., 1])


def test_times_before_t0_are_refused():
    with pytest.raises(ValueError, match=r"from t0 = 20\.0 s on, got a time of 1\.0 s"):
        draw(1.0)


@pytest.fixture
def pcm_run(examples, tmp_path):
    return job.Run(CONFIG | {"pcm": PCM}, examples, 11, tmp_path)


@pytest.fixture(scope="module")
def states_by_levels(examples, states, tmp_path_factory):
    run = job.Run(CONFIG, examples, 11, tmp_path_factory.mktemp("fixed"))
    fixed = {(bits, rep): state for bits, rep, state, _ in study.qat(run, states[0], "fixed")}
    return {"fixed": fixed, "multiplier": states[1]}


@pytest.fixture(scope="module")
def runs(examples, states_by_levels, tmp_path_factory):
    rows = []
    for levels, states in states_by_levels.items():
        run = job.Run(CONFIG | {"pcm": PCM}, examples, 11, tmp_path_factory.mktemp(levels))
        rows += pcm_cells.with_pcm(run, states, levels)
    return pd.DataFrame(rows)


def test_rows_fit_their_table(runs, tmp_path):
    tables.write(runs, tmp_path / "runs.parquet", regularised.PCM_RUNS, provenance={})
    assert len(runs) == 2 * 2 * len(pcm_cells.METHODS) * 2
    # Every method holds other weights, and so do the two times of a network on one chip.
    assert runs.groupby(["levels", "seed", "time_s"])["test_loss"].nunique().eq(len(pcm_cells.METHODS)).all()
    assert runs.groupby(["levels", "seed", "method"])["test_loss"].nunique().eq(2).all()


def test_codes_are_those_of_the_method(pcm_run, states_by_levels):
    """Unaware codes are the network's own; nearest ones come nearer to the weights on the measured chip."""
    for levels, states in states_by_levels.items():
        own = study.trained(pcm_run, states, 3, 0, levels)
        unaware = pcm_cells.fitted(pcm_run, states, levels, "unaware", 3, 0)
        nearest = pcm_cells.fitted(pcm_run, states, levels, "nearest", 3, 0)
        measured = pcm_cells.cells(pcm_run, own, 3, 20.0, 0, read=False)
        gained = 0.0
        for name, weight in attach.original(own).items():
            ideal, mine, fitted = (attach.attached(m)[name] for m in (own, unaware, nearest))
            assert torch.equal(mine.encode(weight), ideal.encode(weight))
            held = [q.held(q.encode(weight), measured[name]) for q in (mine, fitted)]
            errors = [float((weight.detach() - values).square().sum()) for values in held]
            assert errors[1] <= errors[0]
            gained += errors[0] - errors[1]
        assert gained > 0


def test_training_fits_the_network_to_the_measured_chip(pcm_run, states_by_levels):
    model = pcm_cells.fitted(pcm_run, states_by_levels["multiplier"], "multiplier", "regularised", 3, 0)
    before = study.trained(pcm_run, states_by_levels["multiplier"], 3, 0)
    measured = pcm_cells.cells(pcm_run, before, 3, 20.0, 0, read=False)
    for name, quantiser in attach.attached(model).items():
        assert torch.equal(quantiser.low, measured[name])
        assert not torch.equal(attach.original(model)[name], attach.original(before)[name])


def test_half_precision_trains_too(examples, states_by_levels, tmp_path):
    """Filters innermost, as half precision wants them, beside factors with an axis more than filters."""
    run = job.Run(CONFIG | {"pcm": PCM, "precision": "bfloat16"}, examples, 11, tmp_path)
    model = pcm_cells.fitted(run, states_by_levels["fixed"], "fixed", "regularised", 3, 0)
    name, quantiser = next(iter(attach.attached(model).items()))
    weight = attach.original(model)[name]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert quantiser.low.shape == (*weight.shape, 3)


def test_rows_are_those_of_the_chip_at_that_time(pcm_run, states_by_levels, runs):
    """A row from the parts: the network's codes, the cells at that time, one evaluation."""
    states = states_by_levels["fixed"]
    model = pcm_cells.fitted(pcm_run, states, "fixed", "unaware", 3, 1)
    now = pcm_cells.cells(pcm_run, model, 3, MONTH_S, 1)
    quantisers, weights = attach.attached(model), attach.original(model)
    held = {name: quantisers[name].held(quantisers[name].encode(weights[name]), now[name]) for name in now}
    found = pcm_run.measure(networks.with_weights(model, held))
    row = runs.query("levels == 'fixed' and method == 'unaware' and seed == 1 and time_s > 20").iloc[0]
    assert row["test_loss"] == pytest.approx(found["test_loss"], rel=1e-6)


def test_summary_pairs_the_levels(runs, tmp_path):
    floats = pd.DataFrame({"seed": [0, 1], "test_accuracy": [0.9, 0.8]})
    learned = runs["levels"] == "multiplier"
    runs = runs.assign(test_accuracy=runs["test_accuracy"] + 0.01 * learned * (1 + runs["seed"]))
    frame = analysis.pcm_summary(runs, floats)
    tables.write(frame, tmp_path / "summary.parquet", regularised.PCM_SUMMARY, provenance={})
    assert (frame.query("levels == 'fixed'")["over_fixed"] == 0).all()
    chosen = runs.query("method == 'nearest' and time_s == 20").set_index(["levels", "seed"])["test_accuracy"]
    row = frame.query("method == 'nearest' and time_s == 20 and levels == 'multiplier'").iloc[0]
    assert row["over_fixed"] == pytest.approx(100 * (chosen["multiplier"] - chosen["fixed"]).mean())
    assert row["change"] == pytest.approx(100 * (chosen["multiplier"] - [0.9, 0.8]).mean())


def test_an_interrupted_job_resumes(pcm_run, states_by_levels, runs, monkeypatch):
    class StoppedError(RuntimeError):
        pass

    def stop(*arguments, **settings):
        raise StoppedError

    states, wanted = states_by_levels["fixed"], runs.query("levels == 'fixed'").to_dict("records")
    rows = pcm_cells.with_pcm(pcm_run, states, "fixed")
    started = [next(rows) for _ in range(6)]
    with monkeypatch.context() as patched:
        patched.setattr(job, "train", stop)
        with pytest.raises(StoppedError):
            list(rows)
    trained = sorted(path.name for path in pcm_run.folder.glob("*.pt"))
    assert trained == ["chip_in_loop-3-0.pt"]
    resumed = list(pcm_cells.with_pcm(pcm_run, states, "fixed"))
    for row, expected in zip(resumed, wanted, strict=True):
        assert row["test_loss"] == expected["test_loss"] and row["test_accuracy"] == expected["test_accuracy"]
    assert [row["test_loss"] for row in resumed[:6]] == [row["test_loss"] for row in started]
