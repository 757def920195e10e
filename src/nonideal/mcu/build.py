"""Compile the C engine with zig: as a shared library for this computer, and as firmware for the target.

`ziglang` from PyPI brings clang, a linker and the headers for both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nonideal.files import atomic, write_text
from nonideal.mcu import elf, limits
from nonideal.mcu.cheader import engine_macros
from nonideal.mcu.export import Export

# In the package where it is installed, beside it in a checkout.
INSTALLED, CHECKOUT = (Path(__file__).parents[place] / "firmware" for place in (1, 3))
FIRMWARE = INSTALLED if INSTALLED.is_dir() else CHECKOUT
TARGET = "ch32v003"  # of the firmware, a key of `nonideal.mcu.limits.TARGETS`
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Werror")
# Undefined behaviour in C ends the program instead of giving some number.
HOST_FLAGS = ("-O2", "-fPIC", "-shared", "-fsanitize=undefined", "-fsanitize-trap=undefined")
TARGET_FLAGS = (
    "-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+e+c", "-mabi=ilp32e", "-Os", "-g",
    "-ffreestanding", "-nostdlib", "-ffunction-sections", "-fdata-sections", "-fno-sanitize=undefined",
    "-Wl,--gc-sections", "-DNI_ASSEMBLY",
)  # fmt: skip
# Besides the kernels.
ENGINE_FILES = ("network.c", "features.c", "start.c", "work.c", "nf4.c", "rows.S", "norm.S")
CONVOLUTION_FILES = {"fast": ("fast_convolutions.c", "windows.S"), "plain": ("plain_convolutions.c",)}
BOARD_IMAGES = 1  # golden vectors of a board build; two fill the flash beside 25,216 weights of 4 bits
LIBRARY_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")


class BuildError(RuntimeError):
    """The compiler or linker refused; the message holds its output."""


def engine_sources(firmware: Path = FIRMWARE) -> list[Path]:
    """C sources of the engine, sorted.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    found = sorted((firmware / "src").glob("*.c"))
    if not found:
        raise FileNotFoundError(
            f"no C sources in {firmware / 'src'}: the engine is part of nonideal; install it again"
        )
    return found


def write_engine(folder: str | os.PathLike[str]) -> list[Path]:
    """Copy the engine's sources, to be compiled with an exported network by any C compiler.

    Parameters
    ----------
    folder
        Where ``include``, ``src`` and ``targets`` are put; files of these names are replaced.

    Returns
    -------
    list of Path
        The files, sorted.

    Raises
    ------
    FileNotFoundError
        If there are no sources.
    """
    engine_sources()
    made = []
    for source in sorted(path for path in FIRMWARE.rglob("*") if path.is_file()):
        target = Path(folder) / source.relative_to(FIRMWARE)
        with atomic(target) as temporary:
            shutil.copyfile(source, temporary)
        made.append(target)
    return made


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


@dataclass(frozen=True)
class Firmware:
    """A built program.

    Parameters
    ----------
    elf, bin, hex, report
        Files: with symbols, flash image, the same as Intel HEX, sizes in words.
    flash
        Bytes of flash.
    ram
        Bytes of RAM: variables and code that runs from RAM, without the stack.
    stack
        Bytes of RAM reserved for the stack.
    """

    elf: Path
    bin: Path
    hex: Path
    report: Path
    flash: int
    ram: int
    stack: int


def firmware(
    export: Export,
    folder: str | os.PathLike[str],
    *,
    board: bool = False,
    sources: Path = FIRMWARE,
) -> Firmware:
    """Compile a network and the engine for a microcontroller, and check the result.

    Parameters
    ----------
    export
        Network, from `nonideal.mcu.export.export`.
    folder
        Where the files are put; ``model.h`` among them.
    board
        True builds the program for a real board, which prints the first golden vector's logits and verdict
        on the serial port; False the one for `nonideal.mcu.emulate`.
    sources
        Folder of the C sources.

    Raises
    ------
    BuildError
        If the compiler or linker refuses, for instance because the program does not fit.
    nonideal.mcu.elf.ElfError
        If the program uses what the target does not have.
    """
    memory = limits.get_target(TARGET)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if board:
        export = replace(export, images=export.images[:BOARD_IMAGES])
    write_text(folder / "model.h", export.header())
    place = sources / "targets" / TARGET
    kernels = sorted({f"{export.kernel}_{layer.weight_format}.c" for layer in export.network.layers})
    kernels += [] if export.network.convolutions is None else CONVOLUTION_FILES[export.kernel]
    files = [sources / "src" / name for name in (*ENGINE_FILES, *kernels)]
    files += [place / name for name in ("startup.S", "main.c", *(("board.c",) if board else ()))]
    macros = [f"-D{name}={value}" for name, value in engine_macros(export, memory).items()]
    macros += ["-DNI_BOARD"] if board else []
    includes = ["-I", folder, "-I", sources / "include", "-T", place / f"{TARGET}.ld"]
    built = {suffix: folder / f"firmware.{suffix}" for suffix in ("elf", "bin", "hex", "txt")}
    with atomic(built["elf"]) as temporary:
        zig(["cc", *TARGET_FLAGS, *WARNINGS, *macros, *includes, *files, "-o", temporary])
        sizes = elf.check(temporary, flash=memory.flash, ram=memory.ram, stack=memory.stack)
        image = elf.flash_image(temporary)
    with atomic(built["bin"]) as temporary:
        temporary.write_bytes(image)
    write_text(built["hex"], elf.intel_hex(image))
    write_text(built["txt"], elf.report(sizes, len(image), memory))
    return Firmware(*built.values(), flash=len(image), ram=elf.static_ram(sizes), stack=memory.stack)
