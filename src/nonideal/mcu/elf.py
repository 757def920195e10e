"""What an emulator does not catch: checks of a built program against the CH32V003.

The core is RV32EC: registers x0 .. x15, no multiplier. An emulator of RV32 executes x16 and `mul` all the
same, so the program is disassembled and refused if it uses them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import capstone
from elftools.elf.elffile import ELFFile

if TYPE_CHECKING:
    from nonideal.mcu.limits import Target

FLAG_RVC, FLAG_RVE = 0x1, 0x8  # e_flags, RISC-V ELF psABI
ALLOCATED, EXECUTABLE = 0x2, 0x4  # sh_flags SHF_ALLOC, SHF_EXECINSTR
CODE = (".text", ".ramcode")
IN_RAM = (".ramcode", ".data", ".bss")
MISSING_REGISTERS = frozenset({"a6", "a7", *(f"s{k}" for k in range(2, 12)), *(f"t{k}" for k in range(3, 7))})
FOREIGN_EXTENSIONS = {"m", "zmmul", "a", "f", "d"}
ATOMIC_OR_FLOAT = re.compile(r"amo|lr\.|sc\.|(c\.)?f(?!ence)")
M_EXTENSION = frozenset({"mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu"})
# Library routines that stand in for missing instructions.
ROUTINES = re.compile(r"__(mul|div|udiv|mod|umod|divmod|udivmod)[sd]i\d")
HEX_RECORD = 16  # bytes


class ElfError(RuntimeError):
    """A program the target cannot run; the message names file and finding."""


def check(path: str | os.PathLike[str], *, flash: int, ram: int, stack: int) -> dict[str, int]:
    """Refuse a program that the target cannot run.

    Parameters
    ----------
    path
        ELF file.
    flash, ram
        Bytes there are.
    stack
        Bytes of RAM that must stay free.

    Returns
    -------
    dict
        Bytes of each section.

    Raises
    ------
    ElfError
        If the file is no ELF file or damaged, is not RV32E with compressed instructions, contains a
        multiplication, a division or a register above x15, or does not fit.
    """
    try:
        sizes = _check(path, flash)
    except (ElfError, FileNotFoundError):
        raise
    except (
        Exception
    ) as error:  # pyelftools fails in many ways on damaged headers: KeyError, ELFParseError ...
        raise ElfError(f"{path}: no readable ELF file ({type(error).__name__}: {error})") from error
    if static_ram(sizes) + stack > ram:
        raise ElfError(
            f"{path}: takes {static_ram(sizes)} bytes of RAM and {stack} of stack, the target has {ram}"
        )
    return sizes


def _check(path: str | os.PathLike[str], flash: int) -> dict[str, int]:
    """Check all but the RAM; return bytes of each section."""
    with Path(path).open("rb") as file:
        program = ELFFile(file)
        _check_extent(path, program)
        _check_architecture(path, program)
        sections = {s.name: s for s in program.iter_sections() if s["sh_flags"] & ALLOCATED and s["sh_size"]}
        for name, section in sections.items():
            if bool(section["sh_flags"] & EXECUTABLE) != (name in CODE):
                raise ElfError(f"{path}: code outside {' and '.join(CODE)}, or data in them: {name}")
        for name in CODE:
            if name in sections:
                check_code(path, sections[name].data(), sections[name]["sh_addr"])
        _check_symbols(path, program)
        sizes = {name: section["sh_size"] for name, section in sections.items()}
    segments = program_extent(path)
    if segments > flash:
        raise ElfError(f"{path}: takes {segments} bytes of flash, the target has {flash}")
    return sizes


def _check_extent(path: str | os.PathLike[str], program: ELFFile) -> None:
    """Refuse headers that point beyond the end of the file: what follows believes them."""
    size = Path(path).stat().st_size
    for section in program.iter_sections():
        if section["sh_type"] != "SHT_NOBITS" and section["sh_offset"] + section["sh_size"] > size:
            raise ElfError(f"{path}: section {section.name!r} reaches beyond the end of the file")
    for segment in program.iter_segments():
        if segment["p_offset"] + segment["p_filesz"] > size:
            raise ElfError(f"{path}: a segment reaches beyond the end of the file")


def _check_architecture(path: str | os.PathLike[str], program: ELFFile) -> None:
    flags = program["e_flags"]
    if program["e_machine"] != "EM_RISCV" or program.elfclass != 32:
        raise ElfError(f"{path}: no program for 32-bit RISC-V")
    if not flags & FLAG_RVE or not flags & FLAG_RVC:
        raise ElfError(f"{path}: ELF flags {flags:#x} lack RVE ({FLAG_RVE:#x}) or RVC ({FLAG_RVC:#x})")
    attributes = program.get_section_by_name(".riscv.attributes")
    found = re.search(rb"rv32[a-z0-9_]*", attributes.data()) if attributes else None
    architecture = found[0].decode() if found else "none"
    extensions = {re.sub(r"\d+p\d+$", "", part) for part in architecture.removeprefix("rv32").split("_")}
    if not {"e", "c"} <= extensions or extensions & FOREIGN_EXTENSIONS:
        raise ElfError(
            f"{path}: architecture attribute is {architecture}, expected rv32e with c, without m, a, f, d"
        )


def check_code(path: str | os.PathLike[str], code: bytes, address: int) -> None:
    """Refuse instructions that RV32EC does not have.

    Parameters
    ----------
    path
        Named in messages.
    code
        Instructions without data among them.
    address
        Of the first.

    Raises
    ------
    ElfError
        If one is of the M, A, F or D extension, uses a register above x15 or cannot be decoded.
    """
    disassembler = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC)
    done = 0
    for instruction in disassembler.disasm(code, address):
        done += instruction.size
        text = f"{instruction.mnemonic} {instruction.op_str}"
        if instruction.mnemonic in M_EXTENSION:
            raise ElfError(f"{path}: {text!r} at {instruction.address:#x} is not in RV32EC: no multiplier")
        if ATOMIC_OR_FLOAT.match(instruction.mnemonic):
            raise ElfError(f"{path}: {text!r} at {instruction.address:#x} is not in RV32EC")
        if MISSING_REGISTERS & set(re.findall(r"\b[a-z]\d+\b", instruction.op_str)):
            raise ElfError(f"{path}: {text!r} at {instruction.address:#x} uses a register above x15")
    if done != len(code):
        raise ElfError(
            f"{path}: no instruction of RV32EC at {address + done:#x}: {code[done : done + 4].hex()}"
        )


def _check_symbols(path: str | os.PathLike[str], program: ELFFile) -> None:
    table = program.get_section_by_name(".symtab")
    for symbol in table.iter_symbols() if table else ():
        if ROUTINES.match(symbol.name):
            raise ElfError(f"{path}: calls {symbol.name}, a multiplication or division in software")


def static_ram(sizes: dict[str, int]) -> int:
    """Bytes of RAM without the stack, sections aligned to words."""
    return sum(-(-sizes.get(name, 0) // 4) * 4 for name in IN_RAM)


def program_extent(path: str | os.PathLike[str]) -> int:
    """Bytes of flash from address 0 to the end of the last segment."""
    with Path(path).open("rb") as file:
        loaded = [s for s in ELFFile(file).iter_segments("PT_LOAD") if s["p_filesz"]]
        return max((s["p_paddr"] + s["p_filesz"] for s in loaded), default=0)


def flash_image(path: str | os.PathLike[str]) -> bytes:
    """What is written to flash, from address 0; of a program that `check` has passed."""
    image = bytearray()
    with Path(path).open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            start, data = segment["p_paddr"], segment.data()
            if data:
                image.extend(b"\xff" * (start - len(image)))  # erased flash
                image[start : start + len(data)] = data
    return bytes(image)


def intel_hex(image: bytes) -> str:
    """Intel HEX of an image below 64 KB that starts at address 0."""
    lines = []
    for start in range(0, len(image), HEX_RECORD):
        part = image[start : start + HEX_RECORD]
        lines.append(bytes([len(part), start >> 8, start & 255, 0]) + part)
    lines.append(bytes([0, 0, 0, 1]))  # end of file
    return "".join(f":{(line + bytes([-sum(line) & 255])).hex().upper()}\n" for line in lines)


def report(sizes: dict[str, int], flash: int, target: Target) -> str:
    """Sizes as text: of sections, and of the image in flash with what lies between them."""
    ram = static_ram(sizes)
    lines = [f"{name:10}{size:8} bytes" for name, size in sizes.items()]
    lines.append(f"{'flash':10}{flash:8} of {target.flash} bytes")
    lines.append(f"{'ram':10}{ram:8} of {target.ram} bytes, and {target.stack} reserved for the stack")
    return "\n".join(lines) + "\n"
