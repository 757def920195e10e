import json
import os
import platform
import subprocess
import sys

import pandas as pd
import torch

from nonideal import provenance, tables
from nonideal.schemas.crossbar import TERNARISATION_SUMMARY

CONFIG = {"run": "r", "seed": 3, "b": {"x": 1, "y": [1, 2]}}


def test_hash_ignores_the_order_of_keys_and_sees_values():
    same = {"b": {"y": [1, 2], "x": 1}, "seed": 3, "run": "r"}
    assert provenance.config_hash(CONFIG) == provenance.config_hash(same)
    assert provenance.config_hash(CONFIG) != provenance.config_hash(CONFIG | {"seed": 4})


def test_facts_are_complete_and_json():
    facts = provenance.collect(config=CONFIG, rule="a", params={"k": 1})
    assert json.loads(json.dumps(facts)) == facts
    assert facts["run"] == "r" and facts["seed"] == 3 and facts["params"] == {"k": 1}
    assert facts["packages"]["numpy"].count(".") == 2
    assert len(facts["code_sha256"]) == 64


def test_the_hash_of_code_sees_names_contents_and_where_a_file_ends(tmp_path):
    def hashed(**contents):
        paths = [tmp_path / f"{name}.py" for name in contents]
        for path, text in zip(paths, contents.values(), strict=True):
            path.write_text(text)
        return {provenance.code_hash(order) for order in (paths, paths[::-1])}

    different = [hashed(a="x", b="y"), hashed(a="y", b="x"), hashed(a="x", c="y"), hashed(a="xb", b="y")]
    assert all(len(found) == 1 for found in different)  # in any order
    assert len(set.union(*different)) == 4


def test_commit_is_gits(root):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    expected = head.stdout.strip()[:12] if head.returncode == 0 else "unknown"
    assert provenance.commit().removesuffix("-dirty") == expected


def test_edits_of_sources_make_a_checkout_dirty_and_new_results_do_not(tmp_path, monkeypatch):
    def git(*arguments):
        names = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "src/package").mkdir(parents=True)
    (tmp_path / "results").mkdir()
    code, table = tmp_path / "src/code.py", tmp_path / "results/table.csv"
    for path in (code, table):
        path.write_text("a")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        git(*arguments)
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "src/package")
    commit = provenance.commit.__wrapped__  # each time anew
    clean = commit()
    assert len(clean) == 12 and not clean.endswith("-dirty")
    table.write_text("b")
    assert commit() == clean
    code.write_text("b")
    assert commit() == f"{clean}-dirty"
    git("add", ".")
    assert commit() == f"{clean}-dirty"  # staged is not committed
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path.parent)
    assert commit() == "unknown"


def test_processor_is_named_and_the_computer_is_not(tmp_path, monkeypatch):
    lines = [
        "processor\t: 0",
        "model name\t: Some CPU 9000 @ 2 GHz",
        "flags\t\t: fpu avx2 avx512f avx512_bf16",
    ]
    (tmp_path / "cpuinfo").write_text("\n".join(lines + lines) + "\n")
    monkeypatch.setattr(provenance, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(provenance, "_chip", provenance._chip.__wrapped__)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    found = provenance.collect(config=CONFIG, rule="a")["processor"]
    assert found == {
        "model": "Some CPU 9000 @ 2 GHz",
        "instruction_sets": ["avx2", "avx512f", "avx512_bf16"],
        "cores": os.cpu_count(),
    }
    assert "torch" not in sys.modules  # not imported for this
    monkeypatch.setattr(provenance, "CPUINFO", tmp_path / "missing")
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert provenance.processor() | {"cores": 1} == {"model": "unknown", "instruction_sets": [], "cores": 1}


def test_a_table_says_how_pytorch_computed_when_it_was_written(tmp_path):
    frame = pd.DataFrame(
        {"weights": ["ternary"], "mean": [0.4], "std": [0.1], "sem": [0.01], "trials": [100]}
    )
    early = provenance.collect(config=CONFIG, rule="a", code=[]) | {"processor": {"model": "collected early"}}
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        tables.write(frame, tmp_path / "t.parquet", TERNARISATION_SUMMARY, provenance=early)
    finally:
        torch.set_num_threads(before)
    found = tables.facts(tmp_path / "t.parquet")["processor"]
    assert found["torch_threads"] == 1
    assert found["torch_capability"] == torch.backends.cpu.get_cpu_capability()
    assert tables.entry(tmp_path / "t.parquet")["processor"] == found["model"]
    # Tables of earlier versions do not name it.
    early.pop("processor")
    tables.write(frame, tmp_path / "t.parquet", TERNARISATION_SUMMARY, provenance=early)
    assert tables.entry(tmp_path / "t.parquet")["processor"] is None


def test_the_hash_of_the_library_is_over_its_folders_too(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("a = 1")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    before = provenance.code_hash()
    (tmp_path / "inner/b.py").write_text("b = 1")
    assert provenance.code_hash() != before
