"""Verify a run: whether every file holds what was written, and the parts belong together.

Problems (the exit status is 1): a file that was altered or is missing; a table that does not fit its schema,
or whose rows are not those that were written; a table made from another version of its inputs than lies here.

Notes (the exit status stays 0): tables made by other code, from other sources or under another configuration
than those of this checkout, and files the manifest does not know. They say that the checkout has moved on.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nonideal import files, manifest, tables
from nonideal.provenance import SHORT, config_hash
from nonideal.schemas.registry import TABLES

EXAMPLE = "nonideal verify results/reference"

SHOWN = 3  # paths named in one line of the report


@dataclass
class Report:
    """What was found.

    Attributes
    ----------
    problems, notes
        By what is said about them: the files it is said of.
    files, tables
        How many were checked.
    """

    problems: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    files: int = 0
    tables: int = 0

    def problem(self, text: str, path: str) -> None:
        """Something that should not be."""
        self.problems.setdefault(text, []).append(path)

    def note(self, text: str, path: str) -> None:
        """Something worth knowing."""
        self.notes.setdefault(text, []).append(path)

    def lines(self, *, verbose: bool = True) -> Iterator[str]:
        """The report, problems first; notes one by one, or counted by their kind."""
        for text, paths in self.problems.items():
            yield f"{'PROBLEM':8}{', '.join(paths)}: {text}"
        if not verbose:
            kinds: dict[str, set[str]] = {}
            for text, paths in self.notes.items():
                kinds.setdefault(text.split(":")[0], set()).update(paths)
            yield from (f"{'note':8}{len(paths)} files: {kind}" for kind, paths in kinds.items())
            if kinds:
                yield f"{'':8}--verbose names them"
            return
        for text, paths in self.notes.items():
            # A note can hold for every table.
            more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
            yield f"{'note':8}{', '.join(paths[:SHOWN])}{more}: {text}"


def verify(run: str | os.PathLike[str], root: str | os.PathLike[str] = ".") -> Report:
    """Check a run's folder.

    Parameters
    ----------
    run
        Folder of the run, for instance ``results/default``.
    root
        Folder the run was made in: code and inputs outside the run are looked for there.
    """
    run, root = Path(run), Path(root)
    report = Report()
    check_bytes(run, report)
    facts = {}
    for path in manifest.listed(run):
        if path.endswith(".parquet") and (found := _check_table(run, path, report)):
            facts[path] = found
    report.tables = len(facts)
    _check_provenance(run, facts, report)
    _check_chain(run, root, facts, report)
    return report


def check_bytes(run: Path, report: Report) -> None:
    """Compare every file with the manifest, and the manifest with its own checksum."""
    try:
        entries = manifest.read(run)
    except manifest.ManifestError as error:
        report.problem(str(error), manifest.NAME)
        return
    report.files = len(entries)
    for path, entry in entries.items():
        if not (run / path).is_file():
            report.problem("missing: the manifest lists it", path)
        elif (size := (run / path).stat().st_size) != entry["bytes"]:
            report.problem(f"altered: {size} bytes, {entry['bytes']} by the manifest", path)
        elif files.sha256(run / path) != entry["sha256"]:
            report.problem("altered: SHA-256 differs from the manifest", path)
    for path in manifest.listed(run):
        if path not in entries:
            report.note("not in the manifest: newer than it, or not of this run", path)


def _check_table(run: Path, path: str, report: Report) -> dict[str, Any] | None:
    """Check schema, rows and content of a table; return the facts written with it."""
    try:
        facts = tables.facts(run / path)
        name = facts.get("table")
        if name not in TABLES:
            report.note(f"holds a table {name!r} that this version of the program does not know", path)
            return facts
        frame = tables.read(run / path, TABLES[name])
    except tables.TableError as error:
        report.problem(str(error), path)
        return None
    if len(frame) != facts.get("rows"):
        report.problem(f"holds {len(frame)} rows, {facts.get('rows')} were written", path)
    elif tables.content_hash(frame) != facts.get("content_sha256"):
        report.problem("the rows are not those that were written: their hash differs", path)
    return facts


def _check_provenance(run: Path, facts: Mapping[str, dict[str, Any]], report: Report) -> None:
    """Compare the run's provenance with itself and with its tables."""
    path = run / "provenance.json"
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        config, recorded, stated = whole["config"], whole["tables"], whole["config_sha256"]
        entries = {_inside(name, whole["run"]): entry["content_sha256"] for name, entry in recorded.items()}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        report.problem(
            f"no readable provenance of a run ({type(error).__name__}: {error}); build it with snakemake",
            path.name,
        )
        return
    if config_hash(config) != stated:
        report.problem("the configuration in it does not have the hash it states", path.name)
    for table, content in entries.items():
        if table in facts and facts[table].get("content_sha256") != content:
            report.problem(f"{path.name} records another content: one of the two is older", table)
    for table, found in facts.items():
        if "seed" in found and found["seed"] != config.get("seed"):
            report.problem(f"made with seed {found['seed']}, the run has {config.get('seed')}", table)
        if found.get("config_sha256") != stated:
            report.note("made under an earlier configuration: its other keys may differ", table)


