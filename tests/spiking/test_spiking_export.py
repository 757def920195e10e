"""Spiking networks in C: step by step, network by network, exported, read back, and broken on purpose."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from test_spiking_integer import inputs, network

from nonideal.mcu.build import FIRMWARE, host_library, zig
from nonideal.mcu.verify import MismatchError
from nonideal.spiking import integer, packing
from nonideal.spiking.export import export, load
from nonideal.spiking.host import SpikingEngine
from nonideal.spiking.integer import SpikingLayer, SpikingNetwork
from nonideal.spiking.verify import adversarial_inputs, verify

FORMATS = ("q8.8", "q4.4", "q2.2", "4bit", "2bitsym", "twn", "ternary", "binary")


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """The C engine on this computer."""
    return SpikingEngine(host_library(tmp_path_factory.mktemp("engine")))


def of_format(name: str, *, current: bool) -> SpikingNetwork:
    """Network of a format with rows that do not fill words, its first layer active."""
    generator = np.random.default_rng(len(name))
    levels = np.array(packing.levels_of(name))
    sizes, layers = (23, 17, 5), []
    for k in range(2):
        weights = generator.choice(levels, (sizes[k + 1], sizes[k])).astype(np.int16)
        weights[0] = levels[-1]  # a neuron that spikes often, whatever the others do
        scale = 6 / (np.abs(levels).mean() * np.sqrt(sizes[k]))
        layers.append(SpikingLayer(name, weights, float(scale), 8 if current and k == 0 else 0))
    return SpikingNetwork(tuple(layers), 9)


def test_one_step_in_c_is_that_of_python(engine):
    """All small differences, every rounding; and the largest values the exporter allows."""
    state, drive = (grid.ravel().astype(np.int32) for grid in np.meshgrid(range(-9, 9), range(-20, 20)))
    ends = np.array([1 - 2**30, -1, 0, 1, 2**30 - 1], np.int32)
    for v, x, threshold in ((state, drive, 5), (np.tile(ends, 5), np.repeat(ends, 5), 2**30 - 1)):
        after, spikes = engine.step(v, x, threshold)
        wanted, expected = integer.step(v, x, threshold)
        np.testing.assert_array_equal(after, wanted)
        np.testing.assert_array_equal(spikes, expected)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_every_spike_of_python(engine, name):
    for current in (True, False):
        net = of_format(name, current=current)
        samples = adversarial_inputs(net, seed=1, count=8)
        record = net.run(samples)
        assert all(0.01 < spikes.mean() < 0.99 for spikes in record.spikes)
        assert verify(net, samples, engine=engine) == sum(spikes.size for spikes in record.spikes)


@pytest.mark.parametrize("current", [True, False])
def test_adversarial_inputs_reach_both_bounds_of_every_neuron(current):
    net = of_format("q4.4", current=current)
    first, count = net.layers[0], 40
    samples = adversarial_inputs(net, seed=1, count=count)
    largest = 255 if current else 1
    assert len(samples) == 2 * first.outputs + 3 * count + 2
    drives = first.drive(samples)[..., range(first.outputs)]
    extremes, rest = np.split(drives, [2 * first.outputs])
    for j in range(first.outputs):
        for row, pick in ((j, np.maximum), (first.outputs + j, np.minimum)):
            bound = int(pick(first.weights[j], 0).sum(dtype=np.int64)) * largest << first.shift
            assert (extremes[row, ..., j] == bound).all()
    dense, sparse, two = np.split(samples[2 * first.outputs : -2], 3)
    assert (dense > 0).mean() > 0.4 and abs((sparse > 0).mean() - 0.15 * (dense > 0).mean()) < 0.03
    assert set(np.unique(two)) == {0, largest} and 0.4 < (two > 0).mean() < 0.6
    assert not samples[-2].any() and (samples[-1] == largest).all() and len(rest) == 3 * count + 2


@pytest.mark.parametrize(("what", "sample"), [("counts", 2), ("classes", 1)])
def test_counts_and_classes_are_compared_beside_the_spikes(what, sample):
    net = network(1)
    samples = inputs(2, net)

    class Miscounting:
        def run(self, network, inputs):
            record = network.run(inputs)
            classes = record.counts.argmax(axis=1).astype(np.uint32)
            changed = record.counts if what == "counts" else classes
            changed[sample] += 1
            return record, classes

    with pytest.raises(MismatchError, match=rf"host C, {what}: sample {sample}: found"):
        verify(net, samples, engine=Miscounting())


def test_mixed_formats_and_many_outputs(engine):
    for current in (True, False):
        net = network(1, current=current)
        verify(net, inputs(2, net), engine=engine)
    generator = np.random.default_rng(3)
    wide = SpikingLayer("q8.8", generator.integers(-9000, 9000, (70, 3)).astype(np.int16), 2**-8, 8)
    verify(SpikingNetwork((wide,), 6), generator.integers(0, 256, (9, 3)).astype(np.uint8), engine=engine)


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("snn.c", "charged >= threshold", "charged > threshold"),
        ("snn.c", "~(~x >> NI_SNN_LEAK)", "-(-x >> NI_SNN_LEAK)"),
        ("snn.c", "spike ? 0 : charged", "spike ? charged - threshold : charged"),
        ("plain_16bit.c", "sum -= v << 15", "sum += v << 15"),
    ],
)
def test_a_broken_kernel_is_found(tmp_path, file, before, after):
    copy = tmp_path / "firmware"
    shutil.copytree(FIRMWARE, copy)
    text = (copy / "src" / file).read_text()
    assert before in text
    (copy / "src" / file).write_text(text.replace(before, after))
    broken = SpikingEngine(host_library(tmp_path, firmware=copy))
    # Levels and inputs that sit on the threshold: 64 * 4 / 4 = 64 exactly.
    edge = SpikingLayer("q8.8", np.array([[4, 0], [-(2**15), 3], [1, -3]], np.int16), 4.0, 8)
    grid = np.stack(np.meshgrid(range(0, 256, 8), range(0, 256, 8))).reshape(2, -1).T.astype(np.uint8)
    # Drives of both signs that change: a wrong rounding of falling potentials shows in a spike.
    generator = np.random.default_rng(8)
    falling = SpikingLayer("q8.8", generator.integers(-3, 4, (30, 6)).astype(np.int16), 256 / 300)
    spikes = generator.integers(0, 2, (200, 12, 6)).astype(np.uint8)
    with pytest.raises(MismatchError, match=r"host C, layer 1: \d+ of .* sample \d+, step \d+, neuron \d"):
        for layer, steps, samples in ((edge, 6, grid), (falling, 12, spikes)):
            verify(SpikingNetwork((layer,), steps), samples, engine=broken)


def test_packed_weights_hold_every_level():
    for name in FORMATS:
        levels = np.array(packing.levels_of(name), np.int16)[None]
        packed = packing.pack(levels, name)
        assert packed.words.nbytes == -(-levels.size * packing.stored_bits(name) // 32) * 4
    words = packing.pack(np.array([[-32768, 1, -1]], np.int16), "q8.8").words
    assert words.tolist() == [0x00018000, 0x0000FFFF]
    with pytest.raises(ValueError, match=r"8 is no level of format 'q2\.2'"):
        packing.pack(np.array([[8]], np.int16), "q2.2")
    with pytest.raises(ValueError, match=r"no kernel knows weight format 'q3\.3'"):
        packing.pack(np.array([[1]], np.int16), "q3.3")


@pytest.mark.parametrize("current", [True, False])
def test_exports_are_read_back(tmp_path, current):
    net = network(4, current=current)
    made = export(net, inputs(5, net))
    paths = made.write(tmp_path, "net")
    for suffix in ("npz", "json"):
        found = load(paths[suffix])
        assert found.document() == made.document()
        np.testing.assert_array_equal(found.record.counts, net.run(inputs(5, net)[:4]).counts)
    assert made.weight_bytes == sum(packed.words.nbytes for packed in made.packed)


def test_what_the_engine_cannot_count_is_refused(engine):
    wide = SpikingLayer("binary", np.ones((2, 2**16), np.int16), 1.0, 0)
    small = SpikingLayer("binary", np.ones((2, 3), np.int16), 1.0, 0)
    for use in (export, engine.run):
        with pytest.raises(
            ValueError, match="layer 1 has 65536 inputs and 2 outputs: the engine counts 65535"
        ):
            use(SpikingNetwork((wide,), 2), np.zeros((1, 2, 2**16), np.uint8))
        with pytest.raises(ValueError, match="65536 steps: the engine counts 65535"):
            use(SpikingNetwork((small,), 2**16), np.zeros((1, 2**16, 3), np.uint8))
    for state, drive in (((4,), (3,)), ((2, 2), (2, 2))):
        with pytest.raises(ValueError, match=r"one shape \[n\]"):
            engine.step(np.zeros(state, np.int32), np.zeros(drive, np.int32), 5)


def test_scales_of_any_float_type_are_exported(tmp_path):
    layer = SpikingLayer("binary", np.ones((2, 3), np.int16), np.float32(0.1))
    paths = export(SpikingNetwork((layer,), 2), np.ones((1, 2, 3), np.uint8)).write(tmp_path)
    assert load(paths["json"]).network.layers[0].scale == layer.scale == np.float32(0.1)
    assert "scale 0.10000000149011612." in paths["h"].read_text()


def test_damaged_exports_are_refused(tmp_path):
    net = network(4)
    paths = export(net, inputs(5, net)).write(tmp_path)
    document = json.loads(paths["json"].read_text())
    document["golden"]["counts"][0][0] += 1
    paths["json"].write_text(json.dumps(document))
    with pytest.raises(ValueError, match="contradict the weights"):
        load(paths["json"])
    document["version"] = 99
    paths["json"].write_text(json.dumps(document))
    with pytest.raises(ValueError, match="version 99"):
        load(paths["json"])
    with pytest.raises(ValueError, match=r"ending in \.npz or \.json"):
        load(paths["h"])
    arrays = dict(np.load(paths["npz"]))
    arrays["layer_1_words"] = arrays["layer_1_words"] + 1
    np.savez(paths["npz"], **arrays)
    with pytest.raises(ValueError, match="layer_1_words contradicts"):
        load(paths["npz"])


PROGRAM = """
#include "net.h"
static int32_t states[NI_SNN_NEURONS], drive[NI_SNN_DRIVE], sums[NI_SNN_SUMS], counts[NI_SNN_OUTPUTS];
static int8_t signals[NI_SNN_INPUTS + NI_SNN_NEURONS], trace[NI_SNN_STEPS * NI_SNN_NEURONS];
int check(void) {
    const ni_snn_work work = {states, drive, sums, signals};
    for (int g = 0; g < NI_SNN_GOLDEN; g++) {
        ni_snn_infer(&ni_snn_model, ni_snn_golden_inputs + g * NI_SNN_INPUTS, &work, counts, trace);
        for (int k = 0; k < NI_SNN_STEPS * NI_SNN_NEURONS; k++)
            if (trace[k] != ni_snn_golden_trace[g * NI_SNN_STEPS * NI_SNN_NEURONS + k]) return 1 + k;
        for (int k = 0; k < NI_SNN_OUTPUTS; k++)
            if (counts[k] != ni_snn_golden_counts[g * NI_SNN_OUTPUTS + k]) return -1 - k;
    }
    return 0;
}
"""


def test_the_header_holds_the_network_and_its_golden_vectors(tmp_path):
    import ctypes

    net = network(6)
    export(net, inputs(7, net)).write(tmp_path, "net")
    (tmp_path / "check.c").write_text(PROGRAM)
    sources = [FIRMWARE / "src" / name for name in ("snn.c", "network.c", "features.c", "plain_8bit.c")]
    sources += [FIRMWARE / "src" / name for name in ("plain_ternary.c", "plain_binary.c", "start.c")]
    flags = ["-shared", "-fPIC", "-std=c99", "-Wall", "-Wextra", "-Werror", "-I", FIRMWARE / "include"]
    library = tmp_path / "check.so"
    zig(["cc", *flags, "-I", tmp_path, tmp_path / "check.c", *sources, "-o", library])
    assert ctypes.CDLL(str(library)).check() == 0
