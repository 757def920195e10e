# amaranth: UnusedElaboratable=no
"""Study of circuits: which part is built with constant weights, what is verified, ratios of its table."""

import numpy as np
import pytest
from amaranth.hdl import Const

from nonideal import rng, tables
from nonideal.fpga import rtl, simulate, study, synthesise
from nonideal.schemas import fpga
from nonideal.spiking.export import export
from nonideal.spiking.integer import SpikingLayer, SpikingNetwork

STEPS = 4
CONFIG = {"images": 2, "lanes": [1], "parallel": {"inputs": 4, "neurons": 2}}
COST = synthesise.Cost(
    lut4=96, carries=1, flip_flops=2, block_rams=3, multipliers=0, fits=True, logic_cells=120,
    max_frequency_mhz=50.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def made():
    """A network whose inputs are dark but for 3, 8, 9 and 11, as those of images are at their border."""
    generator = rng.stream(0, "test", "fpga")
    weights = [generator.integers(-1, 2, shape).astype(np.int16) for shape in ((6, 12), (2, 6))]
    layers = (SpikingLayer("ternary", weights[0], 2.0, 8), SpikingLayer("ternary", weights[1], 8.0))
    inputs = np.zeros((5, 12), np.uint8)
    inputs[:, [3, 8, 9, 11]] = generator.integers(100, 256, (5, 4))
    return export(SpikingNetwork(layers, STEPS), inputs)


def test_the_part_with_constant_weights_has_something_to_do(made):
    first = made.network.layers[0]
    part, chosen = study.liveliest(first, made.inputs, STEPS, sources=4, neurons=2)
    assert chosen.tolist() == [3, 8, 9, 11]

    def off_half(layer):
        spikes = SpikingNetwork((layer,), STEPS).run(made.inputs[:, chosen]).spikes[0]
        return np.abs(spikes.mean(axis=(0, 1)) - 0.5)

    every = SpikingLayer("ternary", np.ascontiguousarray(first.weights[:, chosen]), 2.0, 8)
    assert sorted(off_half(part)) == sorted(off_half(every))[:2]
    whole, chosen = study.liveliest(first, made.inputs, STEPS, sources=99, neurons=99)
    assert np.array_equal(whole.weights, first.weights) and len(chosen) == 12


def test_rows_of_the_table_follow_from_cycles_and_cells(made, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "synthesise", lambda design, folder: COST)
    rows = tables.check(study.run_format(CONFIG, "digits", made, tmp_path, seed=1), fpga.DESIGNS)
    assert rows["architecture"].tolist() == ["parallel", "time_multiplexed", "time_multiplexed"]
    assert rows["inference_us"].to_numpy() == pytest.approx(rows["cycles"].to_numpy() / 50)
    assert rows["lut4_per_neuron"].tolist() == [96 / 2, 96 / 6, 96 / 2]
    assert rows["lut4_per_weight"].tolist() == [96 / 8, 96 / 72, 96 / 12]
    # Two golden images; for the part two extremes of each neuron, ten of each random kind, dark and bright.
    assert rows["verified_spikes"].tolist() == [(2 + 4 + 30 + 2) * STEPS * 2, 2 * STEPS * 6, 2 * STEPS * 2]
    assert (rows["fired"] > 0).all() and (rows["fired"] < rows["verified_spikes"]).all()
    assert rows["fired"].tolist()[1:] == [layer[:2].sum() for layer in made.record.spikes]
    sizes = {
        "inputs": [4, 12, 6],
        "neurons": [2, 6, 2],
        "input_bits": [8, 8, 1],
        "bits_per_weight": [2, 2, 2],
    }
    for name, expected in (sizes | {"lanes": [2, 1, 1], "layer": [1, 1, 2]}).items():
        assert rows[name].tolist() == expected


def test_a_network_that_takes_spikes_is_built_as_well():
    generator = rng.stream(0, "test", "fpga", "spikes")
    weights = [generator.integers(-1, 2, shape).astype(np.int16) for shape in ((6, 12), (2, 6))]
    network = SpikingNetwork(tuple(SpikingLayer("ternary", matrix, 1.0) for matrix in weights), STEPS)
    inputs = np.zeros((5, STEPS, 12), np.uint8)
    inputs[:, :, [3, 8, 9, 11]] = generator.random((5, STEPS, 4)) < 0.8
    made = export(network, inputs)
    assert study.liveliest(network.layers[0], made.inputs, STEPS, sources=4, neurons=2)[1].tolist() == [
        3,
        8,
        9,
        11,
    ]
    found = [
        (layer, simulate.verify(design, signal, STEPS).compared)
        for layer, _, design, signal in study.designs(made, CONFIG, seed=1)
    ]
    assert found == [(1, 2 * STEPS * 6), (2, 2 * STEPS * 2), (1, (2 + 4 + 30 + 2) * STEPS * 2)]


def test_a_circuit_that_sums_nothing_is_not_synthesised(made, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "synthesise", lambda design, folder: pytest.fail("synthesised"))
    monkeypatch.setattr(rtl.Parallel, "_sum", lambda self, *args, **kwargs: Const(0, 8))
    with pytest.raises(simulate.MismatchError, match="RTL of a ternary layer, 4 inputs, 2 neurons"):
        study.run_format(CONFIG, "digits", made, tmp_path, seed=1)
