# amaranth: UnusedElaboratable=no
"""The RTL against the integers, spike by spike, and checks that a broken one is caught."""

import numpy as np
import pytest
from amaranth.hdl import Mux

from nonideal import rng
from nonideal.fpga import arithmetic, rtl, simulate
from nonideal.fpga.arithmetic import WEIGHT_BITS
from nonideal.fpga.rtl import Parallel, TimeMultiplexed
from nonideal.spiking.integer import SpikingLayer, SpikingNetwork

STEPS = 5
SHAPE = (5, 9)  # neurons, inputs: no power of two, no multiple of the lanes
LOWEST = {"binary": -1, "ternary": -1, "twn": -1, "q2.2": -8, "q4.4": -128, "q8.8": -32768}
HIGHEST = {"binary": 1, "ternary": 1, "twn": 1, "q2.2": 7, "q4.4": 127, "q8.8": 32767}
SCALE = {"binary": 0.4, "ternary": 0.4, "twn": 0.4, "q2.2": 2**-2, "q4.4": 2**-4, "q8.8": 2**-8}


def layer(name, input_bits, shape=SHAPE):
    """Random weights with the extreme ones among them: neuron 0 all highest, neuron 1 all lowest."""
    generator = rng.stream(7, "test", "fpga", name)
    weights = generator.integers(LOWEST[name], HIGHEST[name] + 1, shape)
    if name == "binary":
        weights = np.where(weights > 0, 1, -1)
    # Half the rows are small, so that their states stay near the threshold.
    weights[2:4] = np.clip(weights[2:4], -1 / SCALE[name], 1 / SCALE[name])
    weights[0], weights[1] = HIGHEST[name], LOWEST[name]
    return SpikingLayer(name, weights.astype(np.int16), SCALE[name], input_bits)


def samples(made, count=2):
    """Random inputs, and one that is as large as it can be at every step."""
    shape = (count, made.inputs) if made.input_bits else (count, STEPS, made.inputs)
    top = 2 ** max(made.input_bits, 1)
    inputs = rng.stream(7, "test", "fpga", "inputs").integers(0, top, shape).astype(np.uint8)
    inputs[-1] = top - 1
    return inputs


@pytest.mark.parametrize("input_bits", [0, 8])
@pytest.mark.parametrize("name", WEIGHT_BITS)
@pytest.mark.parametrize("lanes", [1, 2, 5, None])
def test_every_spike_is_that_of_the_integers(name, input_bits, lanes):
    made = layer(name, input_bits)
    design = Parallel(made) if lanes is None else TimeMultiplexed(made, lanes=lanes)
    inputs = samples(made)
    spikes = SpikingNetwork((made,), STEPS).run(inputs).spikes[0]
    assert 0 < spikes.mean() < 1
    simulate.verify(design, inputs, STEPS)


def test_states_are_kept_between_steps_and_cleared_between_inferences():
    made = SpikingLayer("q4.4", np.full((1, 2), 24, np.int16), 2**-4)  # two steps at X = 3 V_th: a spike
    inputs = np.zeros((3, 3, 2), np.uint8)
    inputs[0, 2] = 1  # leaves V = 0.75 V_th behind
    inputs[1, 0] = 1
    inputs[2, 1:] = 1
    found = simulate.simulate(TimeMultiplexed(made), inputs, 3).spikes[:, :, 0]
    assert found.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_cycles_follow_from_the_sizes():
    current, spiking = layer("ternary", 8), layer("ternary", 0)
    neurons, inputs = SHAPE

    def cycles(made, lanes):
        return simulate.verify(TimeMultiplexed(made, lanes=lanes), samples(made), STEPS).cycles

    # One more lane pass costs its inputs; lanes share the writing of the inputs and the neurons' steps.
    assert cycles(spiking, 1) - cycles(spiking, 5) == STEPS * (neurons - 1) * (inputs + 2)
    # A step: inputs written, its start, sums and neurons; a spike comes a cycle after its neuron's step.
    assert cycles(spiking, 1) == STEPS * (inputs + 1 + neurons * (inputs + 3)) + 1
    for made, writes in ((current, 1), (spiking, STEPS)):
        design = Parallel(made)
        expected = writes * inputs + STEPS + design.stages + 1
        assert simulate.verify(design, samples(made), STEPS).cycles == expected
    # A constant current is summed up once.
    assert cycles(current, 1) - cycles(current, 5) == (neurons - 1) * (inputs + 2)


