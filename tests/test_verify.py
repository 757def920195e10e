import json

import pandas as pd
import pytest

from nonideal import manifest, provenance, tables, verify
from nonideal.__main__ import main
from nonideal.files import sha256
from nonideal.schemas.training import ACCURACY_SUMMARY

CONFIG = {"run": "r", "seed": 3}


def summary(mean=0.9):
    row = {"dataset": "digits", "method": "qat", "format": "ternary", "bits": 1.6, "seeds": 2}
    row |= {"mean": mean, "low": 0.8, "high": 0.95}
    return pd.DataFrame([row])[list(ACCURACY_SUMMARY.columns)]


def write_table(root, path="training/accuracy_summary.parquet", mean=0.9, **options):
    facts = provenance.collect(config=CONFIG, rule="accuracy", **({"code": [], "inputs": []} | options))
    tables.write(summary(mean), root / "results/r" / path, ACCURACY_SUMMARY, provenance=facts)
    return tables.facts(root / "results/r" / path)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Folder with a small run, its code and an input from elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789ab")
    for name, text in (("src/a.py", "a = 1\n"), ("config/published.csv", "x\n1\n")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    run = tmp_path / "results/r"
    for name in (
        "networks.pt",
        "model.npz",
        "firmware.elf",
        "paper.pdf",
        "a.svg",
        "a.png",
        "a.csv",
        "a.html",
    ):
        (run / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (run / "made" / name).write_bytes(bytes(range(200)))
    options = {"code": ["src/a.py"], "inputs": ["results/r/made/networks.pt", "config/published.csv"]}
    facts = write_table(tmp_path, **options)
    whole = provenance.collect(config=CONFIG, rule="provenance", code=[]) | {"config": CONFIG}
    whole["tables"] = {"results/r/training/accuracy_summary.parquet": facts}
    (run / "provenance.json").write_text(json.dumps(whole))
    for name in ("logs/a.log", "benchmarks/a.tsv", "report.zip", ".a.svg.x", "training/progress/1/a.pt"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("no result")
    manifest.write(run)
    return tmp_path


def found(root):
    report = verify.verify("results/r")
    return report.problems, report.notes


def test_a_run_that_was_left_alone_is_intact(root, capsys):
    assert found(root) == ({}, {})
    assert main(["verify", "results/r"]) == 0
    assert capsys.readouterr().out == "results/r: 10 files, 1 tables: intact\n"


def test_only_results_are_listed(root):
    listed = manifest.listed("results/r")
    assert len(listed) == 10 and listed == sorted(manifest.read("results/r"))
    assert not any("log" in path or "progress" in path or "report" in path for path in listed)


def test_a_flipped_bit_in_any_byte_of_any_file_is_found(root):
    run = root / "results/r"
    for path in manifest.listed(run):
        whole = (run / path).read_bytes()
        for place in {0, len(whole) // 3, len(whole) // 2, len(whole) - 1}:
            (run / path).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            report = verify.Report()
            verify.check_bytes(run, report)
            assert report.problems == {"altered: SHA-256 differs from the manifest": [path]}
        (run / path).write_bytes(whole)
    assert found(root) == ({}, {})


def test_a_flipped_bit_in_any_byte_of_the_manifest_is_found(root):
    path = root / "results/r/manifest.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(manifest.ManifestError):
            manifest.read(path.parent)


def test_missing_and_longer_files_and_new_ones(root, capsys):
    run = root / "results/r/made"
    (run / "a.svg").unlink()
    (run / "a.png").write_bytes(b"longer" * 100)
    (run / "new.csv").write_text("x")
    problems, notes = found(root)
    assert problems == {
        "missing: the manifest lists it": ["made/a.svg"],
        "altered: 600 bytes, 200 by the manifest": ["made/a.png"],
    }
    assert list(notes.values()) == [["made/new.csv"]]
    assert main(["verify", "results/r"]) == 1
    assert "PROBLEM made/a.svg: missing" in capsys.readouterr().out


def test_rows_that_are_not_those_written_are_found_even_under_a_new_manifest(root):
    path = root / "results/r/training/accuracy_summary.parquet"
    facts = tables.facts(path) | {"content_sha256": "0" * 64}
    tables.write(summary(), path, ACCURACY_SUMMARY, provenance=facts)
    manifest.write("results/r")
    problems, _ = found(root)
    assert any("the rows are not those that were written" in text for text in problems)
    assert any("provenance.json records another content" in text for text in problems)


def test_rows_counted_wrongly_and_tables_of_no_schema(root):
    path = root / "results/r/training/accuracy_summary.parquet"
    tables.write(summary(), path, ACCURACY_SUMMARY, provenance=tables.facts(path) | {"rows": 7})
    summary().assign(more=1).to_parquet(root / "results/r/foreign.parquet")
    manifest.write("results/r")
    problems, _ = found(root)
    assert "holds 1 rows, 7 were written" in problems
    assert any("carries no provenance" in text for text in problems)


def test_a_table_made_from_another_version_of_its_input_is_stale(root):
    (root / "results/r/made/networks.pt").write_text("trained again")
    manifest.write("results/r")
    problems, _ = found(root)
    text = "stale: made from another version of made/networks.pt than lies here"
    assert problems == {text: ["training/accuracy_summary.parquet"]}


def test_code_and_sources_that_moved_on_are_noted(root, capsys):
    (root / "src/a.py").write_text("a = 2\n")
    (root / "config/published.csv").write_text("x\n2\n")
    problems, notes = found(root)
    assert not problems
    table = ["training/accuracy_summary.parquet"]
    assert notes == {
        "stale code: src/a.py was edited since": table,
        "stale input: config/published.csv was edited since": table,
    }
    assert main(["verify", "results/r"]) == 0
    short = capsys.readouterr().out
    assert "note    1 files: stale code\n" in short and "src/a.py" not in short and "--verbose names" in short
    assert main(["verify", "--strict", "--verbose", "results/r"]) == 1
    assert "note    training/accuracy_summary.parquet: stale code: src/a.py" in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_refused_before_it_is_searched(root, capsys):
    (root / "other").mkdir()
    assert main(["verify", "other"]) == 1
    assert "other: no run of this workflow: it has neither manifest.json nor" in capsys.readouterr().out


@pytest.mark.parametrize("made", ["logs/crossbar_trials/0000.log", "tables/table_crossbar.csv"])
def test_a_run_of_a_single_target_is_told_what_makes_it_whole(tmp_path, capsys, made):
    (tmp_path / "r" / made).parent.mkdir(parents=True)
    (tmp_path / "r" / made).write_text("made by one target")
    assert main(["verify", str(tmp_path / "r")]) == 1
    said = capsys.readouterr().out
    assert "r: not a whole run yet, it has no manifest.json; `snakemake --cores all`" in said
    assert "no run of this workflow" not in said


def test_a_checkout_with_edits_is_noted(root, monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789ab-dirty")
    write_table(root)
    manifest.write("results/r")
    assert found(root)[1] == {
        "made from a checkout with uncommitted edits": ["training/accuracy_summary.parquet"]
    }


def test_bulk_that_was_left_out_is_no_contradiction(root):
    (root / "results/r/made/networks.pt").unlink()
    manifest.write("results/r")
    assert found(root) == ({}, {})


def test_provenance_that_contradicts_itself_or_the_tables(root):
    path = root / "results/r/provenance.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(whole | {"config": CONFIG | {"seed": 4}}))
    manifest.write("results/r")
    assert "the configuration in it does not have the hash it states" in found(root)[0]
    path.write_text(json.dumps(whole | {"config_sha256": "0" * 64, "config": CONFIG}))
    manifest.write("results/r")
    assert any("earlier configuration" in text for text in found(root)[1])
    other = CONFIG | {"seed": 4}
    path.write_text(json.dumps(whole | {"config_sha256": provenance.config_hash(other), "config": other}))
    manifest.write("results/r")
    assert "made with seed 3, the run has 4" in found(root)[0]
    path.write_text("{}")
    manifest.write("results/r")
    assert any("no readable provenance of a run" in text for text in found(root)[0])


def test_without_a_manifest_or_a_run(root, capsys):
    (root / "results/r/manifest.json").unlink()
    assert main(["verify", "results/r"]) == 1
    assert "no manifest; it is the last file of a whole run" in capsys.readouterr().out
    assert main(["verify", "results/none"]) == 1
    assert "no such folder" in capsys.readouterr().out


def test_collected_facts_hold_the_chain(root):
    facts = tables.facts("results/r/training/accuracy_summary.parquet")
    assert facts["inputs"]["config/published.csv"] == sha256("config/published.csv")
    assert facts["code"] == {"src/a.py": sha256("src/a.py")[:16]}
    assert facts["code_sha256"] == provenance.code_hash(["src/a.py"])
