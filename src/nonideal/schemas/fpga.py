"""Table of the FPGA study."""

from __future__ import annotations

from nonideal.schemas.columns import above, at_least, column, one_of, table

ARCHITECTURES = ("time_multiplexed", "parallel")

DESIGNS = table(
    "fpga_designs",
    ["dataset", "format", "layer", "architecture", "lanes"],
    {
        "dataset": column("str", "data set the network was trained on"),
        "format": column("str", "weight format"),
        "layer": column("int64", "layer of the network, from 1", at_least(1)),
        "architecture": column(
            "str",
            "weights in block RAM, read one after the other, or constants in adders",
            one_of(ARCHITECTURES),
        ),
        "lanes": column("int64", "neurons summed up at once", at_least(1)),
        "inputs": column("int64", "inputs of the design", at_least(1)),
        "neurons": column("int64", "neurons of the design", at_least(1)),
        "input_bits": column("int64", "1 for spikes, 8 for a current", at_least(1), unit="bit"),
        "bits_per_weight": column("int64", "stored bits of a weight", at_least(1), unit="bit"),
        "lut4": column("int64", "4-input look-up tables after synthesis", at_least(0), unit="LUT"),
        "carries": column("int64", "carry cells", at_least(0)),
        "flip_flops": column("int64", "flip-flops", at_least(0)),
        "block_rams": column("int64", "block RAMs of 4 kbit", at_least(0)),
        "multipliers": column("int64", "multiplication cells before mapping to look-up tables", at_least(0)),
        "fits": column("bool", "whether the design could be placed on an iCE40 HX8K"),
        "logic_cells": column("int64", "logic cells after packing; 0 if it does not fit", at_least(0)),
        "max_frequency_mhz": column(
            "float64", "largest clock frequency after routing, estimated", above(0), unit="MHz", nullable=True
        ),
        "steps": column("int64", "time steps of an inference", at_least(1)),
        "cycles": column(
            "int64",
            "simulated clock cycles of an inference, writing of the inputs included",
            at_least(1),
            unit="cycles",
        ),
        "inference_us": column(
            "float64", "cycles at the largest frequency", above(0), unit="us", nullable=True
        ),
        "lut4_per_neuron": column("float64", "look-up tables per neuron", at_least(0), unit="LUT"),
        "lut4_per_weight": column("float64", "look-up tables per weight", at_least(0), unit="LUT"),
        "verified_spikes": column(
            "int64",
            "spikes (0 or 1) of the simulated RTL that were as the integers say, all of them",
            at_least(1),
        ),
        "fired": column("int64", "how many of the verified spikes were 1", at_least(0)),
    },
)
