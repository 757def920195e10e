"""Where the time of the default artefact goes, and how much of a job is importing.

Run `python benchmarks/run.py workflow` after `make`, which records processor, day and commit as well, or this
script alone (`[--results FOLDER] [--output PATH]`). A row is a rule: its jobs
in the run, the processor seconds of all of them (Snakemake's benchmark files), and the processor seconds
to start Python and to import what the rule's adapter imports, in a fresh process now (least of
two), for all jobs together; for a figure its notebook's process as well. The last row is the sum. Snakemake
reads the processor time of a job every few seconds: that of a short one is a lower bound.
"""

from __future__ import annotations

import argparse
import ast
import functools
import json
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd

from nonideal import files
from nonideal.reference import timings

ROOT = Path(__file__).resolve().parents[1]
# Adapters named otherwise than their rules.
ADAPTERS = {
    "compare_published": "compare_published_values",
    "provenance": "run_provenance",
    "train_float": "train",
    "train_other": "train_network",
    "train_teacher": "train_network",
}
REPEATS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", default=ROOT / "results/default", type=Path, help="folder of the run")
    parser.add_argument("--output", help="CSV file for the table")
    arguments = parser.parse_args()
    spent = timings(arguments.results / "benchmarks")
    if not spent:
        parser.error(f"{arguments.results}/benchmarks holds no times: run the workflow first (`make`)")
    rows = []
    for rule, took in spent.items():
        once = sum(map(processor_s, programs(rule)))
        jobs = len(list((arguments.results / "benchmarks" / rule).rglob("*.tsv"))) or 1
        rows.append(
            {
                "rule": rule,
                "jobs": jobs,
                "processor_s": took["processor_s"],
                "import_s": jobs * once,
            }
        )
    table = pd.DataFrame(rows).sort_values("processor_s", ascending=False, ignore_index=True)
    table.loc[len(table)] = {"rule": "all", **table.drop(columns="rule").sum()}
    print(table.round(2).to_string(index=False))
    if arguments.output:
        files.write_text(arguments.output, table.round(3).to_csv(index=False))


def programs(rule: str) -> list[str]:
    """What the processes of a rule's job import, as a program each."""
    name = "draw" if rule.startswith("figure_") else ADAPTERS.get(rule, rule)
    found = [imports((ROOT / f"scripts/{name}.py").read_text(encoding="utf-8"))]
    if name == "draw":
        notebook = json.loads((ROOT / f"notebooks/{rule}.ipynb").read_text(encoding="utf-8"))
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
        found.append("import ipykernel.kernelapp\n" + imports("\n".join(cells)))
    return found


def imports(source: str) -> str:
    """The import statements of a program; snakemake's own come first, as in its jobs."""
    kept = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(["import snakemake.script", *map(ast.unparse, kept)])


@functools.cache
def processor_s(program: str) -> float:
    """Least processor time of a fresh Python that runs a program."""
    took = []
    for _ in range(REPEATS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT / "scripts")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took)


if __name__ == "__main__":
    main()
