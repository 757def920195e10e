"""Synthesis, placement and routing for a Lattice iCE40 HX8K, and what the tools report."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.lib.wiring import Component

from nonideal.files import write_text
from nonideal.fpga import tools

DEVICE, PACKAGE = "hx8k", "ct256"
CLOCK_PIN = "J3"  # a global buffer's pin; the 12 MHz oscillator of Lattice's breakout board is there
# Pins of the device's upper edge. Source: Lattice, iCE40 HX8K pinout, package CT256.
PINS = (
    "A1", "A2", "A5", "A6", "A7", "A9", "A10", "A11", "A15", "A16", "B3", "B4", "B5", "B6", "B7", "B8",
    "B9", "B10", "B11", "B12", "B13", "B14", "B15", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C10", "C11",
    "C12", "C13", "C14", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D10", "D11", "D13", "E5", "E6", "E9",
    "E10", "E11",
)  # fmt: skip
TARGET_MHZ = 100  # the placer works towards it; what is reported is what was reached
PLACER_SEED = 1
# What nextpnr says of a design that does not fit: with more cells than there are, and with so many that it
# finds no places for the last ones. Only pins are constrained, so that nothing else stands in the way.
FULL = ("no BELs remaining to implement cell type", "Unable to find legal placement for")
FILES = ("design.v", "pins.pcf", "cells.json", "timing.json", "nextpnr.log")


class ReportError(ValueError):
    """A tool's report lacks what it should hold."""


@dataclass(frozen=True)
class Cost:
    """What a design needs of the device.

    Parameters
    ----------
    lut4, carries, flip_flops, block_rams
        Cells after synthesis: 4-input look-up tables, carry cells, flip-flops, block RAMs of 4 kbit.
    multipliers
        Multiplication cells before they became gates.
    fits
        Whether the design could be placed on the device.
    logic_cells
        Cells with a look-up table and a flip-flop, after packing; 0 if it does not fit.
    max_frequency_mhz
        Estimate after routing, slow corner; NaN if it does not fit.
    """

    lut4: int
    carries: int
    flip_flops: int
    block_rams: int
    multipliers: int
    fits: bool
    logic_cells: int
    max_frequency_mhz: float


def constraints(design: Component) -> str:
    """Pins of every port of a design, in the format PCF.

    Raises
    ------
    ValueError
        If the design has more ports than there are pins.
    """
    names = ["rst"]
    for name in design.signature.members:
        width = len(getattr(design, name))
        names += [name] if width == 1 else [f"{name}[{bit}]" for bit in range(width)]
    if len(names) > len(PINS):
        raise ValueError(f"the design has {len(names)} ports besides the clock, the package {len(PINS)} pins")
    pins = [("clk", CLOCK_PIN), *zip(names, PINS, strict=False)]
    return "".join(f"set_io {name} {pin}\n" for name, pin in pins)


def synthesise(design: Component, folder: str | os.PathLike[str] | None = None) -> Cost:
    """Synthesise, place and route a design.

    Parameters
    ----------
    design
        Amaranth component.
    folder
        For the files `FILES`: Verilog, pins, cells, timing and utilisation, the placer's log; the timing is
        empty if the design does not fit. They are written when all of them are whole. None keeps nothing.

    Raises
    ------
    nonideal.fpga.tools.ToolError
        If a tool fails for another reason than a full device.
    ReportError
        If a report cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="synthesis-") as name:
        scratch = Path(name)
        scratch.joinpath("design.il").write_text(rtlil.convert(design, name="top", emit_src=False))
        scratch.joinpath("pins.pcf").write_text(constraints(design))
        synthesis = (
            "read_rtlil design.il; write_verilog -noattr design.v; "
            "proc; flatten; opt_expr; opt_clean; tee -q -o words.json stat -json; "
            "synth_ice40 -top top -json netlist.json; tee -q -o cells.json stat -json"
        )
        tools.run("yosys", ["-q", "-p", synthesis], scratch)
        fits = _place(scratch)
        words, cells, timing = (_json(scratch / f"{part}.json") for part in ("words", "cells", "timing"))
        if folder is not None:
            for file in FILES:
                write_text(Path(folder) / file, scratch.joinpath(file).read_text(encoding="utf-8"))
    return Cost(
        multipliers=count_cells(words).get("$mul", 0), **cell_costs(cells), fits=fits, **placed(timing)
    )


def _place(scratch: Path) -> bool:
    """Place and route; False if the device is too small."""
    arguments = [f"--{DEVICE}", "--package", PACKAGE, "--json", "netlist.json", "--pcf", "pins.pcf"]
    arguments += ["--freq", str(TARGET_MHZ), "--timing-allow-fail", "--seed", str(PLACER_SEED)]
    arguments += ["--report", "timing.json", "-q", "--log", "nextpnr.log"]
    try:
        tools.run("nextpnr-ice40", arguments, scratch)
    except tools.ToolError as error:
        if not any(text in str(error) for text in FULL):
            raise
        scratch.joinpath("timing.json").write_text("{}\n")
        return False
    return True


def count_cells(report: Mapping[str, Any]) -> dict[str, int]:
    """Number of cells of each type in a report of Yosys's ``stat -json``.

    Raises
    ------
    ReportError
        If the report has no such numbers.
    """
    try:
        return {name: int(count) for name, count in report["design"]["num_cells_by_type"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReportError(f"the report of Yosys lacks design.num_cells_by_type ({error!r})") from None


def cell_costs(report: Mapping[str, Any]) -> dict[str, int]:
    """Cells after synthesis for iCE40, by the names of `Cost`."""
    cells = count_cells(report)
    return {
        "lut4": cells.get("SB_LUT4", 0),
        "carries": cells.get("SB_CARRY", 0),
        "flip_flops": sum(count for name, count in cells.items() if name.startswith("SB_DFF")),
        "block_rams": sum(count for name, count in cells.items() if name.startswith("SB_RAM40")),
    }


def placed(report: Mapping[str, Any]) -> dict[str, float]:
    """Logic cells and largest clock frequency in a report of nextpnr; empty for a design that did not fit.

    Raises
    ------
    ReportError
        If the report holds something else.
    """
    if not report:
        return {"logic_cells": 0, "max_frequency_mhz": math.nan}
    try:
        frequencies = [float(clock["achieved"]) for clock in report["fmax"].values()]
        cells = int(report["utilization"]["ICESTORM_LC"]["used"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReportError(f"the report of nextpnr lacks fmax or utilization ({error!r})") from None
    if len(frequencies) != 1:
        raise ReportError(f"the report of nextpnr has {len(frequencies)} clocks, expected one")
    return {"logic_cells": cells, "max_frequency_mhz": frequencies[0]}


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ReportError(f"{path.name}: not a readable report ({error})") from None
