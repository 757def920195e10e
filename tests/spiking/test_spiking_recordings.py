"""Recordings as frames, their folds, and the cross-validation of networks on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from nonideal import data, events, tables, training
from nonideal.data import DataError
from nonideal.events import saccades
from nonideal.models import build
from nonideal.rng import stream, torch_stream
from nonideal.schemas import spiking as schemas
from nonideal.spiking import crossvalidation, recordings, summaries

EVENTS = {
    "source": "synthetic", "recordings": 24, "split": "count", "steps": 3, "size": 34,
    "network": "spiking_cnn", "width": 2, "folds": 3, "epochs": 1, "learning_rate": 0.01, "batch_size": 8,
    "augmented_copies": 1,
}  # fmt: skip


def test_recordings_become_frames(digits, tmp_path):
    frames = recordings.prepare(EVENTS, digits, seed=4)
    assert frames.frames.shape == (24, 6, 34, 34) and np.bincount(frames.labels).max() <= 3
    again = recordings.prepare(EVENTS, digits, seed=4)
    np.testing.assert_array_equal(frames.frames, again.frames)
    assert not np.array_equal(frames.frames, recordings.prepare(EVENTS, digits, seed=5).frames)
    small = recordings.prepare(EVENTS | {"size": 17}, digits, seed=4)
    np.testing.assert_array_equal(small.frames.sum(axis=(2, 3)), frames.frames.sum(axis=(2, 3)))
    recordings.save(frames, tmp_path / "frames.npz")
    np.testing.assert_array_equal(recordings.read(tmp_path / "frames.npz").frames, frames.frames)
    (tmp_path / "frames.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="build it again"):
        recordings.read(tmp_path / "frames.npz")


def test_frames_have_the_label_of_their_picture(digits):
    """Pictures of training and test set, each with its own label."""
    frames = recordings.prepare(EVENTS, digits, seed=4)
    dataset = data.load(digits)
    images = [*dataset.train_images, *dataset.test_images]
    labels = [*dataset.train_labels, *dataset.test_labels]
    chosen = data.stratified_choice(np.array(labels), EVENTS["recordings"], 4, "spiking", "events")
    assert frames.labels.tolist() == [labels[index] for index in chosen]
    for k in (0, 11, 23):
        made = saccades.record(images[chosen[k]][0], seed=4, index=int(chosen[k]))
        np.testing.assert_array_equal(frames.frames[k].reshape(3, 2, 34, 34), events.by_count(made, 3))


def test_folds_are_drawn_at_random():
    labels = np.repeat([0, 1], 30)
    drawn = [recordings.folds(labels, 5, generator=stream(seed, "folds")) for seed in (0, 0, 1)]
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])


def test_folds_hold_equal_shares_of_every_class():
    labels = np.repeat([0, 1, 2], [10, 25, 16])
    fold = recordings.folds(labels, 5, generator=stream(0, "folds"))
    counts = np.array([[np.sum((fold == f) & (labels == c)) for c in range(3)] for f in range(5)])
    assert counts.sum() == 51 and (np.ptp(counts, axis=0) <= 1).all() and np.ptp(counts.sum(axis=1)) <= 1
    with pytest.raises(ValueError, match="51 recordings into 52 folds"):
        recordings.folds(labels, 52, generator=stream(0, "folds"))


def test_what_is_tested_is_not_trained_on():
    labels = np.arange(20) % 2
    marked = np.arange(20, dtype=np.uint16)[:, None, None, None] + np.zeros((1, 6, 2, 2), np.uint16)
    fold = torch.from_numpy(recordings.folds(labels, 5, generator=stream(0, "folds")))
    tested = []
    for index in range(5):
        parts = crossvalidation.fold_tensors(recordings.Frames(marked, labels), fold, index)
        train, test = (p[:, 0, 0, 0].long() for p in (parts.train_images, parts.test_images))
        assert not set(train.tolist()) & set(test.tolist()) and len(train) + len(test) == 20
        assert torch.equal(parts.train_labels, train % 2) and torch.equal(parts.test_labels, test % 2)
        tested += test.tolist()
    assert sorted(tested) == list(range(20))


def test_formats_differ_in_their_quantiser_alone(digits, tmp_path, monkeypatch):
    """Folds, initial weights, batches and settings of a fold are the same in every format."""
    path = tmp_path / "frames.npz"
    recordings.save(recordings.prepare(EVENTS, digits, seed=4), path)
    seen, tested = {}, []

    def watch(model, examples, settings, *, seed, checkpoint):
        weights = [p.detach().clone() for name, p in model.named_parameters() if "body" in name]
        seen.setdefault(name, []).append((seed, settings, examples.train_images.sum(), weights))
        tested.append(np.bincount(examples.test_labels, minlength=10))

    monkeypatch.setattr(training, "train", watch)
    for name in ("float", "4bit"):
        crossvalidation.run_format(
            EVENTS, name, path, threads=1, device="cpu", seed=4,
            progress=tmp_path / name, fingerprint="c" * 20,
        )  # fmt: skip
    assert len({seed for seed, *_ in seen["float"]}) == EVENTS["folds"] == len(seen["float"])
    for one, other in zip(seen["float"], seen["4bit"], strict=True):
        assert one[:2] == other[:2] and torch.equal(one[2], other[2])
        assert {w.sum().item() for w in one[3]} == {w.sum().item() for w in other[3]}
    assert {settings.evaluation_batch for _, settings, *_ in seen["4bit"]} == {100}
    made = {(settings.augmentation, settings.augmented_copies) for _, settings, *_ in seen["4bit"]}
    assert made == {("affine", 1)}
    assert (np.ptp(tested, axis=0) <= 1).all()  # every class as often in every fold as it can be


def test_spikes_of_a_fold_are_over_chances_to_spike():
    model = build("spiking_cnn", generator=torch_stream(0, "init"), width=2, steps=3).eval()
    images = 4 * torch.rand(7, 6, 34, 34, generator=torch_stream(5, "x"))
    labels = torch.arange(7)
    tensors = training.Tensors(images, labels, images, labels, torch.zeros(6, 1, 1))
    spikes = []
    for neurons in model.neurons():
        neurons.register_forward_hook(lambda module, _, fired: spikes.append(fired.flatten()))
    row = crossvalidation._measure(model, tensors)
    assert row["spike_share"] == pytest.approx(torch.cat(spikes).mean().item()) and row["spike_share"] > 0.01
    assert row["correct"] == round(7 * row["test_accuracy"]) == (model(images).argmax(dim=1) == labels).sum()


def test_cross_validation_tests_every_recording_once(digits, tmp_path):
    path = tmp_path / "frames.npz"
    recordings.save(recordings.prepare(EVENTS, digits, seed=4), path)
    rows = [
        crossvalidation.run_format(
            EVENTS,
            name,
            path,
            threads=1,
            device="cpu",
            seed=4,
            progress=tmp_path / name,
            fingerprint="c" * 20,
        )
        for name in ("float", "4bit")
    ]
    frame = tables.check(pd.concat(rows), schemas.EVENTS)
    summary = tables.check(summaries.events(frame), schemas.EVENTS_SUMMARY).set_index("format")
    assert summary["recordings"].tolist() == [24, 24] and summary.loc["float", "gap"] == 0
    full, four = (frame[frame["format"] == name] for name in ("float", "4bit"))
    gap = full["test_accuracy"].to_numpy() - four["test_accuracy"].to_numpy()
    assert summary.loc["4bit", "gap"] == pytest.approx(gap.mean())
    assert summary.loc["4bit", "mean"] == pytest.approx(four["correct"].sum() / 24)
    # Student's t of the folds, in standard errors of their mean, corrected for shared training recordings.
    quantile = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}[EVENTS["folds"]]
    corrected = (1 / EVENTS["folds"] + 1 / (EVENTS["folds"] - 1)) ** 0.5
    half = quantile * gap.std(ddof=1) * corrected
    assert summary.loc["4bit", "gap_high"] == pytest.approx(gap.mean() + half, rel=1e-3)
    half = quantile * four["test_accuracy"].std() * corrected
    # An accuracy of this network is small: the lower end of its interval may be cut at zero.
    assert summary.loc["4bit", "high"] == pytest.approx(four["correct"].sum() / 24 + half, rel=1e-3)


def test_every_recording_counts_the_same_however_large_its_fold_is():
    named = {"source": "nmnist", "network": "spiking_cnn", "split": "count", "format": "float", "bits": 32.0}
    frame = pd.DataFrame({"fold": [0, 1, 2], "recordings": [8, 8, 2], "correct": [4, 6, 2]}).assign(**named)
    frame = frame.assign(test_accuracy=frame["correct"] / frame["recordings"], spike_share=[0.1, 0.3, 0.2])
    row = summaries.events(frame).iloc[0]
    assert row["spike_share"] == pytest.approx(0.2)
    assert (row["mean"], row["recordings"]) == (pytest.approx(12 / 18), 18)


def test_gaps_over_folds_allow_for_the_recordings_they_share():
    named = {
        "source": "nmnist",
        "network": "spiking_cnn",
        "split": "count",
        "fold": [0, 1, 2],
        "recordings": 10,
    }
    correct = {"float": [9, 8, 10], "4bit": [8, 8, 7]}
    rows = pd.concat(
        pd.DataFrame({"format": name, "bits": 4.0, "correct": found, "spike_share": 0.1} | named)
        for name, found in correct.items()
    )
    summary = summaries.events(rows.assign(test_accuracy=rows["correct"] / 10)).set_index("format")
    gap = np.array([0.1, 0.0, 0.3])
    half = 4.303 * gap.std(ddof=1) * (1 / 3 + 1 / 2) ** 0.5
    ends = summary.loc["4bit", ["gap_low", "gap_high"]].tolist()
    assert ends == pytest.approx([gap.mean() - half, gap.mean() + half], rel=1e-3)
