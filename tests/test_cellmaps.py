import pandas as pd
import pytest

from nonideal import cellmaps

SHAPES = {"a": (4, 2, 3, 3), "b": (5, 7)}
GOOD = {"layer": ["a", "b"], "row": [3, 4], "column": [17, 6], "bit": [3, 0], "stuck": [1, 0]}


def save(tmp_path, name="map.csv", **changes):
    cellmaps.write(pd.DataFrame(GOOD | changes), tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("name", ["map.csv", "map.parquet"])
def test_the_last_cell_of_a_layer_is_accepted(tmp_path, name):
    frame = cellmaps.read(save(tmp_path, name), "stuck", SHAPES, 4)
    assert frame.to_dict("list") == GOOD


@pytest.mark.parametrize("name", ["map.csv", "map.parquet"])
@pytest.mark.parametrize("layer", ["", "NA", "null", "nan", "1"])
def test_layers_of_any_name_are_found_again(tmp_path, name, layer):
    """A network that is one layer has the empty name."""
    saved = save(tmp_path, name, layer=["b", layer])
    found = cellmaps.read(saved, "stuck", {"b": (4, 18), layer: (5, 7)}, 4)
    assert found["layer"].tolist() == ["b", layer]


def test_the_order_of_columns_does_not_matter(tmp_path):
    frame = pd.DataFrame(GOOD)
    cellmaps.write(frame[frame.columns[::-1]], tmp_path / "map.csv")
    assert cellmaps.read(tmp_path / "map.csv", "stuck", SHAPES, 4).to_dict("list") == GOOD


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row": [3, 5]}, r"row 2: row 5 of layer 'b' must be a whole number of 0 .. 4"),
        ({"column": [18, 6]}, r"row 1: column 18 of layer 'a' .* 0 .. 17"),
        ({"column": [0, -1]}, r"row 2: column -1"),
        ({"row": [0.5, 0]}, r"row 1: row 0\.5"),
        ({"bit": [0, 4]}, r"row 2: bit 4 .* 0 .. 3"),
        ({"stuck": [0, 2]}, r"row 2: stuck must be 0 or 1, found 2"),
        ({"stuck": ["0", "up"]}, r"row 2: stuck must be a number, found 'up'"),
        ({"layer": ["a", "c"]}, r"row 2: there is no quantised layer 'c'; layers are a, b"),
        (
            {"layer": ["a", "a"], "row": [1, 1], "column": [2, 2], "bit": [1, 1]},
            r"row 2: the cell .* second time",
        ),
        ({"colour": [1, 1]}, r"has the columns layer, row, column, bit, stuck; found"),
    ],
)  # fmt: skip
def test_a_bad_map_is_refused_with_its_row(tmp_path, changes, message):
    with pytest.raises(cellmaps.CellMapError, match=message) as error:
        cellmaps.read(save(tmp_path, **changes), "stuck", SHAPES, 4)
    assert "map.csv" in str(error.value)


def test_a_factor_may_be_any_number_from_zero(tmp_path):
    rows = {key: value for key, value in GOOD.items() if key != "stuck"}
    cellmaps.write(pd.DataFrame(rows | {"factor": [0.0, 1.7]}), tmp_path / "map.csv")
    assert cellmaps.read(tmp_path / "map.csv", "factor", SHAPES, 4)["factor"].tolist() == [0.0, 1.7]
    cellmaps.write(pd.DataFrame(rows | {"factor": [1.0, -0.1]}), tmp_path / "map.csv")
    with pytest.raises(cellmaps.CellMapError, match=r"row 2: factor must be at least 0, found -0.1"):
        cellmaps.read(tmp_path / "map.csv", "factor", SHAPES, 4)


def test_files_that_are_no_maps_are_named(tmp_path):
    (tmp_path / "map.parquet").write_text("no parquet")
    (tmp_path / "map.csv").write_text("")
    cases = {"map.parquet": "readable", "map.csv": "readable", "map.txt": "ending", "x.csv": "no such"}
    for name, message in cases.items():
        with pytest.raises(cellmaps.CellMapError, match=f"{name}: .*{message}"):
            cellmaps.read(tmp_path / name, "stuck", SHAPES, 4)


@pytest.mark.parametrize("name", ["map.csv", "map.parquet"])
@pytest.mark.parametrize("value", ["stuck", "factor"])
def test_a_map_without_cells_is_one_of_a_sound_chip(tmp_path, name, value):
    (tmp_path / "map.csv").write_text(f"layer,row,column,bit,{value}\n")
    if name == "map.parquet":
        cellmaps.write(pd.read_csv(tmp_path / "map.csv"), tmp_path / name)
    frame = cellmaps.read(tmp_path / name, value, SHAPES, 4)
    assert frame.empty and list(frame.columns) == ["layer", "row", "column", "bit", value]
    assert [str(kind) for kind in frame.dtypes[1:4]] == ["int64"] * 3


@pytest.mark.parametrize("surplus", ["7", ""])
def test_lines_with_more_fields_than_the_header_are_not_read_shifted(tmp_path, surplus):
    (tmp_path / "map.csv").write_text(f"layer,row,column,bit,stuck\na,1,0,3,1,{surplus}\n")
    with pytest.raises(
        cellmaps.CellMapError, match=r"map.csv: lines have more fields than the 5 of the header"
    ):
        cellmaps.read(tmp_path / "map.csv", "stuck", SHAPES | {"1": (4, 4)}, 4)