def _check_chain(run: Path, root: Path, facts: Mapping[str, dict[str, Any]], report: Report) -> None:
    """Compare what every table was made from with what lies here."""
    seen: dict[Path, str | None] = {}

    def hash_of(path: Path) -> str | None:
        if path not in seen:
            seen[path] = files.sha256(path) if path.is_file() else None
        return seen[path]

    for table, found in facts.items():
        for source, recorded in _strings(found.get("code")):
            if (here := hash_of(root / source)) and here[:SHORT] != recorded:
                report.note(f"stale code: {source} was edited since", table)
        for source, recorded in _strings(found.get("inputs")):
            inside = _inside(source, found.get("run"))
            here = hash_of(run / inside if inside else root / source)
            if here is None or here == recorded:
                continue  # bulk that the reference does not keep is no contradiction
            if inside:
                report.problem(f"stale: made from another version of {inside} than lies here", table)
            else:
                report.note(f"stale input: {source} was edited since", table)
        if str(found.get("commit", "")).endswith("-dirty"):
            report.note("made from a checkout with uncommitted edits", table)


def _strings(entries: object) -> list[tuple[str, str]]:
    """Items of a dictionary of texts; none of anything else, such as tables that are older than it."""
    return list(entries.items()) if isinstance(entries, dict) else []


def _inside(path: str, run: object) -> str | None:
    """Path relative to the run's folder, or None if it lies elsewhere."""
    prefix = f"results/{run}/"
    return path.removeprefix(prefix) if path.startswith(prefix) else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="results/RUN", help="folder of a run")
    parser.add_argument("--strict", action="store_true", help="count notes as problems")
    parser.add_argument("--verbose", action="store_true", help="name the files that notes are about")


def run(arguments: argparse.Namespace) -> int:
    """Verify the runs named on the command line; 1 if there is a problem."""
    return max(show(folder, strict=arguments.strict, verbose=arguments.verbose) for folder in arguments.runs)


def show(folder: str | os.PathLike[str], *, strict: bool = False, verbose: bool = False) -> int:
    """Verify one run and print the report; 1 if there is a problem, else 0."""
    if not Path(folder).is_dir():
        print(f"PROBLEM {folder}: no such folder; build the run with snakemake")
        return 1
    if not any((Path(folder) / name).exists() for name in (manifest.NAME, "provenance.json")):
        if any((Path(folder) / name).is_dir() for name in ("logs", "tables")):
            print(
                f"PROBLEM {folder}: not a whole run yet, it has no {manifest.NAME}; `snakemake --cores all`, "
                "with the --configfile of this run, makes it"
            )
            return 1
        print(
            f"PROBLEM {folder}: no run of this workflow: it has neither {manifest.NAME} nor provenance.json"
        )
        return 1
    report = verify(folder)
    print(*report.lines(verbose=verbose), sep="\n", end="\n" if report.problems or report.notes else "")
    bad = bool(report.problems) or (strict and bool(report.notes))
    verdict = f"{sum(map(len, report.problems.values()))} problems" if report.problems else "intact"
    print(f"{folder}: {report.files} files, {report.tables} tables: {verdict}")
    return int(bad)
