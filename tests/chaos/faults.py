"""Faults for a run of Snakemake, and what is left after them."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import torch

from nonideal import manifest, tables, tensorfile
from nonideal.schemas.registry import declared

# What is done, and to whom: Ctrl-C reaches every process of a terminal, `kill` Snakemake alone, a power cut
# takes everything; when only Snakemake is killed its jobs live on beside those of the resumed run.
FAULTS = {
    "Ctrl-C: SIGINT to all": (signal.SIGINT, True),
    "kill: SIGTERM to Snakemake": (signal.SIGTERM, False),
    "kill -9: SIGKILL to Snakemake, its jobs live on": (signal.SIGKILL, False),
    "power cut: SIGKILL to all": (signal.SIGKILL, True),
}


def _command(targets, options):
    return [
        *(sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml"),
        *(*options, "--", *targets),
    ]


def _environment():
    return {key: value for key, value in os.environ.items() if key != "NONIDEAL_DATA"}


def run(project, targets, options=(), *, limit=None):
    """Run to the end; return exit status and output. `limit`: bytes of the largest file allowed."""

    def small_files():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        _command(targets, options),
        cwd=project.folder,
        env=_environment(),
        text=True,
        capture_output=True,
        timeout=600,
        check=False,
        preexec_fn=small_files,
    )
    return done.returncode, done.stdout + done.stderr


def resume(project, targets):
    """What the documentation says after a killed run."""
    run(project, targets, ["--unlock"])
    return run(project, targets, ["--rerun-incomplete"])


@contextlib.contextmanager
def interrupted(project, targets, fault, delay):
    """Start a run, inject a fault after `delay` seconds; yield False if the run had ended before.

    Jobs that live on are killed when the block ends.
    """
    number, everyone = FAULTS[fault]
    process = subprocess.Popen(
        _command(targets, ["--rerun-incomplete"]),
        cwd=project.folder,
        env=_environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(delay)
        injected = False
    except subprocess.TimeoutExpired:
        (os.killpg if everyone else os.kill)(process.pid, number)
        process.wait(300)
        injected = True
    try:
        yield injected
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def clean(project):
    """Remove everything a run made."""
    for name in ("results", "resources", ".snakemake"):
        shutil.rmtree(project.folder / name, ignore_errors=True)


def contents(folder):
    """What every file of a run holds, by path: equal where two runs agree.

    Tables by the hash of their rows, networks by their values, pages and notebooks (which hold times and
    identifiers of their making) by being whole, everything else by its bytes.
    """
    return {path: _content(folder / path) for path in manifest.listed(folder)}


def _content(file):
    if file.suffix == ".parquet":
        return tables.content_hash(tables.read(file, declared(tables.facts(file)["table"])))
    if file.suffix == ".pt":
        return _values(tensorfile.load(file))
    if file.suffix == ".html":
        assert file.read_text(encoding="utf-8").rstrip().endswith("</html>"), file
        return "whole"
    if file.suffix == ".ipynb":
        return len(json.loads(file.read_text(encoding="utf-8"))["cells"])
    return file.read_bytes()


def _values(content):
    if isinstance(content, torch.Tensor):
        return content.tolist()
    return {str(key): _values(value) for key, value in content.items()}


def temporary_files(folder):
    """Hidden files that a killed job left behind."""
    return [path for path in folder.rglob(".*") if path.is_file()]
