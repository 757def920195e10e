"""Recordings, their frames, synthesised saccades, and data sets of files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_event_files import recording

from nonideal import events
from nonideal.data import DataError
from nonideal.events import aedat, atis, datasets, saccades
from nonideal.spiking.recordings import Frames, prepare, recorded_files, save, source_files
from nonideal.spiking.recordings import read as read_frames


def test_a_recording_refuses_pixels_outside_and_falling_time():
    good = recording(0, 34, 34)
    for field, index, value, message in (
        ("x", 7, 34, "event 7: expected x from 0 to 33, found x = 34"),
        ("y", 9, -1, "event 9: expected y from 0 to 33, found y = -1"),
        ("t", 5, 0, "event 5: expected a time from"),
        ("t", 0, -1, "event 0: expected a time from 0 us, found -1 us"),
    ):
        arrays = {name: getattr(good, name).copy() for name in ("x", "y", "t", "on")}
        arrays[field][index] = value
        with pytest.raises(ValueError, match=message):
            events.Recording(**arrays, width=34, height=34)
    with pytest.raises(ValueError, match="one length"):
        events.Recording(good.x[1:], good.y, good.t, good.on, 34, 34)
    falling = good.t[::-1].astype(np.uint64)
    with pytest.raises(ValueError, match="event 1: expected a time from"):
        events.Recording(good.x, good.y, falling, good.on, 34, 34)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, ">i4", np.int64])
def test_integers_of_any_type_give_the_same_frames_and_files(tmp_path, kind):
    last = 250 if kind == np.uint8 else 65_000 if kind == np.uint16 else 2_147_000_000
    good = recording(6, 34, 34, last=last)
    arrays = {name: getattr(good, name).astype(kind) for name in ("x", "y", "t", "on")}
    made = events.Recording(**arrays, width=34, height=34)
    assert [getattr(made, name).dtype for name in arrays] == [np.int16, np.int16, np.int64, bool]
    assert all(getattr(made, name).dtype.isnative for name in arrays)
    np.testing.assert_array_equal(events.by_time(made, 7), events.by_time(good, 7))
    np.testing.assert_array_equal(events.by_count(made, 7), events.by_count(good, 7))
    for write, suffix in ((atis.write, "bin"), (aedat.write, "aedat")):
        for name, each in (("made", made), ("good", good)):
            write(tmp_path / f"{name}.{suffix}", each)
        assert (tmp_path / f"made.{suffix}").read_bytes() == (tmp_path / f"good.{suffix}").read_bytes()


def test_arrays_of_another_kind_are_refused():
    good = recording(6, 34, 34)
    for changed, message in (
        ({"t": good.t / 1e6}, r"integers \[e\] for t, got float64 \[50\]"),
        ({"x": good.x[:, None]}, r"for x, got int16 \[50, 1\]"),
        ({"on": np.where(good.on, 1, -1)}, "`on` of 0 and 1"),
        ({"width": 2**15 + 1}, "1 to 32768 columns and rows, got 32769 x 34"),
        ({"height": 0}, "got 34 x 0"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(good, **changed)
    assert len(events.Recording([], [], [], [], 34, 34)) == 0


def by_loop(found: events.Recording, frame: np.ndarray, frames: int) -> np.ndarray:
    result = np.zeros((frames, 2, found.height, found.width), np.uint16)
    for k in range(len(found)):
        result[frame[k], int(found.on[k]), found.y[k], found.x[k]] += 1
    return result


@pytest.mark.parametrize("frames", [1, 3, 7])
def test_frames_hold_every_event_once(frames):
    found = recording(1, 5, 6, events=100)
    # By count: the k-th frame begins where k / frames of the events lie behind.
    starts = [-(-k * 100 // frames) for k in range(frames)]
    wanted = by_loop(found, np.searchsorted(starts, np.arange(100), side="right") - 1, frames)
    np.testing.assert_array_equal(events.by_count(found, frames), wanted)
    edges = [k * 300_000 / frames for k in range(frames)]
    wanted = by_loop(found, np.searchsorted(edges, found.t, side="right") - 1, frames)
    np.testing.assert_array_equal(events.by_time(found, frames, start=0, stop=300_000), wanted)
    later = dataclasses.replace(
        found, t=found.t + 40_000_000
    )  # the clock of a camera that has run for a while
    np.testing.assert_array_equal(events.by_time(later, frames), events.by_time(found, frames))


def test_frames_refuse_to_lose_events():
    found = recording(2, 5, 6)
    with pytest.raises(ValueError, match="do not all lie in"):
        events.by_time(found, 3, stop=int(found.t[-1]))
    with pytest.raises(ValueError, match="do not all lie in"):
        events.by_time(found, 3, start=int(found.t[0]) + 1)
    with pytest.raises(ValueError, match="50 events into 51 frames"):
        events.by_count(found, 51)
    there = np.zeros(70_000, np.int64)
    crowded = events.Recording(there, there, there, there.astype(bool), 1, 1)
    with pytest.raises(ValueError, match=r"70000 events on one pixel .* more frames"):
        events.by_count(crowded, 1)
    assert events.by_time(found, 3).sum() == len(found)


def test_resizing_keeps_every_event():
    found = recording(3, 34, 34).resized(17, 12)
    assert len(found) == 50 and (found.width, found.height) == (17, 12)
    np.testing.assert_array_equal(found.x, recording(3, 34, 34).x // 2)
    assert found.y.max() == recording(3, 34, 34).y.max() * 12 // 34


def picture() -> np.ndarray:
    image = np.zeros((8, 8), np.uint8)
    image[:, 3:5] = 255  # a vertical stroke
    return image


def test_saccades_depend_on_seed_and_index_alone():
    first = saccades.record(picture(), seed=1, index=2)
    again, other = saccades.record(picture(), seed=1, index=2), saccades.record(picture(), seed=1, index=3)
    assert np.array_equal(first.t, again.t) and not np.array_equal(first.t[:20], other.t[:20])
    assert (first.width, first.height) == (34, 34) and first.t[-1] < 300_000


def test_saccades_see_edges_move(monkeypatch):
    monkeypatch.setattr(saccades, "NOISE_HZ", 0.0)
    monkeypatch.setattr(saccades, "MISMATCH", 0.0)
    found = saccades.record(picture(), seed=1, index=0)
    # The camera moves to the right first, so the stroke moves to the left: brighter at its left edge.
    early = found.t < 100_000
    assert found.x[early & found.on].mean() < found.x[early & ~found.on].mean()
    # Where a pixel ends is where it began: the path is closed, so on and off events balance to within the
    # last contrast step.
    balance = np.zeros((34, 34))
    np.add.at(balance, (found.y, found.x), np.where(found.on, 1, -1))
    assert np.abs(balance).max() <= 1 and len(found) > 200
    # Nothing moves on an empty picture.
    assert len(saccades.record(np.zeros((8, 8), np.uint8), seed=1, index=0)) == 0


def test_noise_events_have_their_rate():
    dark = np.zeros((8, 8), np.uint8)
    counts = [len(saccades.record(dark, seed=2, index=k)) for k in range(40)]
    expected = saccades.NOISE_HZ * 34 * 34 * 0.3
    assert abs(np.mean(counts) - expected) < 4 * np.sqrt(expected / 40)


def test_noise_events_are_of_either_polarity_and_everywhere():
    dark = np.zeros((8, 8), np.uint8)
    made = [saccades.record(dark, seed=2, index=k) for k in range(40)]
    on, x, t = (np.concatenate([getattr(found, name) for found in made]) for name in ("on", "x", "t"))
    assert abs(on.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(on))
    assert abs(x.mean() - 16.5) < 4 * 34 / np.sqrt(12 * len(x))
    assert abs(t.mean() - 150_000) < 4 * 300_000 / np.sqrt(12 * len(t))


def test_events_of_a_pixel_are_its_changes_of_brightness_over_the_threshold(monkeypatch):
    """The camera moves down a row: a row of pixels goes from black to white, another the other way."""
    monkeypatch.setattr(saccades, "NOISE_HZ", 0.0)
    monkeypatch.setattr(saccades, "_path", lambda: np.array([[0.0, 0.0], [1.0, 0.0]]))
    white = np.full((8, 8), 255, np.uint8)
    change = np.log(1 / saccades.DARK)
    counts = []
    for index in range(30):
        found = saccades.record(white, seed=3, index=index)
        events_of = np.zeros((2, 34, 34), int)
        np.add.at(events_of, (found.on.astype(int), found.y, found.x), 1)
        off, on = (np.unique(np.nonzero(part)[0]).tolist() for part in events_of)
        # 24 pixels from row 7 of a canvas of 39 on; a camera that moves down sees the picture move up.
        assert (off, on) == ([30], [6]) and (events_of.sum(axis=(0, 1)) > 0).tolist() == [
            7 <= column < 31 for column in range(34)
        ]
        counts += [events_of[0, 30, 7:31], events_of[1, 6, 7:31]]
    # ln 10 = 6.58 * 0.35 is six steps of the mean threshold; thresholds vary by 5 %.
    counts = np.concatenate(counts)
    threshold = 0.35 * (1 + 0.05 * np.random.default_rng(0).standard_normal(100_000))
    wanted = np.floor(change / threshold)
    assert abs(counts.mean() - wanted.mean()) < 5 * wanted.std() / np.sqrt(len(counts))
    assert abs(counts.std() / wanted.std() - 1) < 0.2


def test_a_picture_is_enlarged_about_its_middle():
    canvas = saccades._enlarged(np.kron(np.eye(2, dtype=np.uint8), np.full((4, 4), 255, np.uint8)))
    part = canvas[7:31, 7:31]
    assert canvas.sum() == part.sum() > 0
    np.testing.assert_allclose(part, part[::-1, ::-1])
    # Bilinear between pixel centres: of 8 pixels enlarged three times, 2 / 3 of the way between two of them.
    np.testing.assert_allclose(part[0, 10:14], [1, 2 / 3, 1 / 3, 0])


def data_set(root, *, classes=("0", "7")):
    for label in classes:
        for k in range(2):
            atis.write(root / "N-MNIST/Train" / label / f"{k}.bin", recording(k, 34, 34))


def test_files_are_found_by_folder(tmp_path):
    data_set(tmp_path)
    files = datasets.require("nmnist", tmp_path)
    assert files.class_names == ("0", "7") and files.labels.tolist() == [0, 0, 1, 1]
    assert [len(found) for found in datasets.recordings("nmnist", files)] == [50] * 4


def test_files_are_found_by_list(tmp_path):
    folder = tmp_path / "nmnist-small"
    for k in (1, 2):
        atis.write(folder / f"recordings/{k}.bin", recording(k, 34, 34))
    table = folder / "labels.csv"
    table.write_text("recording,label\n2,8\n1,3\n")
    files = datasets.find("nmnist", tmp_path)
    assert [path.name for path in files.paths] == ["2.bin", "1.bin"] and files.labels.tolist() == [1, 0]
    table.write_text("recording,label\n2,8\n")
    with pytest.raises(DataError, match=r"1\.bin present but not listed"):
        datasets.find("nmnist", tmp_path)
    table.write_text("recording,label\n2,8\n1,3\n5,5\n")
    with pytest.raises(DataError, match=r"5\.bin listed but missing"):
        datasets.find("nmnist", tmp_path)
    table.write_text("name\n2\n")
    with pytest.raises(DataError, match="recording and label"):
        datasets.find("nmnist", tmp_path)
    table.write_text("recording,label\n2,8\n1\n")
    with pytest.raises(DataError, match="line 3 without"):
        datasets.find("nmnist", tmp_path)
    table.write_text("recording,label\n2,8\n1,3\n2,3\n")
    with pytest.raises(DataError, match="2 more than once"):
        datasets.find("nmnist", tmp_path)


def test_a_list_of_a_spreadsheet_is_read_and_one_that_is_no_text_refused(tmp_path):
    folder = tmp_path / "nmnist-small"
    atis.write(folder / "recordings/1.bin", recording(1, 34, 34))
    table = folder / "labels.csv"
    table.write_bytes("\ufeffrecording,label\r\n1,3\r\n".encode())
    assert datasets.find("nmnist", tmp_path).class_names == ("3",)
    for content in (b"recording,label\n1,\xe9\n", b"recording,label\n1," + b"3" * 200_000):
        table.write_bytes(content)
        with pytest.raises(DataError, match=r"labels\.csv: expected a list in UTF-8"):
            datasets.find("nmnist", tmp_path)


def test_another_label_is_another_source(tmp_path):
    folder = tmp_path / "nmnist-small"
    for k in (1, 2):
        atis.write(folder / f"recordings/{k}.bin", recording(k, 34, 34))
    (folder / "labels.csv").write_text("recording,label\n1,3\n2,8\n")
    before = source_files("nmnist", tmp_path)
    assert [entry[0] for entry in before] == ["1.bin", "2.bin"] and [entry[2] for entry in before] == [
        "3",
        "8",
    ]
    (folder / "labels.csv").write_text("recording,label\n1,8\n2,3\n")
    assert source_files("nmnist", tmp_path) != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 500}, r"1\.bin: expected a recording for 500 frames, .*spiking.events.steps"),
        ({"recordings": 3}, r"expected spiking.events.recordings = 3 recordings, found 2"),
    ],
)
def test_recordings_that_do_not_suffice_are_named(tmp_path, settings, message):
    folder = tmp_path / "nmnist-small"
    for k in (1, 2):
        atis.write(folder / f"recordings/{k}.bin", recording(k, 34, 34))
    (folder / "labels.csv").write_text("recording,label\n1,3\n2,8\n")
    config = {"source": "nmnist", "recordings": 0, "split": "count", "steps": 2, "size": 34}
    assert len(prepare(config, None, seed=0, root=tmp_path).labels) == 2
    with pytest.raises(DataError, match=message):
        prepare(config | settings, None, seed=0, root=tmp_path)


def test_recordings_that_are_chosen_have_their_own_labels(tmp_path):
    for label, number in (("a", 2), ("b", 4)):
        for k in range(number):
            made = recording(k, 34, 34, events=10 * (ord(label) - ord("a") + 1))
            atis.write(tmp_path / "N-MNIST/Train" / label / f"{k}.bin", made)
    config = {"source": "nmnist", "recordings": 3, "split": "count", "steps": 2, "size": 34}
    frames, labels = prepare(config, None, seed=0, root=tmp_path)
    assert labels.tolist() == [0, 1, 1] and frames.sum(axis=(1, 2, 3)).tolist() == [10, 20, 20]


def test_frames_remember_their_files(tmp_path):
    frames = Frames(np.zeros((1, 2, 3, 3), np.uint16), np.zeros(1, np.int64))
    path = tmp_path / "frames.npz"
    assert recorded_files(path) == []
    save(frames, path, [["1.bin", 7, "3"]])
    assert recorded_files(path) == [["1.bin", 7, "3"]]
    path.write_bytes(b"PK")
    assert recorded_files(path) == []


def test_frames_are_read_whole_or_refused_whatever_byte_is_wrong(tmp_path):
    generator = np.random.default_rng(1)
    frames = Frames(generator.integers(0, 9, (3, 2, 8, 8)).astype(np.uint16), np.arange(3))
    path, damaged = tmp_path / "frames.dat", tmp_path / "damaged.dat"  # whatever a file is called
    save(frames, path, [["1.bin", 7, "3"]])
    np.testing.assert_array_equal(read_frames(path).frames, frames.frames)
    assert list(tmp_path.iterdir()) == [path]
    whole, refused = path.read_bytes(), set()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << int(generator.integers(8))
        damaged.write_bytes(content)
        assert isinstance(recorded_files(damaged), list)
        try:
            found = read_frames(damaged)
        except DataError as error:
            refused.add(error.found.split(":")[0])
        else:
            np.testing.assert_array_equal(found.frames, frames.frames)
    assert {"BadZipFile", "error"} <= refused  # zlib's is called error
    np.save(damaged.with_suffix(".npy"), frames.frames)
    with pytest.raises(DataError, match="build it again"):
        read_frames(damaged.with_suffix(".npy"))
    assert recorded_files(damaged.with_suffix(".npy")) == []


def test_frames_too_large_for_the_memory_are_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "frames.npz"
    save(Frames(np.zeros((1, 2, 3, 3), np.uint16), np.zeros(1, np.int64)), path)

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np, "load", full)
    with pytest.raises(MemoryError):
        read_frames(path)


def test_missing_events_say_where_they_should_be(tmp_path, monkeypatch):
    monkeypatch.delenv("NONIDEAL_DATA", raising=False)
    assert datasets.find("nmnist") is None and datasets.find("nmnist", tmp_path) is None
    with pytest.raises(DataError, match="nmnist-small/"):
        datasets.require("nmnist", tmp_path)
    with pytest.raises(ValueError, match="data sets are nmnist"):
        datasets.find("gestures")


def test_a_source_without_files_is_named_where_it_is_needed(tmp_path):
    (tmp_path / "empty").mkdir()
    assert source_files("synthetic", tmp_path, required=True) == []
    assert source_files("nmnist", tmp_path / "empty") == []
    with pytest.raises(DataError, match="the recordings of nmnist"):
        source_files("nmnist", tmp_path / "empty", required=True)


@pytest.mark.parametrize("split", ["count", "time"])
@pytest.mark.parametrize(
    ("source", "folder", "suffix", "write", "size"),
    [
        ("nmnist", "N-MNIST/Train", "bin", atis.write, (34, 34)),
        ("n_caltech101", "N-Caltech101", "bin", atis.write, (240, 180)),
        ("cifar10_dvs", "CIFAR10-DVS", "aedat", aedat.write, (128, 128)),
    ],
)
def test_every_source_is_cut_into_frames_by_count_and_by_time(
    tmp_path, source, folder, suffix, write, size, split
):
    wanted = [recording(k, *size) for k in range(2)]
    for label, made in zip("ab", wanted, strict=True):
        write(tmp_path / folder / label / f"1.{suffix}", made)
    config = {"source": source, "recordings": 0, "split": split, "steps": 3, "size": 17}
    frames, labels = prepare(config, None, seed=0, root=tmp_path)
    assert frames.shape == (2, 6, 17, 17) and labels.tolist() == [0, 1]
    for frame, made in zip(frames.reshape(2, 3, 2, -1).sum(axis=3, dtype=int), wanted, strict=True):
        assert frame.sum() == len(made) == 50
        if split == "count":
            assert (np.ptp(frame.sum(axis=1))) <= 1
        else:
            part = np.minimum((made.t - made.t[0]) * 3 // (made.t[-1] - made.t[0] + 1), 2)
            assert frame.sum(axis=1).tolist() == np.bincount(part, minlength=3).tolist()
