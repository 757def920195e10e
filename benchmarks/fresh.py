"""Minutes that `make` and `make test` take in a fresh clone, setting up the environment included.

Run `python benchmarks/run.py fresh` (it is run if named only), or this script with the command to measure
again alone. Each command gets a clone of this checkout's last commit in a folder of its own; packages are
downloaded, or come from the installer's cache. Rows: the command, its wall-clock minutes, the commit. The
times of the jobs of `make` stay in `benchmarks/out/fresh/`; where they went says `benchmarks/workflow.py
--results benchmarks/out/fresh`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pandas as pd

from nonideal import files, provenance

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("make", "make test")
TIMES = Path("results/default/benchmarks")
KEPT = ROOT / "benchmarks/out/fresh"
# Of the environment this script runs in, which the clones must not see.
OWN = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")


def minutes(command: str, checkout: Path) -> float:
    """Wall-clock minutes of a command in a fresh clone."""
    outside = {name: value for name, value in os.environ.items() if name not in OWN}
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", checkout, clone], check=True)
        start = time.monotonic()
        subprocess.run(shlex.split(command), cwd=clone, env=outside, check=True)
        took = (time.monotonic() - start) / 60
        if (clone / TIMES).is_dir():
            shutil.rmtree(KEPT, ignore_errors=True)
            shutil.copytree(clone / TIMES, KEPT / "benchmarks")
        return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", default=COMMANDS, help=f"default: {', '.join(COMMANDS)}")
    parser.add_argument("--output", help="CSV file for the table; its rows of other commands stay")
    arguments = parser.parse_args()
    rows = []
    for command in arguments.commands:
        commit = provenance.commit()[:7]  # edits that are not committed are not cloned
        rows.append({"command": command, "minutes": minutes(command, ROOT), "commit": commit})
    table = pd.DataFrame(rows)
    if arguments.output and Path(arguments.output).exists():
        known = pd.read_csv(arguments.output)
        table = pd.concat([known[~known["command"].isin(table["command"])], table], ignore_index=True)
    print(table.round(1).to_string(index=False))
    if arguments.output:
        files.write_text(arguments.output, table.round(1).to_csv(index=False))


if __name__ == "__main__":
    main()
