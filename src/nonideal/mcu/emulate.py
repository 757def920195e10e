"""Run firmware on an emulated CH32V003, image after image.

The emulator (unicorn) executes RV32 instructions; it does not know that there are 2 KB of RAM, as its pages
are 4 KB. `Emulator` therefore fills the unused RAM with a pattern, reports how deep the stack went, and
refuses firmware that touches what the target does not have. Alignment is checked while cycles are counted
(`nonideal.mcu.cycles`), missing instructions in the file (`nonideal.mcu.elf`).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile
from unicorn import UC_ARCH_RISCV, UC_MODE_RISCV32, UC_PROT_ALL, UC_PROT_EXEC, UC_PROT_READ, Uc, UcError
from unicorn.riscv_const import UC_RISCV_REG_PC

FLASH_START, FLASH_BYTES = 0x0000_0000, 16 * 1024  # CH32V003 data sheet, memory map
RAM_START, RAM_BYTES = 0x2000_0000, 2 * 1024
PAGE = 4096  # bytes, of the emulator
PATTERN = 0xA5
INSTRUCTIONS_LIMIT = 50_000_000  # of one image: far above any kernel, ends a loop that never ends


class FirmwareError(RuntimeError):
    """The firmware did what the target does not allow; the message says what and where."""


class Emulator:
    """Firmware, started and waiting for images.

    Parameters
    ----------
    elf
        File made by `nonideal.mcu.build.firmware`.

    Attributes
    ----------
    uc
        The emulator, for hooks.
    symbols
        Addresses by name.

    Raises
    ------
    FirmwareError
        If the file lacks a symbol this class needs, or the firmware fails at its start.
    """

    def __init__(self, elf: str | os.PathLike[str]) -> None:
        self.path = Path(elf)
        self.uc = Uc(UC_ARCH_RISCV, UC_MODE_RISCV32)
        self.uc.mem_map(FLASH_START, FLASH_BYTES, UC_PROT_READ | UC_PROT_EXEC)
        self.uc.mem_map(RAM_START, PAGE, UC_PROT_ALL)
        self.symbols = self._load()
        self._image, self._logits = self._object("ni_image"), self._object("ni_logits")
        self._class = self._object("ni_class")
        self._run(self._symbol("_start"), self._symbol("ni_ready"))

    def _load(self) -> dict[str, tuple[int, int]]:
        """Copy the segments where they are stored, fill the RAM, and return address and size of symbols."""
        self.uc.mem_write(RAM_START, bytes([PATTERN]) * PAGE)
        with self.path.open("rb") as file:
            elf = ELFFile(file)
            for segment in elf.iter_segments("PT_LOAD"):
                if segment["p_filesz"]:
                    self.uc.mem_write(segment["p_paddr"], segment.data())
            table = elf.get_section_by_name(".symtab")
            if table is None:
                raise FirmwareError(f"{self.path}: has no symbols; build it with nonideal.mcu.build")
            return {s.name: (s["st_value"], s["st_size"]) for s in table.iter_symbols() if s.name}

    def _object(self, name: str) -> tuple[int, int]:
        if name not in self.symbols:
            raise FirmwareError(f"{self.path}: has no symbol {name!r}; was it built for a board?")
        return self.symbols[name]

    def _symbol(self, name: str) -> int:
        return self._object(name)[0]

    def _run(self, start: int, stop: int) -> None:
        try:
            self.uc.emu_start(start, stop, count=INSTRUCTIONS_LIMIT)
        except UcError as error:
            where = self.uc.reg_read(UC_RISCV_REG_PC)
            raise FirmwareError(f"{self.path}: {error} at {where:#010x}") from error
        if self.uc.reg_read(UC_RISCV_REG_PC) != stop:
            raise FirmwareError(f"{self.path}: no result after {INSTRUCTIONS_LIMIT} instructions")

    def infer(self, image: np.ndarray) -> tuple[np.ndarray, int]:
        """Logits int32 [classes], padded as in the engine, and class of an image int8 [inputs].

        The firmware does not know how many inputs it has: a smaller image leaves the rest as it was.

        Raises
        ------
        FirmwareError
            If the image is larger than the room for it, or the firmware fails.
        """
        if image.dtype != np.int8 or image.size > self._image[1]:
            raise FirmwareError(
                f"{self.path}: image of {image.size} {image.dtype}, room for {self._image[1]} int8"
            )
        self.uc.mem_write(self._image[0], image.tobytes())
        self._run(self._symbol("ni_ready"), self._symbol("ni_done"))
        logits = np.frombuffer(bytes(self.uc.mem_read(*self._logits)), "<i4")
        return logits, int.from_bytes(self.uc.mem_read(*self._class), "little")

    def infer_all(self, images: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
        """Logits int32 [n, classes] and classes int64 [n] of images int8 [n, inputs]."""
        logits = np.empty((len(images), classes), np.int32)
        decided = np.empty(len(images), np.int64)
        for n, image in enumerate(images):
            row, decided[n] = self.infer(image)
            logits[n] = row[:classes]
        return logits, decided

    def stack_used(self) -> int:
        """Bytes of stack that were ever written since the start (high-water mark).

        Raises
        ------
        FirmwareError
            If the RAM below the stack's reserve or above the end of RAM was written, or not a byte is left
            between stack and variables.
        """
        ram = np.frombuffer(bytes(self.uc.mem_read(RAM_START, PAGE)), np.uint8)
        if (ram[RAM_BYTES:] != PATTERN).any():
            raise FirmwareError(f"{self.path}: wrote beyond the {RAM_BYTES} bytes of RAM")
        free = ram[self._symbol("ni_bss_end") - RAM_START : RAM_BYTES]
        touched = np.flatnonzero(free != PATTERN)
        used = len(free) - int(touched[0]) if len(touched) else 0
        reserve = self._symbol("ni_stack_reserve")
        # Down to the variables: where the reserve ends there, the stack may have gone on into them.
        if used > reserve or used == len(free):
            least = "at least " if used == len(free) else ""
            raise FirmwareError(f"{self.path}: the stack took {least}{used} bytes, {reserve} are reserved")
        return used
