"""The committed reference: tables, figures, paper and provenance of a run, without its bulk.

It has a manifest of its own, so that ``nonideal verify results/reference`` checks what a checkout holds.

``python -m nonideal.reference results/reduced results/reference`` replaces the second folder. With
``--add 'spiking/*.parquet' 'tables/table_snn*.csv'`` it adds these files of a run that need not be whole: one
track after the other, and the comparison with the publications is made anew from the tables that are there.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml
from snakemake.utils import update_config

from nonideal import compare, imports, manifest, provenance, scales, show, tables
from nonideal.files import atomic, sha256, write_text
from nonideal.published import read_published
from nonideal.schemas.crossbar import TRIALS
from nonideal.schemas.published import ANSWERED, COMPARISON
from nonideal.schemas.registry import declared

ROOT = Path(__file__).parents[2]

# Worth reading and small, and the networks that take hours. Trials of the crossbar, programs and other
# networks stay out: a command makes them again. From the tables of each job `restore` knows what it was of.
KEPT = (
    "index.html",
    "provenance.json",
    "sbom.json",
    "licences.csv",
    "paper.pdf",
    "compare_published.parquet",
    "crossbar/*.parquet",
    "training/**/*.parquet",
    "firmware/**/*.parquet",
    "capacity/*.parquet",
    "quantscale/*.parquet",
    "cnn/**/*.parquet",
    "flash/**/*.parquet",
    "networks/**/*.parquet",
    "networks/**/network.pt",
    "regularised/**/*.parquet",
    "spiking/**/*.parquet",
    "fpga/**/*.parquet",
    "fpga/**/nextpnr.log",
    "fpga/**/pins.pcf",
    "fpga/**/cells.json",
    "tables/*.csv",
    "tables/*.html",
    "figures/*.svg",
    "figures/*.png",
    "figures/*.pdf",
    "figures/*.csv",
    "figures/*.html",
)
TEACHERS = "networks/teachers/*/network.pt"  # wide, so large, and of use only beside those that they teach
OTHERS = "networks/others/*/history.parquet"
REPORT = "report.zip"  # made by ``snakemake --report`` when a run is whole, so its manifest does not list it
COMPARED = "compare_published.parquet"
PAPER, PROVENANCE = "paper.pdf", "provenance.json"
CROSSBAR_TRIALS = "crossbar/trials"
LIMIT_BYTES = 40_000_000  # of everything committed below results/reference


def copy(run: Path, reference: Path) -> list[Path]:
    """Replace `reference` by the parts of `run` worth keeping; return the files copied.

    Raises
    ------
    FileNotFoundError
        If the run lacks a part; the reference is left as it was.
    ValueError
        If a part is not as the run's manifest lists it, or the parts together are too large to commit.
    """
    files, left_out = [], {*run.glob(TEACHERS), *_superseded(run)}
    for pattern in KEPT:
        found = sorted(set(run.glob(pattern)) - left_out)
        if not found:
            raise FileNotFoundError(f"{run / pattern}: nothing there; build the run first with snakemake")
        files += found
    _check(run, files)
    if not (report := run / REPORT).exists():
        raise FileNotFoundError(f"{report}: make it first with snakemake --report {report}")
    files.append(report)
    if (size := sum(path.stat().st_size for path in files)) > LIMIT_BYTES:
        raise ValueError(f"{run}: the parts to keep take {size} bytes, more than {LIMIT_BYTES}")
    reference.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=reference.parent) as folder:
        fresh = Path(folder) / "fresh"
        for path in files:
            target = fresh / path.relative_to(run)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        text = json.dumps(timings(run / "benchmarks"), indent=2, sort_keys=True) + "\n"
        (fresh / "timings.json").write_text(text, encoding="utf-8")
        seal(fresh)
        _swap(fresh, reference, Path(folder) / "old")
    return files


def _superseded(run: Path) -> set[Path]:
    """Networks that another of their architecture goes on from, which is kept: there is no room for both."""
    settings = {path.parent: tables.facts(path)["params"]["settings"] for path in run.glob(OTHERS)}
    goes_on = {(own["start"], own["architecture"]) for own in settings.values()}
    return {
        folder / "network.pt"
        for folder, own in settings.items()
        if (folder.name, own["architecture"]) in goes_on
    }


def _swap(fresh: Path, reference: Path, old: Path) -> None:
    """Move `reference` to `old` and `fresh` to its place; after an interruption in between, back again."""
    try:
        if reference.exists():
            reference.replace(old)
        fresh.replace(reference)
    except BaseException:
        if old.exists() and not reference.exists():
            old.replace(reference)
        raise


def add(run: Path, reference: Path, patterns: Sequence[str]) -> list[Path]:
    """Add files of one track of a run to the reference; return the files copied.

    Parameters
    ----------
    run
        Folder of the run, which need not be whole.
    reference
        Folder to add to; its other files stay.
    patterns
        What to add, relative to the run.

    Raises
    ------
    FileNotFoundError
        If a pattern matches nothing; the reference is left as it was.
    nonideal.tables.TableError
        If a table is damaged.
    """
    files = []
    for pattern in patterns:
        found = sorted(path for path in run.glob(pattern) if path.is_file())
        if not found:
            raise FileNotFoundError(f"{run / pattern}: nothing there; build it first with snakemake")
        files += found
    if run / PAPER in files and not (run / PROVENANCE).exists():
        raise FileNotFoundError(f"{run / PROVENANCE}: a paper goes with it; build it first with snakemake")
    for path in files:
        if path.suffix == ".parquet":
            tables.read(path, declared(tables.facts(path)["table"]))
    for path in files:
        with atomic(reference / path.relative_to(run)) as temporary:
            shutil.copyfile(path, temporary)
    known = reference / "timings.json"
    spent = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {}
    text = json.dumps(spent | timings(run / "benchmarks"), indent=2, sort_keys=True) + "\n"
    write_text(known, text)
    if (reference / COMPARED).exists():
        compare_again(run, reference)
        _record(run, reference, [path.relative_to(run) for path in files])
    seal(reference)
    return files


def seal(reference: Path) -> None:
    """Write the manifest of a reference; here it lists Snakemake's report, which no longer changes."""
    manifest.write(reference, also=[REPORT] if (reference / REPORT).exists() else [])


