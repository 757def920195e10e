"""Compile the C engine with zig: as a shared library for this computer, and as firmware for the target.

`ziglang` from PyPI brings clang, a linker and the headers for both.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

FIRMWARE = Path(__file__).parents[3] / "firmware"
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Werror")
# Undefined behaviour in C ends the program instead of giving some number.
HOST_FLAGS = ("-O2", "-fPIC", "-shared", "-fsanitize=undefined", "-fsanitize-trap=undefined")
LIBRARY_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")


class BuildError(RuntimeError):
    """The compiler or linker refused; the message holds its output."""


def engine_sources(firmware: Path = FIRMWARE) -> list[Path]:
    """C sources of the engine, sorted.

    Raises
    ------
    FileNotFoundError
        If there are none: the engine lies beside the package in the repository, not in it.
    """
    found = sorted((firmware / "src").glob("*.c"))
    if not found:
        raise FileNotFoundError(
            f"no C sources in {firmware / 'src'}: the engine is part of the repository; "
            f"install nonideal from a checkout (pip install --editable)"
        )
    return found


def zig(arguments: Sequence[str | os.PathLike[str]]) -> None:
    """Run ``zig`` and show its output only if it fails.

    Raises
    ------
    BuildError
        If it fails.
    """
    command = [sys.executable, "-m", "ziglang", *map(os.fspath, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(command[2:])}\n{done.stdout}{done.stderr}")


def host_library(folder: str | os.PathLike[str], *, firmware: Path = FIRMWARE) -> Path:
    """Compile the engine for this computer.

    Parameters
    ----------
    folder
        Where the library is put; it is replaced there.
    firmware
        Folder of the C sources.

    Returns
    -------
    Path
        Shared library with all kernels, for `nonideal.mcu.host.HostEngine`.

    Raises
    ------
    BuildError
        If the compiler refuses.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"nonideal-engine{LIBRARY_SUFFIX}"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / library.name
        sources = [*engine_sources(firmware), firmware / "targets" / "host" / "batch.c"]
        zig(["cc", *HOST_FLAGS, *WARNINGS, "-I", firmware / "include", *sources, "-o", made])
        made.replace(library)
    return library
