"""Readers of spiking exports and of maps of measured cells, handed damaged and lying files."""

import json

import numpy as np
import pandas as pd
import pytest
from hostile import damaged, few, only
from hypothesis import given
from hypothesis import strategies as st

from nonideal import cellmaps
from nonideal.spiking import export
from nonideal.spiking.integer import SpikingLayer, SpikingNetwork

SHAPES = {"conv": (3, 2, 2), "classifier": (2, 3)}


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    """A genuine file of each kind."""
    folder = tmp_path_factory.mktemp("genuine")
    weights = np.array([[1, 0, -1], [0, 1, 1]], np.int16)
    network = SpikingNetwork((SpikingLayer("ternary", weights, 0.5, 8),), 4)
    export.export(network, np.array([[0, 100, 255]], np.uint8)).write(folder)
    rows = [("conv", 0, 1, 2, 1), ("conv", 2, 3, 0, 0), ("classifier", 1, 2, 1, 1)]
    frame = pd.DataFrame(rows, columns=["layer", "row", "column", "bit", "stuck"])
    for suffix in ("csv", "parquet"):
        cellmaps.write(frame, folder / f"map.{suffix}")
    assert cellmaps.read(folder / "map.csv", "stuck", SHAPES, 3).equals(frame)
    assert export.load(folder / "model.npz").network.steps == 4
    return folder


@few
@given(data=st.data(), name=st.sampled_from(("model.npz", "model.json")))
def test_spiking_exports(tmp_path, genuine, data, name):
    (tmp_path / name).write_bytes(data.draw(damaged((genuine / name).read_bytes())))
    only(ValueError, export.load, tmp_path / name)


@few
@given(
    place=st.integers(0, 30), value=st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers())
)
def test_spiking_exports_of_other_content(tmp_path, genuine, place, value):
    document = json.loads((genuine / "model.json").read_text())
    slots = [(part, key) for part in (document, document["layers"][0], document["golden"]) for key in part]
    part, key = slots[place % len(slots)]
    part[key] = value
    (tmp_path / "model.json").write_text(json.dumps(document))
    only(ValueError, export.load, tmp_path / "model.json")


@few
@given(data=st.data(), name=st.sampled_from(("map.csv", "map.parquet")))
def test_maps_of_cells(tmp_path, genuine, data, name):
    (tmp_path / name).write_bytes(data.draw(damaged((genuine / name).read_bytes())))
    found = only(cellmaps.CellMapError, cellmaps.read, tmp_path / name, "stuck", SHAPES, 3)
    if found is not None:
        assert found["stuck"].isin([0, 1]).all() and set(found["layer"]) <= set(SHAPES)


@few
@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_maps_of_any_text(tmp_path, text):
    (tmp_path / "map.csv").write_text(text)
    only(cellmaps.CellMapError, cellmaps.read, tmp_path / "map.csv", "factor", SHAPES, 3)
