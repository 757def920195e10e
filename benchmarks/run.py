"""Run the benchmarks of this folder and keep their tables; `make bench`.

Each benchmark is a script of its own that prints ratios measured inside one run. Tables go to
`benchmarks/out/`, and what each was measured on (processor, cores, UTC day, commit) to `made.json` there.
`--keep` measures nothing: it copies both to `benchmarks/reference/`. Run on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import subprocess
import sys
from pathlib import Path

from nonideal import files, provenance

FOLDER = Path(__file__).parent
MADE = "made.json"
NAMED_ONLY = ("fresh",)  # sets up environments from scratch: run if named


def main() -> int:
    scripts = sorted(path for path in FOLDER.glob("*.py") if path.name != Path(__file__).name)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [path.stem for path in scripts]
    usual = [name for name in names if name not in NAMED_ONLY]
    parser.add_argument(
        "benchmark", nargs="*", help=f"which to run, of {', '.join(names)} (default: {', '.join(usual)})"
    )
    parser.add_argument("--keep", action="store_true", help="copy what was measured to benchmarks/reference")
    arguments = parser.parse_args()
    out = FOLDER / "out"
    if arguments.keep:
        keep(out, FOLDER / "reference")
        return 0
    chosen = arguments.benchmark or usual
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"no benchmark named {', '.join(unknown)}; there are {', '.join(names)}")
    out.mkdir(exist_ok=True)
    failed = []
    for name in chosen:
        print(f"== {name}", flush=True)
        table = out / f"{name}.csv"
        table.unlink(missing_ok=True)
        started = conditions()
        done = subprocess.run([sys.executable, FOLDER / f"{name}.py", "--output", table], check=False)
        if table.is_file():  # also of one that misses a target
            record(out, {name: started})
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def conditions() -> dict[str, object]:
    """What a benchmark that starts now is measured on; no name of the computer."""
    chip = provenance.processor()
    return {
        "processor": chip["model"],
        "instruction_sets": chip["instruction_sets"],
        "cores": chip["cores"],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": provenance.commit(),
    }


def record(folder: Path, entries: dict[str, dict[str, object]]) -> None:
    """Add entries to `made.json` of a folder; those of other benchmarks stay."""
    path = folder / MADE
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    files.write_text(path, json.dumps(known | entries, indent=2, sort_keys=True) + "\n")


def keep(out: Path, reference: Path) -> None:
    """Copy the tables measured, with their entries; a table without an entry is refused."""
    if not (out / MADE).exists():
        sys.exit(f"{out / MADE}: no such file; measure first with `make bench`")
    entries = json.loads((out / MADE).read_text(encoding="utf-8"))
    tables = sorted(out.glob("*.csv"))
    if strange := [path.name for path in tables if path.stem not in entries]:
        sys.exit(f"{out}: {', '.join(strange)} not in {MADE}; delete or measure with `benchmarks/run.py`")
    reference.mkdir(exist_ok=True)
    for path in tables:
        shutil.copyfile(path, reference / path.name)
    record(reference, {path.stem: entries[path.stem] for path in tables})


if __name__ == "__main__":
    sys.exit(main())
