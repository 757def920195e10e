"""Readers of the project's own files refuse what is damaged or lies, in the documented way."""

import copy
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hostile import damaged, few, only
from hypothesis import given
from hypothesis import strategies as st

from nonideal import manifest, tables, tensorfile
from nonideal.archives import ArchiveError, read_npz
from nonideal.config import ConfigError, validate
from nonideal.mcu import elf, export
from nonideal.mcu.integer import IntegerLayer, IntegerNetwork
from nonideal.schemas.training import HISTORY
from nonideal.tables import TableError
from nonideal.training import checkpoint

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.json"
CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text())
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(config, path=()):
    """Path of every key of a configuration."""
    for key, value in config.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


@few
@given(place=st.sampled_from(list(places(CONFIG))), value=values, how=st.sampled_from(("set", "drop", "add")))
def test_configuration(place, value, how):
    config = copy.deepcopy(CONFIG)
    section = config
    for key in place[:-1]:
        section = section[key]
    if how == "set":
        section[place[-1]] = value
    elif how == "drop":
        del section[place[-1]]
    else:
        section[f"{place[-1]}s"] = value
    if only(ConfigError, validate, config, SCHEMA) is None and how != "set":
        with pytest.raises(ConfigError, match=place[-1]):
            validate(config, SCHEMA)


@pytest.mark.parametrize("config", [{}, {"crossbar": None}, {"training": []}])
def test_configurations_that_are_none(config):
    with pytest.raises(ConfigError):
        validate(config, SCHEMA)


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    """A genuine file of each kind."""
    folder = tmp_path_factory.mktemp("genuine")
    row = {"dataset": "digits", "method": "qat", "format": "ternary", "bits": 1.6, "seed": 0}
    columns = [name for name in HISTORY.columns if name not in row]
    frame = pd.DataFrame([row | {name: k if name == "epoch" else 0.5 for name in columns} for k in (1, 2, 3)])
    frame = frame.astype({name: str(column.dtype) for name, column in HISTORY.columns.items()})
    tables.write(frame, folder / "a.parquet", HISTORY, provenance={"rule": "train"})
    tensorfile.save_networks({0: {"weight": torch.arange(6.0).view(2, 3)}}, folder / "networks.pt")
    checkpoint.save(folder / "checkpoint.pt", {"identity": {"seed": 1}, "model": {"w": torch.ones(3)}})
    weights = np.array([[1, 0, -1], [0, 1, 1]], np.int16)
    network = IntegerNetwork((IntegerLayer("ternary", weights),))
    export.Export(network, "fast", np.zeros((1, 3), np.int8)).write(folder)
    manifest.write(folder)
    return folder


@few
@given(data=st.data())
def test_tables(tmp_path, genuine, data):
    (tmp_path / "a.parquet").write_bytes(data.draw(damaged((genuine / "a.parquet").read_bytes())))
    only(TableError, tables.facts, tmp_path / "a.parquet")
    only(TableError, tables.read, tmp_path / "a.parquet", HISTORY)


