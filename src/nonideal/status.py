"""Status of a run: which jobs are done, running, failed or interrupted, from what they leave on disk.

A job opens its log when it starts; Snakemake writes its benchmark, a file of the same name, when it has ended
well. A log without a benchmark, or one newer than it, therefore belongs to a job that runs, failed, or was
killed. This needs no connection to the process that runs the workflow and no cluster's queue.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

EXAMPLE = "nonideal status results/default"

STATES = ("failed", "interrupted", "running", "done")
LAST_LINES = 8  # of a failed job's log
TAIL_BYTES = 20_000
# File systems keep times to some milliseconds; a job lasts longer.
SAME_S = 0.5
# `43%|####      | 13/30 [00:12<00:16,  1.05epoch/s, loss=0.1]`
BAR = re.compile(r"(\d+%)\|.*?\| *(\S+ \[.*\])")
FAILED = re.compile(r"^(Traceback \(most recent call last\)|\w*(Error|Exception)\b)", re.M)
STEPS = re.compile(r"(\d+) of (\d+) steps")
LOGS = Path(".snakemake/log")  # Snakemake's own, one for each of its invocations


@dataclass(frozen=True)
class Job:
    """One job of a run.

    Attributes
    ----------
    name
        Rule and wildcards, as its log is named: ``train/ternary``.
    state
        One of `STATES`.
    log
        Its log.
    seconds
        How long it took; of an unfinished one, the time since it last wrote to its log.
    text
        Last lines of the log of a failed job, the progress bar of others; may be empty.
    """

    name: str
    state: str
    log: Path
    seconds: float
    text: str = ""


def jobs(run: str | os.PathLike[str], *, active: bool) -> list[Job]:
    """Jobs of a run by name.

    Parameters
    ----------
    run
        Folder of the run.
    active
        Whether a workflow is at work on it: an unfinished job then runs, else it was interrupted.
    """
    run, now = Path(run), time.time()
    logs = sorted((run / "logs").rglob("*.log"))
    return [_job(run, log, active, now) for log in logs if log.relative_to(run).parts[1:] != ("verify.log",)]


def _job(run: Path, log: Path, active: bool, now: float) -> Job:
    name = log.relative_to(run / "logs").with_suffix("").as_posix()
    written = log.stat().st_mtime
    benchmark = run / "benchmarks" / f"{name}.tsv"
    if benchmark.exists() and benchmark.stat().st_mtime >= written - SAME_S:
        return Job(name, "done", log, _measured(benchmark))
    tail = _tail(log)
    if FAILED.search(tail):
        lines = [line for line in tail.splitlines() if line.strip() and not BAR.search(line)]
        return Job(name, "failed", log, now - written, "\n".join(lines[-LAST_LINES:]))
    bars = BAR.findall(tail)
    return Job(
        name, "running" if active else "interrupted", log, now - written, " ".join(bars[-1]) if bars else ""
    )


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace")


def _measured(benchmark: Path) -> float:
    """Wall-clock seconds in a benchmark file; 0 if it is not whole."""
    with benchmark.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        return sum(float(row["s"]) for row in rows)
    except (KeyError, TypeError, ValueError):
        return 0.0


def active(folder: str | os.PathLike[str], run: str | None = None) -> bool:
    """Whether a Snakemake process of this computer works in a folder.

    Its lock files alone do not tell: a killed process leaves them behind.

    Parameters
    ----------
    folder
        Where Snakemake was started.
    run
        Count only processes at work on the run of this name; None: on any.
    """
    import psutil

    folder = Path(folder).resolve()
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command, place = process.info["cmdline"] or [], process.info["cwd"]
        if place and Path(place) == folder and any("snakemake" in part for part in command[:3]):
            if run is None:
                return True
            try:  # it keeps its log open
                held = [Path(file.path) for file in process.open_files()]
            except psutil.Error:
                held = []
            logs = [path for path in held if path.parent == folder / LOGS] or _newest_log(folder)
            if any(_mentions(path, run) for path in logs):
                return True
    return False


def _newest_log(folder: Path) -> list[Path]:
    """Log of the newest invocation of Snakemake, if there was one."""
    logs = sorted((folder / LOGS).glob("*.snakemake.log"), key=lambda path: path.stat().st_mtime)
    return logs[-1:]


def _mentions(log: Path, run: str) -> bool:
    return f"results/{run}/" in log.read_text(encoding="utf-8", errors="replace")


def locked(folder: str | os.PathLike[str]) -> bool:
    """Whether Snakemake's lock lies in a folder."""
    return any((Path(folder) / ".snakemake/locks").glob("*.lock"))


def steps(folder: str | os.PathLike[str], run: str) -> tuple[int, int] | None:
    """Steps done and planned by the newest invocation of Snakemake, if it was of this run."""
    for log in _newest_log(Path(folder)):
        found = STEPS.findall(log.read_text(encoding="utf-8", errors="replace"))
        if found and _mentions(log, run):
            return int(found[-1][0]), int(found[-1][1])
    return None


def report(run: str | os.PathLike[str], folder: str | os.PathLike[str] = ".") -> Iterator[str]:
    """Lines of the status of a run; `folder` is where Snakemake was started."""
    run = Path(run)
    found = jobs(run, active=active(folder, run.name))
    counts = ", ".join(f"{sum(job.state == state for job in found)} {state}" for state in reversed(STATES))
    done = steps(folder, run.name)
    yield f"{run}: {counts}" + (f"; last command: {done[0]} of {done[1]} steps" if done else "")
    if locked(folder) and not active(folder):  # the lock may be that of another run
        yield "no Snakemake is at work here but its lock is: snakemake --unlock, then the same command again"
    for state in STATES[:-1]:
        for job in found:
            if job.state == state:
                yield f"{state:12}{job.name}  {job.text if state != 'failed' else ''}".rstrip()
                yield f"{'':12}{job.log}, last written {_duration(job.seconds)} ago"
                if state == "failed":
                    yield from (f"{'':14}{line}" for line in job.text.splitlines())
    longest = sorted((job for job in found if job.state == "done"), key=lambda job: -job.seconds)[:3]
    if longest:
        yield "longest so far: " + ", ".join(f"{job.name} {_duration(job.seconds)}" for job in longest)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="results/RUN", help="folders of runs; all if none"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the status of the runs named on the command line; 1 if a job failed or there is no run."""
    folders = arguments.runs or sorted(path.parent for path in Path("results").glob("*/logs"))
    if not folders:
        print("no runs in results/; build one with snakemake")
    status = 0 if folders else 1
    for folder in folders:
        if not (folder / "logs").is_dir() and (folder / "provenance.json").is_file():
            print(f"{folder}: a whole run, kept without its logs; nonideal verify {folder} checks it")
            continue
        if not (folder / "logs").is_dir():
            print(f"{folder}: no logs, so nothing has run there; build the run with snakemake")
            status = 1
            continue
        print(*report(folder), sep="\n")
        status |= any(job.state == "failed" for job in jobs(folder, active=False))
    return int(status)
