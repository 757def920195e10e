# amaranth: UnusedElaboratable=no
"""Synthesis of a tiny design, and the reading of what the tools report."""

import json
import math
import subprocess

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out

from nonideal.fpga import study, synthesise, tools
from nonideal.spiking.export import export
from nonideal.spiking.integer import SpikingLayer, SpikingNetwork


class Counter(Component):
    """Four bits and their product with an input: few cells whose number is known."""

    step: In(1)
    factor: In(4)
    count: Out(4)
    product: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.count.eq(self.count + self.step)
        m.d.comb += self.product.eq(self.count * self.factor)
        return m


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("design")
    return synthesise.synthesise(Counter(), folder), folder


def test_costs_of_a_design(made):
    cost, _ = made
    assert (cost.flip_flops, cost.block_rams, cost.multipliers, cost.fits) == (4, 0, 1, True)
    assert 4 <= cost.lut4 <= 60
    assert cost.logic_cells >= cost.lut4
    assert 10 < cost.max_frequency_mhz < 1000


def test_files_of_a_design(made):
    cost, folder = made
    assert sorted(path.name for path in folder.iterdir()) == sorted(synthesise.FILES)
    assert "module top(" in (folder / "design.v").read_text()
    pins = (folder / "pins.pcf").read_text().splitlines()
    assert pins[0] == "set_io clk J3"
    assert "set_io product[7]" in "\n".join(pins) and len({line.split()[2] for line in pins}) == len(pins)
    cells = synthesise.cell_costs(json.loads((folder / "cells.json").read_text()))
    assert cells["lut4"] == cost.lut4
    timing = synthesise.placed(json.loads((folder / "timing.json").read_text()))
    assert timing == {"logic_cells": cost.logic_cells, "max_frequency_mhz": cost.max_frequency_mhz}


def test_a_tool_that_fails_shows_its_last_lines(tmp_path):
    (tmp_path / "broken.v").write_text("module top(;\n")
    with pytest.raises(tools.ToolError, match=r"yosys failed \(exit status 1\).*\n.*broken.v:1"):
        tools.run("yosys", ["-q", "-p", "read_verilog broken.v"], tmp_path)


def test_a_failed_synthesis_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesise, "constraints", lambda design: "set_io clk NOWHERE\n")
    with pytest.raises(tools.ToolError, match="NOWHERE"):
        synthesise.synthesise(Counter(), tmp_path / "design")
    assert not (tmp_path / "design").exists()


@pytest.mark.parametrize(
    "reason",  # both are texts of the program
    [
        "Unable to place cell 'x', no BELs remaining to implement cell type 'ICESTORM_LC'",
        "Unable to find legal placement for all cells, design is probably at utilisation limit.",
    ],
)
def test_a_design_that_does_not_fit_has_no_frequency(tmp_path, monkeypatch, reason):
    def full(program, arguments, folder):
        raise tools.ToolError(f"{program} failed:\nERROR: {reason}")

    monkeypatch.setattr(tools, "run", full)
    assert not synthesise._place(tmp_path)
    found = synthesise.placed(json.loads((tmp_path / "timing.json").read_text()))
    assert found["logic_cells"] == 0 and math.isnan(found["max_frequency_mhz"])


def test_cells_are_counted_by_the_beginning_of_their_names():
    cells = {"SB_LUT4": 7, "SB_CARRY": 6, "SB_DFF": 3, "SB_DFFESR": 2, "SB_RAM40_4K": 4, "SB_GB": 9}
    found = synthesise.cell_costs({"design": {"num_cells_by_type": cells}})
    assert found == {"lut4": 7, "carries": 6, "flip_flops": 5, "block_rams": 4}
    report = {"fmax": {"clk": {"achieved": 61.5}}, "utilization": {"ICESTORM_LC": {"used": 12}}}
    assert synthesise.placed(report) == {"logic_cells": 12, "max_frequency_mhz": 61.5}


@pytest.mark.parametrize("report", [{"design": {}}, {"design": None}, {"design": {"num_cells_by_type": 3}}])
def test_a_report_without_cells_is_refused(report):
    with pytest.raises(synthesise.ReportError, match=r"lacks design\.num_cells_by_type"):
        synthesise.cell_costs(report)


def test_a_report_without_timing_is_refused():
    with pytest.raises(synthesise.ReportError, match="lacks fmax"):
        synthesise.placed({"fmax": {}})
    cells = {"utilization": {"ICESTORM_LC": {"used": 3}}}
    with pytest.raises(synthesise.ReportError, match="0 clocks"):
        synthesise.placed({"fmax": {}} | cells)


def test_more_ports_than_pins_are_refused():
    design = Component({"word": Out(len(synthesise.PINS))})
    with pytest.raises(ValueError, match="51 ports besides the clock"):
        synthesise.constraints(design)


def test_a_cache_that_cannot_be_written_names_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(tools.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(tools.ToolError, match="set YOWASP_CACHE_DIR to a folder"):
        tools.cache()


def test_a_killed_translation_leaves_no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(tools.CACHE_VARIABLE, str(tmp_path))

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(tools, "_start", killed)
    with pytest.raises(KeyboardInterrupt):
        tools.cache()
    assert not list(tmp_path.iterdir())


def test_a_translation_that_fails_leaves_no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(tools.CACHE_VARIABLE, str(tmp_path))

    def half(program, arguments, folder, translated):
        (translated / program).write_text("half")
        return subprocess.CompletedProcess([], -9, "", "Killed")

    monkeypatch.setattr(tools, "_start", half)
    with pytest.raises(tools.ToolError, match=r"(?s)yosys failed \(exit status -9\).*Killed"):
        tools.cache()
    assert not list(tmp_path.iterdir())


def test_lanes_beyond_the_neurons_are_one_design(monkeypatch):
    # Designs that nobody builds would warn that they are unused.
    monkeypatch.setattr(study, "TimeMultiplexed", lambda layer, lanes=1: lanes)
    monkeypatch.setattr(study, "Parallel", lambda part: None)
    generator = np.random.default_rng(0)
    layers = tuple(
        SpikingLayer("binary", generator.choice([-1, 1], shape).astype(np.int16), 0.5, bits)
        for shape, bits in (((2, 6), 8), ((3, 2), 0))
    )
    made = export(SpikingNetwork(layers, 4), np.zeros((2, 6), np.uint8))
    config = {"images": 1, "lanes": [1, 4, 8], "parallel": {"inputs": 4, "neurons": 2}}
    found = [(layer, name, lanes) for layer, name, lanes, _ in study.designs(made, config, seed=0)]
    series = "time_multiplexed"
    assert found == [(1, series, 1), (1, series, 2), (2, series, 1), (1, "parallel", None)]