@few
@given(data=st.data())
def test_networks_and_checkpoints(tmp_path, genuine, data):
    (tmp_path / "a.pt").write_bytes(data.draw(damaged((genuine / "networks.pt").read_bytes())))
    only(tensorfile.TensorFileError, tensorfile.load_networks, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(data.draw(damaged((genuine / "checkpoint.pt").read_bytes())))
    only(ValueError, checkpoint.load, tmp_path / "b.pt", {"seed": 1})


@pytest.mark.parametrize("content", [[1], {"a": {}}, {0: [1]}, {0: {"weight": "text"}}, 7])
def test_other_content_is_no_network(tmp_path, content):
    tensorfile.save(content, tmp_path / "a.pt")
    with pytest.raises(tensorfile.TensorFileError, match=r"a\.pt: holds no networks"):
        tensorfile.load_networks(tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt is not a checkpoint"):
        checkpoint.load(tmp_path / "a.pt", {"seed": 1})


class Call:
    """Pickled, a call of a function."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)


def rewritten(path, source, change):
    """Copy of an archive of tensors with another pickle in it."""
    with zipfile.ZipFile(source) as file:
        members = {name: file.read(name) for name in file.namelist()}
    (name,) = (name for name in members if name.endswith("data.pkl"))
    archive(path, members | {name: change(members[name])})


def test_no_function_in_a_tensor_file_is_called(tmp_path, genuine):
    call = Call(Path.touch, tmp_path / "called")
    rewritten(tmp_path / "a.pt", genuine / "networks.pt", lambda content: pickle.dumps({0: call}))
    torch.save({0: call}, tmp_path / "b.pt")
    (tmp_path / "c.pt").write_bytes(pickle.dumps({0: call}))
    for name in "abc":
        assert only(tensorfile.TensorFileError, tensorfile.load_networks, tmp_path / f"{name}.pt") is None
    assert not (tmp_path / "called").exists()


def test_a_tensor_larger_than_its_numbers_is_not_believed(tmp_path, genuine):
    def larger(content):
        assert content.count(b"K\x02K\x03\x86") == 1  # the shape, 2 x 3
        return content.replace(b"K\x02K\x03\x86", b"J\x00\x00\x00\x70K\x03\x86")

    rewritten(tmp_path / "a.pt", genuine / "networks.pt", larger)
    assert only(tensorfile.TensorFileError, tensorfile.load_networks, tmp_path / "a.pt") is None


def test_a_compressed_tensor_file_is_refused(tmp_path, genuine):
    with zipfile.ZipFile(genuine / "networks.pt") as file:
        members = {name: file.read(name) for name in file.namelist()}
    archive(tmp_path / "a.pt", members, zipfile.ZIP_DEFLATED)
    with pytest.raises(tensorfile.TensorFileError, match="compressed"):
        tensorfile.load_networks(tmp_path / "a.pt")


@few
@given(data=st.data(), name=st.sampled_from(("model.npz", "model.json")))
def test_exports(tmp_path, genuine, data, name):
    content = data.draw(damaged((genuine / name).read_bytes()))
    (tmp_path / name).write_bytes(content)
    only(ValueError, export.load, tmp_path / name)


@few
@given(place=st.integers(0, 30), value=values)
def test_exports_of_other_content(tmp_path, genuine, place, value):
    document = json.loads((genuine / "model.json").read_text())
    slots = [(part, key) for part in (document, document["layers"][0], document["golden"]) for key in part]
    part, key = slots[place % len(slots)]
    part[key] = value
    (tmp_path / "model.json").write_text(json.dumps(document))
    only(ValueError, export.load, tmp_path / "model.json")


def array(header):
    """A .npy file of a header and eight bytes."""
    text = header.encode() + b" " * (118 - len(header) - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8)


def test_an_array_larger_than_its_member_is_not_believed(tmp_path):
    for shape in ("(1000000000000,)", "(-8, -1)", "(9,)", "(4294967296, 4294967296)"):
        archive(
            tmp_path / "a.npz",
            {"x.npy": array(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}")},
        )
        assert only(ArchiveError, read_npz, tmp_path / "a.npz") is None
    archive(tmp_path / "a.npz", {"x.npy": array("{'descr': '|u1', 'fortran_order': False, 'shape': (8,)}")})
    assert read_npz(tmp_path / "a.npz")["x"].tolist() == [0] * 8


def test_a_compressed_archive_of_arrays_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10_000_000, np.uint8))
    with pytest.raises(ArchiveError, match="more bytes than the file has"):
        read_npz(tmp_path / "a.npz")


def test_objects_in_arrays_are_refused(tmp_path):
    call = np.array([Call(Path.touch, tmp_path / "called")], object)
    np.savez(tmp_path / "a.npz", x=call)
    with pytest.raises(ArchiveError, match="object"):
        read_npz(tmp_path / "a.npz")
    assert not (tmp_path / "called").exists()


def test_names_that_lead_out_of_a_folder_write_nothing(tmp_path):
    inner = tmp_path / "in/ner"
    inner.mkdir(parents=True)
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    archive(inner / "a.npz", {"../../out.npy": buffer.getvalue(), "/tmp/out.npy": buffer.getvalue()})
    before = sorted(tmp_path.rglob("*"))
    only(ArchiveError, read_npz, inner / "a.npz")
    only(tensorfile.TensorFileError, tensorfile.load, inner / "a.npz")
    assert sorted(tmp_path.rglob("*")) == before


@few
@given(data=st.data())
def test_manifests(tmp_path, genuine, data):
    (tmp_path / "manifest.json").write_bytes(data.draw(damaged((genuine / "manifest.json").read_bytes())))
    entries = only(manifest.ManifestError, manifest.read, tmp_path)
    assert entries is None or entries == manifest.read(genuine)


def test_a_manifest_that_leads_out_of_its_folder_is_refused(tmp_path):
    (tmp_path / "a").write_text("x")
    content = {"format": manifest.FORMAT, "files": manifest.write(tmp_path)["files"]}
    content["files"]["../../etc/passwd"] = content["files"].pop("a")
    (tmp_path / "manifest.json").write_text(manifest._text(content))
    with pytest.raises(manifest.ManifestError, match="altered"):
        manifest.read(tmp_path)


def elf_header(size=0, offset=0):
    """Header of a 32-bit RISC-V program, and one segment that is put at the end of a 4 GB flash."""
    import struct

    head = b"\x7fELF\x01\x01\x01" + bytes(9)
    head += struct.pack("<HHIIIIIHHHHHH", 2, 243, 1, 0, 52, 0, 0x9, 52, 32, 1, 40, 0, 0)
    return head + struct.pack("<IIIIIIII", 1, offset, 0, 0xFFFFFF00, size, size, 5, 4)


@few
@given(content=damaged(elf_header(8) + bytes(64)) | st.binary(max_size=80))
def test_programs(tmp_path, content):
    (tmp_path / "a.elf").write_bytes(content)
    only(elf.ElfError, elf.check, tmp_path / "a.elf", flash=16384, ram=2048, stack=64)


def test_a_segment_far_out_or_beyond_the_end_is_refused(tmp_path):
    for content in (elf_header(8) + bytes(64), elf_header(0x7FFFFFFF)):
        (tmp_path / "a.elf").write_bytes(content)
        with pytest.raises(elf.ElfError):
            elf.check(tmp_path / "a.elf", flash=16384, ram=2048, stack=64)
