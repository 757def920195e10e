"""Integer networks: against the definition written out in Python's unbounded integers, and their bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nonideal.spiking import integer
from nonideal.spiking.integer import SpikingLayer, SpikingNetwork
from nonideal.spiking.neurons import LIF


def network(seed: int, *, current: bool = True, spread: int = 7, steps: int = 12) -> SpikingNetwork:
    generator = np.random.default_rng(seed)

    def levels(low, high, *shape):
        return generator.integers(low, high, shape).astype(np.int16)

    return SpikingNetwork(
        (
            SpikingLayer("q4.4", levels(-spread, spread + 9, 9, 14), 2**-4, 8 if current else 0),
            SpikingLayer("ternary", levels(-1, 2, 6, 9), 1.37),
            SpikingLayer("binary", 2 * levels(0, 2, 4, 6) - 1, 1.41),
        ),
        steps,
    )


def inputs(seed: int, net: SpikingNetwork, count: int = 20) -> np.ndarray:
    generator = np.random.default_rng(seed)
    first = net.layers[0]
    if first.input_bits:
        return generator.integers(0, 256, (count, first.inputs)).astype(np.uint8)
    return generator.integers(0, 2, (count, net.steps, first.inputs)).astype(np.uint8)


def definition(net: SpikingNetwork, sample: np.ndarray) -> list[list[list[int]]]:
    """Spikes [layer][step][neuron] of one sample by the sentences of the definition, in Python's integers."""
    record = [[] for _ in net.layers]
    states = [[0] * layer.outputs for layer in net.layers]
    for t in range(net.steps):
        signal = [int(v) for v in (sample if net.layers[0].input_bits else sample[t])]
        for k, layer in enumerate(net.layers):
            threshold = round(256 / layer.scale)
            spikes = []
            for j in range(layer.outputs):
                drive = sum(int(w) * s for w, s in zip(layer.weights[j], signal, strict=True))
                drive *= 2 ** (8 - layer.input_bits)
                charged = states[k][j] + (drive - states[k][j]) // 4
                spikes.append(int(charged >= threshold))
                states[k][j] = 0 if spikes[-1] else charged
            record[k].append(spikes)
            signal = spikes
    return record


@pytest.mark.parametrize("current", [True, False])
def test_network_follows_the_definition(current):
    net = network(1, current=current)
    samples = inputs(2, net)
    record = net.run(samples)
    assert 0.05 < record.spikes[0].mean() < 0.95 and record.spikes[2].any()
    for index, sample in enumerate(samples):
        assert [layer[index].tolist() for layer in record.spikes] == definition(net, sample)
    np.testing.assert_array_equal(record.counts, record.spikes[-1].sum(axis=1))
    np.testing.assert_array_equal(net.classify(samples), record.counts.argmax(axis=1))


def test_blocks_do_not_change_results(monkeypatch):
    net = network(3)
    samples = inputs(4, net)
    whole = net.run(samples)
    monkeypatch.setattr(integer, "BLOCK", 7)
    for found, wanted in zip(net.run(samples).spikes, whole.spikes, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_integers_are_the_float_neuron_rounded():
    """The state stays within four units of 2^-8 levels of the exact one: spikes agree away from ties."""
    generator = np.random.default_rng(5)
    layer = SpikingLayer("q4.4", generator.integers(-8, 30, (40, 30)).astype(np.int16), 2**-4, 8)
    samples = generator.integers(0, 60, (25, 30)).astype(np.uint8)
    found = SpikingNetwork((layer,), 10).run(samples).spikes[0]
    weight = torch.tensor(layer.weights, dtype=torch.float64) * layer.scale
    current = torch.tensor(samples, dtype=torch.float64) / 256 @ weight.T
    wanted = LIF(10)(current[None]).permute(1, 0, 2).numpy()
    assert 0.1 < wanted.mean() < 0.9 and (found != wanted).mean() < 0.005


def test_bounds_hold_and_are_reached():
    net = network(6, spread=100)
    for layer in net.layers:
        rows = layer.weights.astype(np.int64)
        largest = 255 if layer.input_bits else 1
        worst = np.where(rows[rows.clip(max=0).sum(axis=1).argmin()] < 0, largest, 0)
        best = np.where(rows[rows.clip(min=0).sum(axis=1).argmax()] > 0, largest, 0)
        assert layer.drive(worst[None].astype(np.uint8)).min() == layer.lowest
        assert layer.drive(best[None].astype(np.uint8)).max() == layer.highest
        state = np.zeros(layer.outputs, np.int32)
        for _ in range(60):
            state, _ = integer.step(state, np.full(layer.outputs, layer.lowest, np.int32), layer.threshold)
            assert layer.lowest <= state.min()


def test_step_rounds_towards_minus_infinity_and_fires_at_the_threshold():
    state = np.array([0, 0, 0, 7, 0], np.int32)
    drive = np.array([-1, 3, 40, -2, 39], np.int32)
    after, spikes = integer.step(state, drive, 10)
    assert after.tolist() == [-1, 0, 0, 4, 9] and spikes.tolist() == [False, False, True, False, False]


def test_equal_counts_give_the_lowest_class():
    layer = SpikingLayer("binary", np.ones((3, 2), np.int16), 1.0)
    net = SpikingNetwork((layer,), 30)
    assert net.classify(np.ones((1, 30, 2), np.uint8)).tolist() == [0]


def test_unsuitable_layers_are_refused():
    good = np.ones((2, 3), np.int16)
    for arguments, message in (
        (("binary", good.astype(np.int32), 1.0), "int16"),
        (("binary", good[0], 1.0), "int16"),
        (("binary", good, 0.0), "scale must be positive"),
        (("binary", good, float("nan")), "scale must be positive"),
        (("binary", good, 1e-9), "threshold"),
        (("binary", good, 1e-310), "threshold inf, outside"),
        (("binary", good, 600.0), "threshold 0"),
        (("binary", good, 1.0, 9), "input_bits"),
        (("q8.8", np.full((1, 130), 2**15 - 1, np.int16), 2**-8, 8), "more than 2\\^30"),
        (("q8.8", np.full((1, 130), -(2**15), np.int16), 2**-8), "more than 2\\^30"),
    ):
        with pytest.raises(ValueError, match=message):
            SpikingLayer(*arguments)


def test_unsuitable_networks_and_inputs_are_refused():
    first, second = network(7).layers[:2]
    for layers, steps, message in (
        ((), 3, "at least one layer"),
        ((first,), 0, "at least one layer"),
        ((second, second), 3, "layer 2 has 9 inputs"),
        ((SpikingLayer("q4.4", np.ones((14, 14), np.int16), 1.0), first), 3, "layer 2 takes a current"),
    ):
        with pytest.raises(ValueError, match=message):
            SpikingNetwork(layers, steps)
    net = network(7)
    for wrong in (inputs(0, net).astype(int), inputs(0, net)[:, 1:], inputs(0, net)[:0]):
        with pytest.raises(ValueError, match="inputs must be uint8"):
            net.run(wrong)
    spiking = network(7, current=False)
    with pytest.raises(ValueError, match="below 2, found 2"):
        spiking.run(inputs(0, spiking) * 2)
