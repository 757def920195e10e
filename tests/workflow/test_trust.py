"""What a reader can check about a run, and what must not change its rows."""

import ast
import csv
import json
import os

import pytest
import yaml
from snakemake_project import TINY, Project

from nonideal import manifest, tables, verify
from nonideal.__main__ import main
from nonideal.schemas.registry import declared

pytestmark = pytest.mark.workflow


def contents(project, folder):
    """Content hash of every table below a folder of the run, of shards the hash of them together."""
    found, parts = {}, {}
    for path in sorted(project.result(folder).rglob("*.parquet")):
        if path.name.startswith("part-"):
            parts.setdefault(path.parent, []).append(path)
        else:
            found[path.relative_to(project.folder)] = tables.facts(path)["content_sha256"]
    for place, paths in parts.items():
        schema = declared(tables.facts(paths[0])["table"])
        found[place.relative_to(project.folder)] = tables.content_hash(tables.read(paths, schema))
    return found


def test_rows_do_not_depend_on_shards_or_cores(tiny, tmp_path):
    # Chips have their test beside the library: their shards hold whole groups, and two chips are one.
    studies = [name for name, section in TINY.items() if isinstance(section, dict) and "shards" in section]
    assert "crossbar" in studies
    # With what Numba compiled for the finished run: it holds for files of the same age.
    other = Project(tiny.folder, tmp_path / "other", left_out="*.pyc")
    for shards, cores in ((5, 1), (1, 2)):  # the tiny run itself has two shards and two cores
        sharded = {study: TINY[study] | {"shards": shards} for study in studies}
        (other.folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | sharded))
        other.snakemake(*studies, cores=cores)
        assert len(list(other.result("crossbar/trials").glob("part-*.parquet"))) == shards
        for study in studies:
            assert contents(other, study) == contents(tiny, study)


def test_the_run_is_intact_and_its_manifest_whole(tiny):
    assert "tiny: " in tiny.snakemake("verify")
    report = verify.verify(tiny.result(""), tiny.folder)
    assert not report.problems and not report.notes.keys() - {"made from a checkout with uncommitted edits"}
    assert report.tables == len(list(tiny.result("").rglob("*.parquet")))
    suffixes = {path.rsplit(".", 1)[-1] for path in manifest.read(tiny.result(""))}
    assert {"parquet", "csv", "svg", "pdf", "png", "html", "ipynb", "pt", "elf", "npz", "json"} <= suffixes


def test_every_table_names_what_it_was_made_from(tiny):
    for path in tiny.result("").rglob("*.parquet"):
        facts = tables.facts(path)
        assert "scripts/adapter.py" in facts["code"] and "src/nonideal/tables.py" in facts["code"], path
    summary = tables.facts(tiny.result("crossbar/summary.parquet"))
    assert "results/tiny/crossbar/trials/part-0001.parquet" in summary["inputs"]


def test_a_flipped_bit_in_any_artefact_is_found(tiny):
    run = tiny.result("")
    listed = list(manifest.listed(run))
    assert len(listed) > 300
    for chosen in ([path] for path in listed[::40]):  # one alone, here and there
        assert problems_with_flipped(run, chosen) == chosen
    assert problems_with_flipped(run, listed) == sorted(listed)
    assert problems_with_flipped(run, []) == []


def problems_with_flipped(run, paths):
    """Files that are found altered while a bit of each of these is flipped."""
    before = {path: ((run / path).read_bytes(), (run / path).stat()) for path in paths}
    try:
        for number, (path, (whole, _)) in enumerate(before.items(), start=1):
            place = (7919 * number) % len(whole)
            (run / path).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        report = verify.Report()
        verify.check_bytes(run, report)
    finally:
        for path, (whole, stat) in before.items():
            (run / path).write_bytes(whole)
            restore_time(run / path, stat)
    return sorted(path for found in report.problems.values() for path in found)


def test_verify_does_not_make_an_altered_file_again(tiny):
    path = tiny.result("figures/figure_4a.csv")
    whole, stat = path.read_bytes(), path.stat()
    path.write_bytes(whole.replace(b"1", b"2"))
    try:
        assert "figure_4a.csv: altered" in tiny.snakemake("verify", fails=True)
        assert path.read_bytes() != whole
    finally:
        path.write_bytes(whole)
        restore_time(path, stat)
    assert tiny.due() == set()


def restore_time(path, stat):
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_rules_declare_the_memory_and_time_they_take(tiny):
    benchmarks = list(tiny.result("benchmarks").rglob("*.tsv"))
    assert len(benchmarks) > 20
    for path in benchmarks:
        with path.open(newline="", encoding="utf-8") as file:
            (row,) = csv.DictReader(file, delimiter="\t")
        resources = ast.literal_eval(row["resources"])
        assert float(row["s"]) < 60 * resources["runtime"], path
        if row["max_rss"] not in ("-", "NA"):
            assert float(row["max_rss"]) < resources["mem_mb"], path


def test_the_bill_of_materials_is_an_artefact(tiny):
    bill = json.loads(tiny.result("sbom.json").read_text())
    assert "torch" in {component["name"] for component in bill["components"]}
    assert "torch," in tiny.result("licences.csv").read_text()


def test_status_of_a_finished_run(tiny, capsys, monkeypatch):
    monkeypatch.chdir(tiny.folder)
    assert main(["status", "results/tiny"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert ", 0 running, 0 interrupted, 0 failed" in line and "results/tiny: 0 done" not in line
