import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from nonideal import tables
from nonideal.schemas import registry
from nonideal.schemas.crossbar import CROSSOVER, MAPPINGS, TRIALS
from nonideal.tables import TableError

FACTS = {"run": "test", "seed": 1}


@pytest.fixture
def rows():
    return pd.DataFrame(
        {
            "figure": "4a",
            "mapping": ["max_fill", "equal_fill"],
            "weights": "gaussian",
            "base": 1,
            "n_slices": 2,
            "time_s": 20.0,
            "trial": [0, 0],
            "eta": [0.1, 0.2],
        }
    )


def test_round_trip_sorts_and_keeps_provenance(tmp_path, rows):
    path = tmp_path / "t.parquet"
    written = tables.write(rows[rows.columns[::-1]], path, TRIALS, provenance=FACTS)
    back = tables.read(path, TRIALS)
    pd.testing.assert_frame_equal(written, back)
    assert back["mapping"].tolist() == ["equal_fill", "max_fill"]
    facts = tables.facts(path)
    assert facts["run"] == "test" and facts["rows"] == 2
    assert facts["content_sha256"] == tables.content_hash(back)


def test_shards_of_another_division_are_removed(tmp_path, capsys):
    names = ("a/part-0000.parquet", "a/part-0001.parquet", "b/part-0000.parquet", "b/part-0007.parquet")
    others = ("a/summary.parquet", "c/part-0000.parquet")
    for name in (*names, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    tables.remove_other_shards([tmp_path / names[0], str(tmp_path / names[2])])
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet")}
    assert left == {names[0], names[2], *others}
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == [f"removing {tmp_path / names[k]}" for k in (1, 3)]


def test_shards_read_as_one(tmp_path, rows):
    for k in range(2):
        tables.write(rows.assign(trial=k), tmp_path / f"{k}.parquet", TRIALS, provenance=FACTS)
    both = tables.read([tmp_path / "1.parquet", tmp_path / "0.parquet"], TRIALS)
    assert len(both) == 4
    with pytest.raises(TableError, match=r"0\.parquet and 1 more.*trial"):
        tables.read([tmp_path / "0.parquet"] * 2, TRIALS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mapping": "equalfill"}, "equalfill"),
        ({"eta": -0.5}, r"eta.*-0\.5"),
        ({"base": 0}, "base"),
        ({"eta": float("nan")}, "eta"),
        ({"trial": [0.5, 1.5]}, "trial"),
        ({"mapping": "max_fill"}, "mapping"),  # the key repeats
    ],
)
def test_rows_that_do_not_fit_write_nothing(tmp_path, rows, change, message):
    path = tmp_path / "t.parquet"
    with pytest.raises(TableError, match=message):
        tables.write(rows.assign(**change), path, TRIALS, provenance=FACTS)
    assert not list(tmp_path.iterdir())


def test_columns_are_closed(tmp_path, rows):
    with pytest.raises(TableError, match=r"lacks the columns \['eta'\]"):
        tables.check(rows.drop(columns="eta"), TRIALS)
    with pytest.raises(TableError, match=r"undeclared columns \['extra'\]"):
        tables.check(rows.assign(extra=1), TRIALS)
    with pytest.raises(TableError, match="no rows"):
        tables.check(rows.iloc[:0], TRIALS)
    with pytest.raises(KeyError, match=r"no table named 'nonsense'.*crossbar_trials"):
        registry.declared("nonsense")


def test_foreign_and_broken_files(tmp_path, rows):
    path = tmp_path / "t.parquet"
    with pytest.raises(TableError, match="no such file"):
        tables.read(path, TRIALS)
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(TableError, match="not a readable parquet file"):
        tables.read(path, TRIALS)
    rows.to_parquet(path)
    with pytest.raises(TableError, match="carries no provenance"):
        tables.read(path, TRIALS)
    tables.write(rows, path, TRIALS, provenance=FACTS)
    with pytest.raises(TableError, match=r"holds table 'crossbar_trials', expected 'crossover'"):
        tables.read(path, CROSSOVER)


def test_content_hash_sees_rows_not_metadata(tmp_path, rows):
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    tables.write(rows, a, TRIALS, provenance=FACTS)
    tables.write(rows, b, TRIALS, provenance={"run": "other"})
    assert tables.facts(a)["content_sha256"] == tables.facts(b)["content_sha256"]
    tables.write(rows.assign(eta=[0.1, 0.2000001]), b, TRIALS, provenance=FACTS)
    assert tables.facts(a)["content_sha256"] != tables.facts(b)["content_sha256"]


def test_every_declared_table_has_units_and_descriptions():
    for name, schema in registry.TABLES.items():
        assert schema.unique, name
        assert set(schema.unique) <= set(schema.columns), name
        for column in schema.columns.values():
            assert column.description and "unit" in column.metadata, (name, column.name)
            if column.name.endswith("_s") and column.name != "eta_s":
                assert column.metadata["unit"] == "s", (name, column.name)


def test_mappings_are_the_crossbars():
    from nonideal.pcm import slicing

    assert set(MAPPINGS) == set(slicing.MAPPINGS)


def test_metadata_is_json(tmp_path, rows):
    path = tmp_path / "t.parquet"
    tables.write(rows, path, TRIALS, provenance=FACTS)
    json.loads(pq.read_schema(path).metadata[tables.METADATA_KEY])
