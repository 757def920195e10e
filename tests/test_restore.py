import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from nonideal import manifest, restore, tables
from nonideal.files import sha256
from nonideal.planned import Planned
from nonideal.provenance import SHORT

DATA = "resources/data/digits/manifest.json"


def planned(rule, inputs, outputs):
    params = {"seed": 1, "wildcards": {"part": "a"}}
    return Planned(rule, params, ("library.py",), inputs, outputs)


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Jobs of a run, data to training to a mean, in a checkout whose reference was made by them."""
    monkeypatch.chdir(tmp_path)
    data = planned("dataset", (), (DATA,))
    train = planned("train", (DATA,), ("results/mine/net/state.pt", "results/mine/net/accuracy.parquet"))
    mean = planned("mean", ("results/mine/net/accuracy.parquet",), ("results/mine/mean.parquet",))
    Path(DATA).parent.mkdir(parents=True)
    for path in (DATA, "library.py"):
        Path(path).write_text(path)
    for job in (train, mean):
        keep(job)
    return [data, train, mean]


def keep(job, **facts):
    """Write a job's tables to the reference, with the provenance that they would have."""
    kept = {path: Path("reference") / path.removeprefix("results/mine/") for path in job.outputs}
    known = {path: Path("reference") / path.removeprefix("results/mine/") for path in job.inputs}
    known = {path: file if file.exists() else Path(path) for path, file in known.items()}
    facts = {
        "params": job.params,
        "code": {path: sha256(path)[:SHORT] for path in job.code},
        "inputs": {path: sha256(file) for path, file in known.items()},
    } | facts
    for path in kept.values():
        if path.suffix == ".parquet":
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pyarrow.table({"value": [1.0]})
            metadata = {tables.METADATA_KEY: json.dumps(facts)}
            pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)


def test_what_is_unchanged_is_restored_all_of_one_age(jobs):
    outcome = restore.restore("reference", "mine", jobs)
    restored = ["results/mine/net/accuracy.parquet", "results/mine/mean.parquet"]
    assert outcome.restored == {"train/a": restored[:1], "mean/a": restored[1:]}
    assert outcome.left == {}
    ages = {Path(path).stat().st_mtime_ns for path in restored}
    assert len(ages) == 1 and ages.pop() >= Path(DATA).stat().st_mtime_ns
    assert Path(restored[1]).read_bytes() == Path("reference/mean.parquet").read_bytes()


def test_a_dry_run_copies_nothing(jobs):
    outcome = restore.restore("reference", "mine", jobs, dry_run=True)
    assert set(outcome.restored) == {"train/a", "mean/a"} and not Path("results").exists()


def edited(jobs):
    Path("library.py").write_text("edited")
    keep(jobs[2])  # by the code as it is now


def configured(jobs):
    jobs[1] = replace(jobs[1], params=jobs[1].params | {"seed": 2})


def other_data(_):
    Path(DATA).write_text("other images")


def no_longer_an_input(jobs):
    jobs[1] = replace(jobs[1], inputs=())


@pytest.mark.parametrize(
    ("change", "reason", "example"),
    [
        (edited, restore.CODE, "library.py"),
        (configured, restore.SETTINGS, "seed"),
        (other_data, restore.INPUTS, DATA),
        (no_longer_an_input, restore.INPUTS, DATA),
    ],
)
def test_what_changed_is_left_out_and_what_needs_it(jobs, change, reason, example):
    change(jobs)
    outcome = restore.restore("reference", "mine", jobs)
    assert outcome.restored == {} and not Path("results").exists()
    assert outcome.left == {
        "train/a": (reason, example),
        "mean/a": (restore.NEEDS, "results/mine/net/accuracy.parquet"),
    }


@pytest.mark.parametrize(("change", "accept"), [(edited, "code"), (configured, "settings")])
def test_differences_can_be_accepted(jobs, change, accept):
    change(jobs)
    assert set(restore.restore("reference", "mine", jobs, accept=[accept]).restored) == {"train/a", "mean/a"}


def test_other_data_cannot_be_accepted(jobs):
    other_data(jobs)
    left = restore.restore("reference", "mine", jobs, accept=["code", "settings"]).left
    assert left["train/a"] == (restore.INPUTS, DATA)


def test_a_table_made_from_another_version_than_is_kept_is_left_out(jobs):
    keep(jobs[2], inputs={"results/mine/net/accuracy.parquet": "0" * 64})
    outcome = restore.restore("reference", "mine", jobs)
    assert outcome.left == {"mean/a": (restore.INPUTS, "results/mine/net/accuracy.parquet")}


def test_nothing_is_known_of_a_job_without_a_table(jobs):
    Path("reference/net/accuracy.parquet").unlink()
    Path("reference/net/state.pt").write_text("weights")
    outcome = restore.restore("reference", "mine", jobs)
    assert outcome.restored == {}
    assert [why for why, _ in outcome.left.values()] == [restore.UNKNOWN, restore.NEEDS]


def test_own_results_stay(jobs):
    own = Path("results/mine/net/accuracy.parquet")
    own.parent.mkdir(parents=True)
    own.write_text("own")
    os.utime(own, (1, 1))
    outcome = restore.restore("reference", "mine", jobs)
    assert own.read_text() == "own" and own.stat().st_mtime == 1
    assert outcome.left == {"train/a": (restore.THERE, str(own))} and set(outcome.restored) == {"mean/a"}


def test_data_must_be_there_to_be_compared(jobs):
    Path(DATA).unlink()
    with pytest.raises(
        ValueError, match=r"manifest\.json: not here to be compared.*snakemake --cores all data"
    ):
        restore.restore("reference", "mine", jobs)
    assert not Path("results").exists()


def test_the_reference_may_be_a_run_of_another_name(jobs):
    train = replace(jobs[1], params=jobs[1].params | {"progress": "results/mine/net/progress"})
    jobs[1] = train
    keep(train, run="theirs", params=train.params | {"progress": "results/theirs/net/progress"})
    path = "net/accuracy.parquet"
    keep(jobs[2], run="theirs", inputs={f"results/theirs/{path}": sha256(f"reference/{path}")})
    assert set(restore.restore("reference", "mine", jobs).restored) == {"train/a", "mean/a"}


def test_a_file_that_is_not_the_listed_one_is_refused(jobs):
    manifest.write(Path("reference"))
    restore.restore("reference", "mine", jobs, dry_run=True)
    state = Path("reference/mean.parquet")
    damaged = bytearray(state.read_bytes())
    damaged[6] ^= 1
    state.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"mean\.parquet: not the file that manifest\.json lists"):
        restore.restore("reference", "mine", jobs)
    assert not Path("results").exists()


def test_no_reference(jobs):
    with pytest.raises(ValueError, match="elsewhere: no such folder"):
        restore.restore("elsewhere", "mine", jobs)
