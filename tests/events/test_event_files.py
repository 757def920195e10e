"""Files of event cameras: written and read back, damaged in every way, never read wrongly in silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nonideal.data import DataError
from nonideal.events import Recording, aedat, atis

FEW = settings(max_examples=40, deadline=None, database=None, derandomize=True)


def recording(seed: int, width: int, height: int, *, events: int = 50, last: int = 300_000) -> Recording:
    generator = np.random.default_rng(seed)
    return Recording(
        generator.integers(0, width, events).astype(np.int16),
        generator.integers(0, height, events).astype(np.int16),
        np.sort(generator.integers(0, last, events)),
        generator.random(events) < 0.5,
        width,
        height,
    )


def assert_same(a: Recording, b: Recording) -> None:
    for name in ("x", "y", "t", "on"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert (a.width, a.height) == (b.width, b.height)


def read_nmnist(path):
    return atis.read(path, width=34, height=34)


@FEW
@given(st.integers(0, 2**32), st.integers(1, 80))
def test_atis_is_read_as_it_was_written(tmp_path_factory, seed, events):
    path = tmp_path_factory.mktemp("atis") / "1.bin"
    wanted = recording(seed, 34, 34, events=events)
    atis.write(path, wanted)
    assert path.stat().st_size == 5 * events
    assert_same(read_nmnist(path), wanted)


def test_atis_bytes_mean_what_the_format_says(tmp_path):
    path = tmp_path / "1.bin"
    path.write_bytes(bytes([3, 4, 0x80 | 0x01, 0x02, 0x03, 33, 0, 0x01, 0x02, 0x04]))
    found = read_nmnist(path)
    assert found.x.tolist() == [3, 33] and found.y.tolist() == [4, 0]
    assert found.t.tolist() == [0x010203, 0x010204] and found.on.tolist() == [True, False]


def test_atis_clock_overflows_are_written_and_added_up(tmp_path):
    path = tmp_path / "1.bin"
    wanted = recording(1, 240, 180, last=2**23 + 5 * 2**13)
    assert wanted.t[-1] >= 2**23 + 2**13
    atis.write(path, wanted)
    assert_same(atis.read(path, width=240, height=180, overflows=True), wanted)
    with pytest.raises(DataError, match=r"y = 240 in the event at byte \d+"):
        atis.read(path, width=240, height=180)


@FEW
@given(st.integers(0, 2**32), st.integers(1, 80))
def test_aedat_is_read_as_it_was_written(tmp_path_factory, seed, events):
    path = tmp_path_factory.mktemp("aedat") / "1.aedat"
    wanted = recording(seed, 128, 128, events=events, last=2**32)
    aedat.write(path, wanted)
    assert_same(aedat.read(path), wanted)


def test_aedat_bytes_mean_what_the_format_says(tmp_path):
    path = tmp_path / "1.aedat"
    address = 5 << 8 | 9 << 1 | 1  # row 5 and column 9 from the far corner, darker
    path.write_bytes(b"#!AER-DAT2.0\r\n#\r\n" + address.to_bytes(4, "big") + (7).to_bytes(4, "big"))
    found = aedat.read(path)
    assert (found.x[0], found.y[0], found.t[0], found.on[0]) == (127 - 5, 127 - 9, 7, False)


@FEW
@given(st.binary(max_size=60))
def test_random_bytes_are_read_whole_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("random")
    for name, prefix, size, read in (
        ("1.bin", b"", 5, read_nmnist),
        ("1.aedat", b"#!AER-DAT2.0\r\n", 8, aedat.read),
    ):
        path = folder / name
        path.write_bytes(prefix + content)
        try:
            found = read(path)
        except DataError as error:
            assert str(path) in str(error)
            continue
        assert len(found) * size + len(prefix) == len(prefix + content) or content.startswith(b"#")


@FEW
@given(st.data())
def test_a_truncated_file_is_refused_with_the_byte(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    for name, size, write, read in (
        ("1.bin", 5, atis.write, read_nmnist),
        ("1.aedat", 8, aedat.write, aedat.read),
    ):
        path = folder / name
        write(path, recording(3, 34, 34, events=9))
        content = path.read_bytes()
        cut = data.draw(st.integers(1, 8 * size).filter(lambda n, size=size: n % size))
        path.write_bytes(content[:-cut])
        begin = len(content) - size * -(-cut // size)
        with pytest.raises(DataError, match=rf"byte {begin}\b"):
            read(path)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [(0, 34, "x = 34"), (1, 34, "y = 34"), (1, 240, "y = 240"), (2, 0x00, "us"), (0, 255, "x = 255")],
)
def test_a_corrupt_byte_is_refused_with_its_event(tmp_path, offset, value, message):
    path = tmp_path / "1.bin"
    events = recording(4, 34, 34, events=9)
    atis.write(path, Recording(events.x, events.y, events.t + 2**20, events.on, 34, 34))
    content = bytearray(path.read_bytes())
    content[20 + offset] = value  # the fifth event
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path}.*{message}.* at byte 20\b"):
        read_nmnist(path)


def test_empty_files_and_foreign_headers_are_refused(tmp_path):
    path = tmp_path / "1.bin"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="an empty file"):
        read_nmnist(path)
    for content, message in (
        (b"", "byte 0"),
        (b"#!AER-DAT3.1\r\n", "byte 0"),
        (b"#!AER-DAT2.0", "line end"),
        (b"#!AER-DAT2.0\r\n", "no event"),
        (b"#!AER-DAT2.0\r\n" + bytes([1, 0, 0, 0] * 2), "0x01000000 at byte 14"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            aedat.read(path)


def test_what_a_format_cannot_hold_is_not_written(tmp_path):
    for write, wrong in (
        (atis.write, recording(5, 304, 10, events=400)),
        (atis.write, recording(5, 34, 241, events=900)),
        (aedat.write, recording(5, 129, 128)),
        (atis.write, recording(5, 34, 34, last=2**50)),
        (aedat.write, recording(5, 34, 34, last=2**50)),
    ):
        with pytest.raises(ValueError, match="holds"):
            write(tmp_path / "1", wrong)
    assert not list(tmp_path.iterdir())
