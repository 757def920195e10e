"""Start a run from a reference: its results stand for jobs whose code, settings and data are the same.

A reference keeps tables and a few networks, not everything that a run makes. That is enough: Snakemake makes
nothing that no missing result needs. A job's results are restored if each of its tables that the reference
keeps was made by the code, the settings and the inputs that the job has here, and nothing it needs was left
out. Figures, page and paper are made anew from the tables.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nonideal import manifest, planned, tables
from nonideal.files import atomic, sha256
from nonideal.planned import Planned
from nonideal.provenance import SHORT

EXAMPLE = "nonideal restore results/reference --configfile config/reduced.yaml"

CODE, SETTINGS, INPUTS = "other code", "other settings", "other inputs"
NEEDS = "need what is left out"
UNKNOWN = "no table of theirs is kept"
THERE = "are in the run already"
ACCEPTABLE = {"code": CODE, "settings": SETTINGS}


@dataclass
class Outcome:
    """What `restore` did.

    Attributes
    ----------
    restored
        Files copied, by job.
    left
        Why others were not, by job, with an example.
    """

    restored: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, tuple[str, str]] = field(default_factory=dict)


def restore(
    reference: str | os.PathLike[str],
    run: str,
    jobs: Sequence[Planned],
    *,
    accept: Collection[str] = (),
    dry_run: bool = False,
) -> Outcome:
    """Copy from a reference what is unchanged; files that the run has stay as they are.

    Parameters
    ----------
    reference
        Folder of the reference.
    run
        Name of the run to start, in the folder ``results`` of the working directory.
    jobs
        Its jobs, each after those it needs; see `nonideal.planned.planned`.
    accept
        Differences that do not matter, of `ACCEPTABLE`: results of other code, of other settings.
    dry_run
        Copy nothing.

    Raises
    ------
    ValueError
        If the reference is no folder, an input from outside the run is not here to be compared, or a file is
        not the one that the reference's manifest lists. Nothing is copied then.
    nonideal.manifest.ManifestError, nonideal.tables.TableError
        If the manifest or a table of the reference is damaged.
    """
    reference, top = Path(reference), f"results/{run}/"
    if not reference.is_dir():
        raise ValueError(f"{reference}: no such folder")
    outcome, left_out, chosen = Outcome(), set(), []
    for job in jobs:
        own = [path for path in job.outputs if path.startswith(top)]
        if not own:  # data sets and tools are the computer's, not the run's
            continue
        name = _name(job)
        kept = {path: reference / path.removeprefix(top) for path in own}
        kept = {path: source for path, source in kept.items() if source.is_file()}
        reason = _difference(job, kept, reference, top, accept)
        if reason is None and (needed := sorted(left_out & {*job.inputs})):
            reason = (NEEDS, needed[0])
        if reason is None and (there := [path for path in own if Path(path).exists()]):
            outcome.left[name] = (THERE, there[0])  # whoever needs them may be restored
        elif reason is None:
            outcome.restored[name] = sorted(kept)
            chosen += kept.items()
        else:
            outcome.left[name] = reason
            left_out |= {*own}
    _check(reference, [source for _, source in chosen])
    if not dry_run:
        _copy(chosen)
    return outcome


def _check(reference: Path, sources: Sequence[Path]) -> None:
    """Refuse files that are not those of the manifest, if the reference has one."""
    if not (reference / manifest.NAME).is_file():
        return
    entries = manifest.read(reference)
    for source in sources:
        listed = entries.get(source.relative_to(reference).as_posix(), {})
        if listed.get("sha256") != sha256(source):
            raise ValueError(
                f"{source}: not the file that {manifest.NAME} lists; get the reference anew, and see what "
                f"`nonideal verify {reference}` says"
            )


def _name(job: Planned) -> str:
    return "/".join([job.rule, *map(str, job.params["wildcards"].values())])


def _difference(
    job: Planned, kept: Mapping[str, Path], reference: Path, top: str, accept: Collection[str]
) -> tuple[str, str] | None:
    """Why a job's results are not those of the reference; None if they are."""
    found = [tables.facts(source) for source in kept.values() if source.suffix == ".parquet"]
    if not found:
        return UNKNOWN, job.outputs[0]
    accepted = {ACCEPTABLE[name] for name in accept}
    code = {path: sha256(path)[:SHORT] for path in job.code}
    for facts in found:
        facts = _renamed(facts, f"results/{facts.get('run')}/", top)
        params, own = (
            # Where a killed job goes on says nothing of what it makes.
            {key: value for key, value in values.items() if key != "progress"}
            for values in (facts.get("params", {}), job.params)
        )
        if (name := _first(params, own)) and SETTINGS not in accepted:
            return SETTINGS, name
        if (name := _first(facts.get("code", {}), code)) and CODE not in accepted:
            return CODE, name
        if name := _other_input(facts, job, reference, top, accepted):
            return INPUTS, name
    return None


