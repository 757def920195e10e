"""Modelled cycles of firmware on the CH32V003: instruction classes counted in the emulator.

The model, in core cycles at 48 MHz (one flash wait state):

- from RAM: arithmetic, shift or branch not taken 1, load or store 2, branch taken or jump 3;
- from flash, one more for each 32-bit instruction, and for a branch taken or a jump 4 in all;
- a load whose data lie in flash, one more.

It gives 653,965 and 903,209 cycles published for the same program in RAM and in flash within 2 %, and 90,240
for a smaller network within 1 %; the published fp130 figure is missed by 9 % (BitNetMCU,
https://github.com/cpldcpu/BitNetMCU). Every figure made with it is to be called modelled.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import capstone
import numpy as np
from unicorn import UC_HOOK_BLOCK, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, Uc

from nonideal.mcu.emulate import RAM_START, Emulator, FirmwareError

CLOCK_HZ = 48e6  # CH32V003 data sheet: largest core clock
CLASSES = ("arithmetic", "load", "store", "branch", "branch_taken", "jump")
RAM_COST = {"arithmetic": 1, "load": 2, "store": 2, "branch": 1, "branch_taken": 3, "jump": 3}
FLASH_JUMP = 4  # of a branch taken or a jump executed from flash, of any length
WAIT = 1  # 32-bit instruction from flash; load of data from flash

_LOADS = frozenset({"lb", "lbu", "lh", "lhu", "lw", "c.lw", "c.lwsp"})
_STORES = frozenset({"sb", "sh", "sw", "c.sw", "c.swsp"})
_JUMPS = frozenset({"j", "jal", "jalr", "jr", "ret", "c.j", "c.jal", "c.jr", "c.jalr"})
_BRANCHES = frozenset(
    {"beq", "bne", "blt", "bge", "bltu", "bgeu", "beqz", "bnez", "bltz", "bgez", "blez", "bgtz"}
    | {"c.beqz", "c.bnez"}
)


def class_of(mnemonic: str) -> str:
    """Class of an instruction; a branch counts as not taken."""
    for name, members in (("load", _LOADS), ("store", _STORES), ("jump", _JUMPS), ("branch", _BRANCHES)):
        if mnemonic in members:
            return name
    return "arithmetic"


def cost(kind: str, size: int, *, in_flash: bool) -> int:
    """Cycles of one instruction of `size` bytes, data in RAM."""
    if not in_flash:
        return RAM_COST[kind]
    if kind in ("branch_taken", "jump"):
        return FLASH_JUMP
    return RAM_COST[kind] + (WAIT if size == 4 else 0)


@dataclass(frozen=True)
class Count:
    """What a sample of images cost, as means per image.

    Parameters
    ----------
    images
        Number of images.
    instructions
        By class.
    cycles
        By class; the waits for data in flash are in ``load``.
    """

    images: int
    instructions: dict[str, float]
    cycles: dict[str, float]

    @cached_property
    def total_instructions(self) -> float:
        """Instructions per image."""
        return sum(self.instructions.values())

    @cached_property
    def total_cycles(self) -> float:
        """Modelled cycles per image."""
        return sum(self.cycles.values())


class _Block:
    """Straight run of instructions: counts and cycles by class, were its last branch not taken."""

    def __init__(self, code: bytes, address: int, disassembler: capstone.Cs) -> None:
        self.end, self.in_flash = address + len(code), address < RAM_START
        self.instructions: Counter[str] = Counter()
        self.cycles: Counter[str] = Counter()
        kind, size, done = "arithmetic", 0, 0
        for instruction in disassembler.disasm(code, address):
            kind, size = class_of(instruction.mnemonic), instruction.size
            self.instructions[kind] += 1
            self.cycles[kind] += cost(kind, size, in_flash=self.in_flash)
            done += size
        if done != len(code):
            raise FirmwareError(f"cannot decode the instruction at {address + done:#010x}")
        self.branch_size = size if kind == "branch" else 0


class _Counting:
    """Hooks that count blocks and loads from flash, and refuse unaligned accesses."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.blocks: dict[tuple[int, int], _Block] = {}
        self.runs: Counter[_Block] = Counter()
        self.taken: Counter[_Block] = Counter()
        self.flash_loads = 0
        self.unaligned: int | None = None
        self.last: _Block | None = None
        self._disassembler = capstone.Cs(
            capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC
        )

    def block(self, uc: Uc, address: int, size: int, _: object) -> None:
        key = address, size
        block = self.blocks.get(key)
        if block is None:
            code = bytes(uc.mem_read(address, size))
            block = self.blocks[key] = _Block(code, address, self._disassembler)
        last = self.last
        if last is not None and last.branch_size and address != last.end:
            self.taken[last] += 1
        self.runs[block] += 1
        self.last = block

    def access(self, uc: Uc, _: int, address: int, size: int, *rest: object) -> None:
        if address & (size - 1):
            self.unaligned = address
            uc.emu_stop()

    def read(self, uc: Uc, kind: int, address: int, size: int, *rest: object) -> None:
        if address < RAM_START:
            self.flash_loads += 1
        self.access(uc, kind, address, size)

    def image(self, image: np.ndarray) -> None:
        self.last = None
        try:
            self.emulator.infer(image)
        except FirmwareError:
            if self.unaligned is None:
                raise
            raise FirmwareError(f"{self.emulator.path}: unaligned access to {self.unaligned:#010x}") from None

    def result(self, images: int) -> Count:
        instructions: Counter[str] = Counter()
        cycles: Counter[str] = Counter()
        for block, runs in self.runs.items():
            for kind, count in block.instructions.items():
                instructions[kind] += count * runs
                cycles[kind] += block.cycles[kind] * runs
        for block, taken in self.taken.items():
            for table, untaken, jump in (
                (instructions, 1, 1),
                (
                    cycles,
                    cost("branch", block.branch_size, in_flash=block.in_flash),
                    cost("branch_taken", block.branch_size, in_flash=block.in_flash),
                ),
            ):
                table["branch"] -= untaken * taken
                table["branch_taken"] += jump * taken
        cycles["load"] += WAIT * self.flash_loads
        return Count(
            images,
            {kind: instructions[kind] / images for kind in CLASSES},
            {kind: cycles[kind] / images for kind in CLASSES},
        )


def count(emulator: Emulator, images: np.ndarray) -> Count:
    """Count instructions and modelled cycles from the image in RAM to the class.

    Parameters
    ----------
    emulator
        Started firmware.
    images
        int8 [n, inputs].

    Raises
    ------
    FirmwareError
        If an access is not aligned to its size, or the firmware fails.
    """
    counting = _Counting(emulator)
    hooks = [
        emulator.uc.hook_add(UC_HOOK_BLOCK, counting.block),
        emulator.uc.hook_add(UC_HOOK_MEM_READ, counting.read),
        emulator.uc.hook_add(UC_HOOK_MEM_WRITE, counting.access),
    ]
    emulator.uc.ctl_flush_tb()  # code translated before has no hooks
    try:
        for image in images:
            counting.image(image)
    finally:
        for hook in hooks:
            emulator.uc.hook_del(hook)
        emulator.uc.ctl_flush_tb()
    return counting.result(len(images))
