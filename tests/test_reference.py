import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from nonideal import manifest, reference, tables, verify
from nonideal.schemas.published import ANSWERED, COMPARISON
from nonideal.schemas.registry import declared


@pytest.fixture
def run(tmp_path):
    for pattern in reference.KEPT:
        path = tmp_path / "run" / pattern.replace("*", "a")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("new")
    teacher = tmp_path / "run/networks/teachers/wide"
    teacher.mkdir(parents=True)
    for name in ("network.pt", "history.parquet"):
        (teacher / name).write_text("wide")
    (tmp_path / "run/crossbar/trials").mkdir()
    (tmp_path / "run/crossbar/trials/part-0000.parquet").write_text("bulk")
    manifest.write(tmp_path / "run")
    (tmp_path / "run/report.zip").write_text("of Snakemake")
    return tmp_path / "run"


def test_copies_the_small_parts_and_drops_the_old(run, tmp_path):
    old = tmp_path / "reference"
    old.mkdir()
    (old / "stale.csv").write_text("old")
    files = reference.copy(run, old)
    copied = {path.relative_to(old) for path in old.rglob("*") if path.is_file()}
    assert copied == {path.relative_to(run) for path in files} | {Path("timings.json"), Path("manifest.json")}
    assert set(manifest.read(old)) == {path.as_posix() for path in copied - {Path("manifest.json")}}
    assert not any("trials" in path.parts or path.name == "stale.csv" for path in copied)
    assert {path.name for path in copied if "wide" in path.parts} == {"history.parquet"}


def test_of_networks_that_go_on_the_last_of_an_architecture_is_kept(run, root, tmp_path):
    known = "networks/others/resnet32_further/history.parquet"
    declared_here = declared(tables.facts(root / "results/reference" / known)["table"])
    history = tables.read(root / "results/reference" / known, declared_here)
    for name, start, architecture in (("a", "float", "a"), ("b", "a", "b"), ("c", "b", "b")):
        path = run / f"networks/others/{name}/history.parquet"
        settings = {"settings": {"start": start, "architecture": architecture}}
        tables.write(history, path, declared_here, provenance={"params": settings})
        path.with_name("network.pt").write_text(name)
    manifest.write(run)
    reference.copy(run, tmp_path / "reference")
    kept = {path.parent.name for path in (tmp_path / "reference/networks/others").glob("*/network.pt")}
    assert kept == {"a", "c"}


def test_an_interrupted_swap_leaves_the_old(run, tmp_path, monkeypatch):
    old = tmp_path / "reference"
    reference.copy(run, old)
    replace = Path.replace

    def interrupted(self, target):
        if self.name == "fresh":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reference.copy(run, old)
    assert (old / "paper.pdf").read_text() == "new" and (old / "manifest.json").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"reference", "run"}


def test_an_incomplete_run_changes_nothing(run, tmp_path):
    old = tmp_path / "reference"
    reference.copy(run, old)
    (run / "paper.pdf").unlink()
    with pytest.raises(FileNotFoundError, match=r"paper\.pdf"):
        reference.copy(run, old)
    assert (old / "paper.pdf").exists()


