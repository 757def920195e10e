"""What the benchmarks record of where and when they ran, and what they judge; none of them measures here."""

import importlib.util
import json
import subprocess

import pandas as pd
import pytest

from nonideal import provenance, readme_speed


@pytest.fixture
def script(root, monkeypatch):
    """A script of the folder of benchmarks as a module."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", root / f"benchmarks/{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


WRITES = "import sys; open(sys.argv[2], 'w').write('a\\n1\\n')"


@pytest.fixture
def bench(script, tmp_path, monkeypatch):
    """Run the benchmarks of a folder: one that works, one that misses a target, one that breaks."""
    module = script("run")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    for name, text in (("good", WRITES), ("slow", f"{WRITES}; sys.exit(1)"), ("broken", "1 / 0")):
        (tmp_path / f"{name}.py").write_text(text)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["run.py", *arguments])
        return module.main()

    return run


def test_a_table_says_on_what_and_when_it_was_measured(bench, tmp_path):
    assert bench("good") == 0 and bench("slow", "broken") == 2
    made = json.loads((tmp_path / "out/made.json").read_text())
    assert set(made) == {"good", "slow"}  # one that breaks leaves no table
    entry = made["good"]
    assert entry["commit"] == provenance.commit() and entry["cores"] >= 1
    assert entry["processor"] == provenance.processor()["model"] and len(entry["date"]) == 10
    assert set(entry) == {"processor", "instruction_sets", "cores", "date", "commit"}


def test_what_was_measured_is_kept_with_what_it_was_measured_on(bench, tmp_path):
    with pytest.raises(SystemExit, match=r"made\.json: no such file; measure first"):
        bench("--keep")
    bench("good")
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference/made.json").write_text('{"other": {"date": "2026-01-02"}}')
    assert bench("--keep") == 0
    assert (tmp_path / "reference/good.csv").read_text() == "a\n1\n"
    assert set(json.loads((tmp_path / "reference/made.json").read_text())) == {"good", "other"}
    (tmp_path / "out/typed.csv").write_text("a\n2\n")
    with pytest.raises(SystemExit, match=r"typed\.csv not in made\.json"):
        bench("--keep")


def test_the_committed_tables_say_on_what_they_were_measured(root):
    folder = root / "benchmarks/reference"
    names = [path.stem for path in folder.glob("*.csv")]
    said = readme_speed.measured(folder, names)
    assert all(f"`{name}`" in said for name in names)
    with pytest.raises(
        ValueError, match=r"made\.json: no entry for unknown; measure with benchmarks/run\.py"
    ):
        readme_speed.measured(folder, ["crossbar", "unknown"])


def test_minutes_of_a_fresh_clone(script, tmp_path):
    checkout = tmp_path / "checkout"
    names = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (
        ["init", "-q", checkout],
        ["-C", checkout, *names, "commit", "-q", "--allow-empty", "-m", "a"],
    ):
        subprocess.run(["git", *arguments], check=True)
    fresh = script("fresh")
    assert 0 < fresh.minutes("git -C . status", checkout) < 1
    with pytest.raises(subprocess.CalledProcessError):
        fresh.minutes("git no-such-command", checkout)


def test_targets_of_cycles_are_judged_on_the_data_they_are_meant_for(script):
    mcu = script("mcu")
    row = {"format": "4bitsym", "kernel": "fast", "cycles": 122_837.0, "ratio": 5.8, "images_per_s": 1000.0}
    assert mcu.judge(pd.DataFrame([row | {"data": "digits"}])) == []
    assert mcu.judge(pd.DataFrame([row | {"data": "mnist"}])) == ["4bitsym: 122837 cycles, target 80000"]


def test_a_fresh_clone_leaves_the_times_of_its_jobs(script, tmp_path, monkeypatch):
    source, kept = tmp_path / "source", tmp_path / "kept"
    source.mkdir()
    job = "mkdir -p results/default/benchmarks/train; cp new results/default/benchmarks/train/4bit.tsv"
    (source / "Makefile").write_text(f'all:\n\ttest -z "$$PYTHONPATH"\n\t{job}\n')
    (source / "new").write_text("s\n1\n")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        user = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *user, *command], cwd=source, check=True)
    (kept / "benchmarks/old").mkdir(parents=True)
    fresh = script("fresh")
    monkeypatch.setattr(fresh, "KEPT", kept)
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert 0 < fresh.minutes("make", source) < 1
    assert [path.relative_to(kept).as_posix() for path in kept.rglob("*.tsv")] == [
        "benchmarks/train/4bit.tsv"
    ]
    assert not (kept / "benchmarks/old").exists()


def test_one_command_is_measured_again_and_the_other_row_stays(script, tmp_path, monkeypatch):
    fresh = script("fresh")
    monkeypatch.setattr(fresh, "minutes", lambda command, _: 9.04 if command == "make test" else 14.2)
    table = tmp_path / "fresh.csv"
    monkeypatch.setattr("sys.argv", ["fresh.py", "--output", str(table)])
    fresh.main()
    table.write_text(table.read_text().replace(provenance.commit()[:7], "0123abc"))
    monkeypatch.setattr("sys.argv", ["fresh.py", "make test", "--output", str(table)])
    fresh.main()
    assert pd.read_csv(table).to_dict("records") == [
        {"command": "make", "minutes": 14.2, "commit": "0123abc"},
        {"command": "make test", "minutes": 9.0, "commit": provenance.commit()[:7]},
    ]