def _record(run: Path, reference: Path, added: Sequence[Path]) -> None:
    """Bring what the reference's provenance records up to date: its tables, and the run its paper is of."""
    path = reference / PROVENANCE
    whole = json.loads(path.read_text(encoding="utf-8"))
    top = f"results/{whole['run']}/"
    names = {name.removeprefix(top) for name in whole["tables"]}
    names |= {name.as_posix() for name in added if name.suffix == ".parquet"}
    if Path(PAPER) in added:
        whole = json.loads((run / PROVENANCE).read_text(encoding="utf-8"))
    whole["tables"] = {
        top + name: tables.entry(reference / name) for name in sorted(names) if (reference / name).exists()
    }
    write_text(path, json.dumps(whole, indent=2, sort_keys=True) + "\n")


def _as_before(frame: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Comparison with the crossbar's values and verdicts of an earlier one, where that has them."""
    key, values = ["track", "figure", "quantity"], ["ours", "interval", "difference", "verdict"]
    crossbar = before.loc[(before["track"] == "crossbar") & before["verdict"].isin(ANSWERED)]
    crossbar = crossbar.set_index(key)[values]
    frame = frame.set_index(key)
    frame.update(crossbar)
    return frame.reset_index()[list(COMPARISON.columns)]


def compare_again(run: Path, reference: Path, *, root: Path = ROOT) -> pd.DataFrame:
    """Compare the tables of the reference with the publications once more; return the comparison.

    Intervals of the crossbar's ratios need its trials, which the reference lacks: where the run has none
    either, the values made with them stay as they were.

    Parameters
    ----------
    run
        Folder of a run; its name says which configuration in ``config/`` describes its scale.
    reference
        Folder of the reference.
    root
        Top folder of the checkout.
    """
    listed = root / "config/published.csv"
    published = read_published(listed)
    paths = {name: reference / name for name in sorted(set(published["table"]) - {""})}
    paths = {name: path for name, path in paths.items() if path.exists()}
    ours = {name: tables.read(path, declared(tables.facts(path)["table"])) for name, path in paths.items()}
    config = _configuration(root, run.name)
    shards = sorted((run / CROSSBAR_TRIALS).glob("part-*.parquet"))
    trials = {"crossbar/summary.parquet": tables.read(shards, TRIALS)} if shards else None
    frame = compare.compare(published, ours, scales.describe(config), trials)
    if trials is None:
        frame = _as_before(frame, pd.read_parquet(reference / COMPARED))
    facts = provenance.collect(
        config=config,
        rule="compare_published_values",
        inputs=[listed, *paths.values()],
        code=imports.behind(root / "scripts/compare_published_values.py"),
    )
    # As in tables of the workflow, whose paths are those from the top folder.
    for part in ("inputs", "code"):
        facts[part] = {name.removeprefix(f"{root}/"): digest for name, digest in facts[part].items()}
    forms = {
        "compared": COMPARED,
        "compared_csv": "tables/compare_published.csv",
        "compared_html": "tables/compare_published.html",
    }
    outputs = {name: reference / path for name, path in forms.items()}
    show.write({"compared": (frame, COMPARISON)}, outputs, provenance=facts)
    return tables.read(reference / COMPARED, COMPARISON)


def _configuration(root: Path, run: str) -> dict:
    """Configuration of a run: the default, and on top of it the file named after the run if there is one."""
    config = yaml.safe_load((root / "config/config.yaml").read_text(encoding="utf-8"))
    if (path := root / f"config/{run}.yaml").exists():
        update_config(config, yaml.safe_load(path.read_text(encoding="utf-8")))
    return config


def _check(run: Path, files: list[Path]) -> None:
    """Refuse to keep a file that changed since the run was whole."""
    entries = manifest.read(run)
    for path in files:
        entry = entries.get(path.relative_to(run).as_posix())
        if entry is None or entry["sha256"] != sha256(path):
            raise ValueError(
                f"{path}: not as {run / manifest.NAME} lists it; build the run again with snakemake"
            )


def timings(folder: Path) -> dict[str, dict[str, float]]:
    """What each rule's jobs took, from Snakemake's benchmark files.

    Wall-clock and processor seconds of all jobs together; of the largest job, its memory (resident set, in
    MB) and its wall-clock seconds: what the rule's ``mem_mb`` and ``runtime`` must allow for. Of a job
    shorter than Snakemake's sampling interval neither memory nor processor time is measured: it counts with
    its wall-clock seconds and no memory.

    Parameters
    ----------
    folder
        Folder of a run's ``.tsv`` files: one a rule, or one a job in a folder named after the rule.
    """
    seconds: dict[str, dict[str, float]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        spent = seconds.setdefault(path.relative_to(folder).parts[0].removesuffix(".tsv"), {})
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                wall = float(row["s"])
                for name, value in (("wall_s", wall), ("processor_s", _measured(row["cpu_time"], wall))):
                    spent[name] = round(spent.get(name, 0.0) + value, 2)
                for name, value in (("longest_s", wall), ("memory_mb", _measured(row["max_rss"], 0.0))):
                    spent[name] = max(spent.get(name, 0.0), value)
    return seconds


def _measured(text: str, otherwise: float) -> float:
    """Number in a benchmark file; `otherwise` where Snakemake measured none."""
    return otherwise if text in ("-", "NA") else float(text)


def main() -> None:
    """Copy a run named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run, for instance results/reduced")
    parser.add_argument("reference", type=Path, help="folder to replace, for instance results/reference")
    parser.add_argument(
        "--add", nargs="+", metavar="PATTERN", help="add these files only, and leave the others as they are"
    )
    arguments = parser.parse_args()
    try:
        if arguments.add:
            files = add(arguments.run, arguments.reference, arguments.add)
        else:
            files = copy(arguments.run, arguments.reference)
    except (OSError, ValueError, tables.TableError) as error:
        parser.exit(1, f"{error}\n")
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