def test_a_broken_neuron_is_caught(monkeypatch):
    made = layer("q2.2", 8)
    monkeypatch.setattr(arithmetic, "LEAK_SHIFT", 1)
    with pytest.raises(simulate.MismatchError, match=r"spikes differ from the integers.*inference"):
        simulate.verify(TimeMultiplexed(made), samples(made), STEPS)


def test_a_broken_product_is_caught(monkeypatch):
    made = layer("ternary", 8)
    monkeypatch.setattr(rtl, "product", lambda code, x, *_: Mux(code[0], x, 0))  # forgets the sign
    with pytest.raises(simulate.MismatchError, match="spikes differ"):
        simulate.verify(TimeMultiplexed(made), samples(made), STEPS)


def test_too_narrow_a_sum_is_caught(monkeypatch):
    made = layer("q8.8", 8)
    wide = arithmetic.sum_shape
    monkeypatch.setattr(rtl, "sum_shape", lambda made: type(wide(made))(wide(made).width - 1, signed=True))
    with pytest.raises(simulate.MismatchError, match="spikes differ"):
        simulate.verify(TimeMultiplexed(made), samples(made), STEPS)


def test_a_design_that_hangs_is_caught(monkeypatch):
    made = layer("binary", 0)
    design = TimeMultiplexed(made)
    monkeypatch.setattr(simulate, "PATIENCE", -SHAPE[1] + 1)
    with pytest.raises(simulate.MismatchError, match="still busy"):
        simulate.simulate(design, samples(made), STEPS)


def test_codes():
    assert arithmetic.encode(np.array([-1, 1]), "binary").tolist() == [0, 1]
    assert arithmetic.encode(np.array([-1, 0, 1]), "ternary").tolist() == [3, 0, 1]
    assert arithmetic.encode(np.array([-8, 7]), "q2.2").tolist() == [8, 7]


@pytest.mark.parametrize(("value", "name"), [(0, "binary"), (2, "ternary"), (8, "q2.2"), (-129, "q4.4")])
def test_a_weight_that_is_no_level_is_refused(value, name):
    with pytest.raises(ValueError, match=rf"{value} is no level of format '{name}'"):
        arithmetic.encode(np.array([value]), name)


def test_unknown_formats_and_impossible_lanes_are_refused():
    with pytest.raises(ValueError, match="no hardware; known are binary"):
        arithmetic.encode(np.array([1]), "nf4")
    for lanes in (0, SHAPE[0] + 1):
        with pytest.raises(ValueError, match=r"lanes must be 1 \.\. 5"):
            TimeMultiplexed(layer("ternary", 0), lanes=lanes)


@pytest.mark.parametrize("input_bits", [0, 8])
@pytest.mark.parametrize("name", WEIGHT_BITS)
def test_signals_are_the_narrowest_that_hold_their_ends(name, input_bits):
    low = np.full((1, 1), LOWEST[name], np.int16)  # its smallest sum of spikes is a power of two
    high = np.full((1, 9), HIGHEST[name], np.int16)  # its state never falls, and stays below the threshold
    plain = [SpikingLayer(name, weights, SCALE[name], input_bits) for weights in (low, high)]
    for made in (layer(name, input_bits), *plain):
        sums = [np.minimum(made.weights, 0).sum(axis=1).min(), np.maximum(made.weights, 0).sum(axis=1).max()]
        sums = [int(total) * (2**input_bits - 1 or 1) for total in sums]
        states = [sums[0] << made.shift, min(sums[1] << made.shift, made.threshold - 1)]
        for shape, (low, high) in (
            (arithmetic.sum_shape(made), sums),
            (arithmetic.state_shape(made), states),
        ):
            assert shape.signed
            fits = [
                -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1)
                for bits in (shape.width, shape.width - 1)
            ]
            assert fits == [True, False]


def test_inferences_of_different_lengths_are_refused(monkeypatch):
    made = layer("q4.4", 0)
    inputs = samples(made)
    spikes = SpikingNetwork((made,), STEPS).run(inputs).spikes[0]
    alike, other = (simulate.Simulated(spikes, np.array([40, last])) for last in (40, 41))
    monkeypatch.setattr(simulate, "simulate", lambda *_: alike)
    assert simulate.verify(Parallel(made), inputs, STEPS).cycles == 40
    monkeypatch.setattr(simulate, "simulate", lambda *_: other)
    with pytest.raises(simulate.MismatchError, match=r"different numbers of cycles: \[40, 41\]"):
        simulate.verify(Parallel(made), inputs, STEPS)