def test_what_changed_since_the_run_is_not_kept(run, tmp_path):
    (run / "figures/a.svg").write_text("touched up")
    with pytest.raises(ValueError, match=r"a\.svg: not as .*manifest\.json lists it"):
        reference.copy(run, tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


def test_a_run_without_its_report_is_not_kept(run, tmp_path):
    (run / "report.zip").unlink()
    with pytest.raises(FileNotFoundError, match=r"report\.zip: make it first with snakemake --report"):
        reference.copy(run, tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


def test_the_committed_reference_is_what_a_run_would_leave(root):
    folder = root / "results/reference"
    kept = {pattern: {path for path in folder.glob(pattern) if path.is_file()} for pattern in reference.KEPT}
    assert all(kept.values())
    made = {folder / name for name in (reference.REPORT, manifest.NAME, "timings.json")}
    assert {path for path in folder.rglob("*") if path.is_file()} == set.union(made, *kept.values())
    assert reference.REPORT in manifest.read(folder)


def test_the_committed_reference_is_intact(root):
    report = verify.verify(root / "results/reference", root)
    assert not report.problems
    assert report.files > 40 and report.tables > 15


def test_a_track_is_added_to_what_is_there(run, tmp_path):
    kept = tmp_path / "reference"
    reference.copy(run, kept)
    frame = pd.DataFrame(
        {"dataset": ["digits"], "group": ["a"], "slope": [-1.0], "low": [-1.5], "high": [-0.5]}
        | {"prefactor": [2.0], "points": [5]}
    )
    part = tmp_path / "part"
    tables.write(frame, part / "capacity/fit.parquet", declared("capacity_fit"), provenance={})
    (part / "tables").mkdir()
    (part / "tables/table_capacity_fit.csv").write_text("new")
    (part / "benchmarks").mkdir()
    line = "s\tcpu_time\tmax_rss\n3.0\t2.0\t10\n"
    (part / "benchmarks/capacity.tsv").write_text(line)
    (kept / reference.COMPARED).unlink()  # no comparison to make anew
    before = set(manifest.read(kept)) - {reference.COMPARED}
    reference.add(part, kept, ["capacity/*.parquet", "tables/*.csv"])
    added = {"capacity/fit.parquet", "tables/table_capacity_fit.csv"}
    assert set(manifest.read(kept)) == before | added
    assert json.loads((kept / "timings.json").read_text())["capacity"]["processor_s"] == 2.0

    with pytest.raises(FileNotFoundError, match="nothing there"):
        reference.add(part, kept, ["spiking/*.parquet"])
    whole = (part / "capacity/fit.parquet").read_bytes()
    (part / "capacity/fit.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(tables.TableError):
        reference.add(part, kept, ["capacity/*.parquet"])
    assert (kept / "capacity/fit.parquet").read_bytes() == whole


def test_too_large_to_commit(run, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "LIMIT_BYTES", 3)
    with pytest.raises(ValueError, match="more than 3"):
        reference.copy(run, tmp_path / "reference")


def test_timings_are_summed_over_the_jobs_of_a_rule(tmp_path):
    (tmp_path / "train").mkdir()
    for path, seconds in (("draw.tsv", 1.5), ("train/float.tsv", 2), ("train/binary.tsv", 3.25)):
        (tmp_path / path).write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:01\t{40 * seconds}\t1\n")
    assert reference.timings(tmp_path) == {
        "draw": {"wall_s": 1.5, "processor_s": 1, "longest_s": 1.5, "memory_mb": 60},
        "train": {"wall_s": 5.25, "processor_s": 2, "longest_s": 3.25, "memory_mb": 130},
    }


def test_a_job_too_short_to_be_measured_counts_with_its_wall_time(tmp_path):
    lines = ("s\th:m:s\tmax_rss\tcpu_time", "2.0\t0:00:02\t100\t1.5", "0.25\t0:00:00\tNA\tNA")
    (tmp_path / "draw.tsv").write_text("\n".join(lines) + "\n")
    assert reference.timings(tmp_path) == {
        "draw": {"wall_s": 2.25, "processor_s": 1.75, "longest_s": 2.0, "memory_mb": 100}
    }


def test_no_table_of_the_committed_reference_names_a_path_of_the_machine(root):
    for path in (root / "results/reference").rglob("*.parquet"):
        assert not [name for name in tables.facts(path).get("inputs", {}) if name.startswith("/")], path


def test_the_comparison_is_made_anew_when_a_track_is_added(root, tmp_path):
    kept, part = tmp_path / "reference", tmp_path / "reduced"
    shutil.copytree(root / "results/reference", kept)
    declared_here = declared("accuracy_summary")
    path = "training/accuracy_summary.parquet"
    frame = tables.read(kept / path, declared_here)
    best = (frame["method"] == "qat") & (frame["format"] == "4bitsym")
    frame.loc[best, ["mean", "low", "high"]] = 0.995, 0.994, 0.996
    tables.write(frame, part / path, declared_here, provenance={})
    before = tables.read(kept / reference.COMPARED, COMPARISON)
    reference.add(part, kept, [path])
    after = tables.read(kept / reference.COMPARED, COMPARISON)
    row = after[after["quantity"] == "accuracy, 4bitsym QAT"].iloc[0]
    assert row["ours"] == pytest.approx(99.5) and row["verdict"] == "inside"
    assert row["scale"].startswith("mnist, ")  # from config/reduced.yaml, which has the run's name
    context = after[after["figure"].eq("text") & after["track"].eq("crossbar")]
    assert set(context["verdict"]) == {
        "not compared"
    }  # also where the earlier comparison called it otherwise
    held = [table["track"].eq("crossbar") & table["verdict"].isin(ANSWERED) for table in (before, after)]
    crossbar = [table[rows].reset_index(drop=True) for table, rows in zip((before, after), held, strict=True)]
    pd.testing.assert_frame_equal(*crossbar)  # its trials are not at hand: not made anew
    assert len(pd.read_csv(kept / "tables/compare_published.csv")) == len(after)
    # A paper is of the run whose provenance comes with it; the tables stay those of the reference.
    recorded = json.loads((kept / "provenance.json").read_text())
    part.joinpath("paper.pdf").write_bytes(b"%PDF")
    with pytest.raises(FileNotFoundError, match=r"provenance\.json: a paper goes with it"):
        reference.add(part, kept, ["paper.pdf"])
    assert (kept / "paper.pdf").read_bytes() != b"%PDF"
    part.joinpath("provenance.json").write_text(json.dumps(recorded | {"commit": "paper", "tables": {}}))
    reference.add(part, kept, ["paper.pdf"])
    now = json.loads((kept / "provenance.json").read_text())
    assert (
        recorded["commit"] != now["commit"] == "paper" and now["tables"].keys() == recorded["tables"].keys()
    )
    # What was made from the table that changed is told; all else is whole.
    assert set(verify.verify(kept, root).problems) <= {
        f"stale: made from another version of {path} than lies here"
    }