def _renamed(value: Any, before: str, now: str) -> Any:
    """The same with paths in the folder `now` of a run instead of `before`: a run may have any name."""
    if isinstance(value, str):
        return now + value.removeprefix(before) if value.startswith(before) else value
    if isinstance(value, Mapping):
        return {_renamed(key, before, now): _renamed(part, before, now) for key, part in value.items()}
    return [_renamed(part, before, now) for part in value] if isinstance(value, list) else value


def _first(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """First name, in the alphabet, of which there are different values; None if there is none."""
    missing = object()
    names = sorted({*before, *now})
    return next((name for name in names if before.get(name, missing) != now.get(name, missing)), None)


def _other_input(
    facts: Mapping[str, Any], job: Planned, reference: Path, top: str, accepted: Collection[str]
) -> str | None:
    """First input that is another one than here; None if there is none."""
    recorded = facts.get("inputs", {})
    for path in sorted({*recorded} | {*job.inputs}):
        if path not in recorded or path not in job.inputs:
            if not accepted:  # other code or settings may well have other inputs
                return path
        elif path.startswith(top):
            kept = reference / path.removeprefix(top)
            if kept.is_file() and sha256(kept) != recorded[path]:
                return path
        elif not Path(path).is_file():
            raise ValueError(
                f"{path}: not here to be compared with that of the reference; make it first: "
                "snakemake --cores all data, with the --configfile of this run"
            )
        elif sha256(path) != recorded[path]:
            return path
    return None


def _copy(chosen: Sequence[tuple[str, Path]]) -> None:
    """Copy the files, all of one age: none is older than what it was made from, for Snakemake."""
    for path, source in chosen:
        with atomic(path) as temporary:
            shutil.copyfile(source, temporary)
    now = time.time()
    for path, _ in chosen:
        os.utime(path, (now, now))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("reference", type=Path, help="folder of the reference, results/reference")
    parser.add_argument(
        "--configfile", nargs="+", type=Path, default=[], help="configuration of the run, as for snakemake"
    )
    parser.add_argument(
        "--accept",
        nargs="+",
        default=[],
        choices=sorted(ACCEPTABLE),
        help="restore also what other code, or other settings, made",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be restored, and copy nothing")
    parser.add_argument("--verbose", action="store_true", help="name the jobs")


def run(arguments: argparse.Namespace) -> int:
    """Restore a run and say what was left out."""
    name, jobs = planned.planned(arguments.configfile)
    outcome = restore(arguments.reference, name, jobs, accept=arguments.accept, dry_run=arguments.dry_run)
    if outcome.restored and not arguments.dry_run:
        # As Snakemake does after a job: from now on other settings make it due again.
        planned.record(arguments.configfile, [paths[0] for paths in outcome.restored.values()])
    files = sum(map(len, outcome.restored.values()))
    did = "to restore" if arguments.dry_run else "restored  "
    print(f"{did} {len(outcome.restored)} jobs: {files} files in results/{name}")
    if arguments.verbose:
        print(*(f"           {job}" for job in sorted(outcome.restored)), sep="\n")
    for reason, count in Counter(reason for reason, _ in outcome.left.values()).most_common():
        examples = {job: about for job, (why, about) in sorted(outcome.left.items()) if why == reason}
        shown = examples if arguments.verbose else dict([next(iter(examples.items()))])
        print(f"left out   {count} jobs: {reason}")
        print(*(f"           {job} ({about})" for job, about in shown.items()), sep="\n")
    given = " ".join(["--configfile", *map(str, arguments.configfile)]) if arguments.configfile else ""
    print(f"The rest:  snakemake --cores all {given}".rstrip())
    return 0
