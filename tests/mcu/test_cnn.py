"""The convolutions: integer definition, C on the host, firmware, export, limits."""

import json
import re

import numpy as np
import pytest
import torch
from mcu_networks import images, layer, network

from nonideal import models
from nonideal.mcu import cycles, limits
from nonideal.mcu.build import FIRMWARE, firmware, host_library
from nonideal.mcu.convolutions import CEILING, Convolutions
from nonideal.mcu.emulate import Emulator
from nonideal.mcu.export import export, load
from nonideal.mcu.host import HostEngine
from nonideal.mcu.integer import IntegerNetwork, from_model, quantise_images, shift_norm
from nonideal.mcu.packing import LAYOUTS
from nonideal.mcu.verify import MismatchError, adversarial_images, verify
from nonideal.rng import stream, torch_stream

PIXELS = 256


def convolutions(channels: int, seed: int = 0, shifts=(7, 7, 3)) -> Convolutions:
    """Random filters of typical size, and where there is room all of the largest and smallest weights."""
    weights = stream(seed, "filters", channels).normal(0, 32, (3, channels, 9)).round().clip(-128, 127)
    for channel, level in enumerate((127, -128, 85, -86)[: channels - 1]):
        weights[:, channel] = level
    return Convolutions(weights.astype(np.int16), shifts)


def cnn(channels: int, seed: int = 0, widths=(8,), first="2bitsym") -> IntegerNetwork:
    sizes = (4 * channels, *widths, 5)
    layers = [layer(first if k == 0 else "4bitsym", sizes[k + 1], sizes[k]) for k in range(len(sizes) - 1)]
    return IntegerNetwork(tuple(layers), convolutions(channels, seed))


def slow_features(net: Convolutions, image: np.ndarray) -> list[int]:
    """One value at a time in Python's integers."""

    def slide(x, taps):
        n = len(x) - 2
        return [
            [sum(taps[3 * i + j] * x[r + i][c + j] for i in range(3) for j in range(3)) for c in range(n)]
            for r in range(n)
        ]

    def pool(y):
        return [
            [max(y[r][c], y[r][c + 1], y[r + 1][c], y[r + 1][c + 1]) for c in range(0, len(y), 2)]
            for r in range(0, len(y), 2)
        ]

    def activate(y, shift, ceiling):
        return [[min(ceiling, max(0, v) >> shift) for v in row] for row in y]

    result = []
    for w1, w2, w3 in net.weights.transpose(1, 0, 2).tolist():
        a1 = activate(slide(image.reshape(16, 16).tolist(), w1), net.shifts[0], CEILING)
        a2 = activate(pool(slide(a1, w2)), net.shifts[1], CEILING)
        f = activate(pool(slide(a2, w3)), net.shifts[2], 2**31)
        result += [v for row in f for v in row]
    return result


def test_features_against_python_integers():
    net = cnn(5)
    inputs = images(PIXELS, 2)
    features = net.features(inputs)
    for image, found in zip(inputs, features, strict=True):
        assert found.tolist() == slow_features(net.convolutions, image)
    assert (features > 0).any() and net.convolutions.features(
        net.convolutions.accumulators(inputs)[-1]
    ).dtype == np.int32
    x = shift_norm(features)
    assert np.array_equal(net.accumulators(inputs)[0], net.layers[0].accumulate(x))


@pytest.mark.parametrize("kernel", LAYOUTS)
def test_features_in_c_are_those_of_python(engine, kernel):
    for shifts in ((7, 7, 3), (9, 10, 4), (0, 0, 3), (5, 8, 12)):
        net = IntegerNetwork((layer("2bitsym", 5, 28),), convolutions(7, shifts=shifts))
        inputs = np.concatenate((images(PIXELS, 8), adversarial_images(net, seed=0, count=4)[::3]))
        found = engine.features(net.convolutions, inputs, kernel=kernel)
        assert np.array_equal(found, net.features(inputs)), shifts


def test_every_tap_of_the_fast_kernel(engine):
    """Filters of one tap move the image; the values left tell which pixels were read."""
    weights = np.zeros((3, 27, 9), np.int16)
    weights[:, :, 4] = 64
    for k in range(27):
        weights[k // 9, k] = 0
        weights[k // 9, k, k % 9] = 64
    net = Convolutions(weights, (6, 6, 6))
    inputs = images(PIXELS, 8)
    wanted = net.features(net.accumulators(inputs)[-1])
    assert np.array_equal(engine.features(net, inputs, kernel="fast"), wanted)
    assert len(np.unique(wanted.T, axis=0)) > 50  # taps of layers 1 and 2 may agree


@pytest.mark.parametrize("kernel", LAYOUTS)
def test_features_that_would_be_rounded_to_128_become_127(engine, kernel):
    weights = np.zeros((3, 1, 9), np.int16)
    weights[:, 0, 4] = 64, 127, 64
    part = layer("4bitsym", 5, 4)
    net = IntegerNetwork((part,), Convolutions(weights, (6, 5, 6)))
    inputs = np.repeat(np.arange(128)[:, None], PIXELS, axis=1).astype(np.int8)
    assert net.features(inputs).max() == 255  # halved and rounded: 128
    assert np.array_equal(engine.infer(net, inputs, kernel=kernel)[0], net.logits(inputs))


@pytest.mark.parametrize("kernel", LAYOUTS)
def test_every_weight(engine, kernel):
    """All 256 levels at one tap of each layer, the digits of every level."""
    levels = np.arange(-128, 128, dtype=np.int16)
    for which in range(3):
        weights = np.zeros((3, 256, 9), np.int16)
        weights[:, :, 4] = 16
        weights[which, :, 4], weights[which, :, 0] = levels, levels[::-1]
        net = Convolutions(weights, (4, 4, 3))
        inputs = images(PIXELS, 2)[::3]
        wanted = net.features(net.accumulators(inputs)[-1])
        assert np.array_equal(engine.features(net, inputs, kernel=kernel), wanted)


def test_adversarial_images_reach_the_bounds_of_the_first_convolution():
    net = cnn(4)
    y = net.convolutions.accumulators(adversarial_images(net, seed=0, count=4))[0]
    bounds, feature = net.convolutions.bounds(lowest=-128, highest=127)
    assert np.abs(y).max() == bounds[0] == 128 * 128 * 9
    assert feature >= net.features(adversarial_images(net, seed=0, count=4)).max()
    assert (np.abs(y).max(axis=(0, 1)) == bounds[0]).all()  # at every one of the 14 x 14 outputs


@pytest.mark.parametrize("kernel", LAYOUTS)
def test_firmware_is_verified_and_counted(engine, tmp_path, kernel):
    net = cnn(3, widths=(6,))
    inputs = np.concatenate((images(PIXELS, 4), adversarial_images(net, seed=1, count=2)[::8]))
    made = export(net, inputs, kernel=kernel)
    built = firmware(made, tmp_path)
    emulator = Emulator(built.elf)
    verify(made, inputs, engine=engine, emulator=emulator)
    assert emulator.stack_used() <= built.stack and built.ram + built.stack <= 2048
    count = cycles.count(emulator, inputs[:2])
    assert 10_000 < count.total_cycles < 2_000_000


@pytest.mark.parametrize("channels", [48, 64])
def test_the_widest_networks_fit_and_agree(engine, tmp_path, channels):
    net = cnn(channels, widths=(96, 64))
    inputs = images(PIXELS, 1)[:4]
    made = export(net, inputs)
    emulator = Emulator(firmware(made, tmp_path).elf)
    verify(made, inputs, engine=engine, emulator=emulator)
    emulator.stack_used()


def broken(folder, name, old, new):
    for source in FIRMWARE.rglob("*"):
        if source.is_file():
            target = folder / source.relative_to(FIRMWARE)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text()
            if source.name == name:
                assert old in text
                text = text.replace(old, new)
            target.write_text(text)
    return folder


def test_a_broken_kernel_fails_the_verification(engine, tmp_path):
    net = cnn(3)
    inputs = images(PIXELS, 4)
    made = export(net, inputs)
    sources = broken(tmp_path / "a", "windows.S", "li plane, 4", "li plane, 3")
    emulator = Emulator(firmware(made, tmp_path / "out", sources=sources).elf)
    with pytest.raises(MismatchError, match=r"firmware, fast kernel, logits: \d+ of \d+ images differ"):
        verify(made, inputs, engine=engine, emulator=emulator)
    sources = broken(tmp_path / "b", "fast_convolutions.c", "PLANES = 4,", "PLANES = 3,")
    other = HostEngine(host_library(tmp_path, firmware=sources))
    with pytest.raises(MismatchError, match=r"host C, fast kernel, features: \d+ of \d+ images differ"):
        verify(made, inputs, engine=other, emulator=emulator)


@pytest.mark.parametrize("kernel", LAYOUTS)
def test_round_trip_is_exact(tmp_path, kernel):
    made = export(cnn(3), images(PIXELS, 3), kernel=kernel)
    paths = made.write(tmp_path)
    for suffix in ("npz", "json"):
        read = load(paths[suffix])
        assert read.header() == made.header() and read.kernel == kernel
        assert np.array_equal(read.network.convolutions.weights, made.network.convolutions.weights)
        assert read.network.convolutions.shifts == made.network.convolutions.shifts
    document = json.loads(paths["json"].read_text())
    accumulators = made.network.convolutions.accumulators(made.images)
    for found, wanted in zip(document["golden"]["convolutions"], accumulators, strict=True):
        assert np.array_equal(found, wanted)
    document["convolutions"]["weights"][0][0][0] = 5  # was 127
    paths["json"].write_text(json.dumps(document))
    with pytest.raises(ValueError, match="contradict the weights"):
        load(paths["json"])


def test_what_does_not_fit_is_refused_by_name():
    image = np.zeros((1, PIXELS), np.int8)
    with pytest.raises(ValueError, match=r"convolutions: 80 channels take \d+ bytes of RAM .* fast kernel"):
        export(cnn(80), image)
    export(cnn(80), image, target=None)
    wide = IntegerNetwork((layer("2bitsym", 5, 12),), convolutions(3, shifts=(7, 7, 0)))
    with pytest.raises(ValueError, match="convolution 3: a feature could reach 291465, 16 bits hold 65535"):
        export(wide, image, target=None)
    with pytest.raises(ValueError, match="layer 1 has 8 inputs, 3 channels of convolutions have 12"):
        IntegerNetwork((layer("2bitsym", 5, 8),), convolutions(3))
    with pytest.raises(ValueError, match=r"must be int16 \[3, channels, 9\], got int16 \[2, 3, 9\]"):
        Convolutions(np.zeros((2, 3, 9), np.int16), (1, 1, 1))
    with pytest.raises(ValueError, match=r"must be -128 \.\. 127, got 0 \.\. 128"):
        Convolutions(np.array([[[128] + [0] * 8]] * 3, np.int16), (1, 1, 1))
    with pytest.raises(ValueError, match="three shifts of 0"):
        Convolutions(np.zeros((3, 1, 9), np.int16), (1, 1, 32))
    with pytest.raises(ValueError, match=r"images must be int8 \[n, 256\], got int8 \[1, 255\]"):
        convolutions(1).accumulators(np.zeros((1, 255), np.int8))


@pytest.mark.parametrize("kernel", LAYOUTS)
@pytest.mark.parametrize("channels", [64, 65, 96])
def test_images_of_wide_networks_have_room_for_their_features(engine, channels, kernel):
    """Each image's features would overwrite the next image; more than 64 channels have more than 256."""
    net = cnn(channels)
    inputs = images(PIXELS, 6)
    logits, _ = engine.infer(net, inputs, kernel=kernel)
    assert np.array_equal(logits, net.accumulators(inputs)[-1])
    made = export(net, inputs[:2], kernel=kernel, target=None).header()
    room = {name: int(re.search(rf"#define {name} (\d+)", made)[1]) for name in ("NI_MODEL_X", "NI_MODEL_Y")}
    each = 8 if kernel == "fast" else 4
    assert room["NI_MODEL_X"] == max(256, each * channels)
    assert 4 * room["NI_MODEL_Y"] == (1216 if kernel == "fast" else 1024 + 8 * channels)


def test_a_list_of_its_own_is_counted(tmp_path):
    """The list of active inputs of fp130 lies beside the memory that convolutions and layers share."""
    made = export(cnn(16, first="fp130"), images(PIXELS)[:2])
    program = firmware(made, tmp_path)
    target = limits.TARGETS["ch32v003"]
    assert program.ram <= target.ram and limits.active_inputs(made.network, "fast", target) >= 16
    with pytest.raises(ValueError, match=r"convolutions: 64 channels take .* bytes of RAM"):
        export(cnn(64, first="fp130", widths=(96,)), images(PIXELS)[:2])


@pytest.mark.parametrize("shifts", [(7, 7, 3), (12, 9, 0)])
def test_bounds_are_those_of_each_tap_at_its_ends(shifts):
    for seed in range(8):
        one = convolutions(1, seed, shifts)
        ends, wanted = (-128, 127), []
        for weights, shift in zip(one.weights[:, 0].tolist(), shifts, strict=True):
            top, bottom = (sum(pick(w * end for end in ends) for w in weights) for pick in (max, min))
            wanted.append(max(top, -bottom))
            ends = (0, min(CEILING, max(top, 0) >> shift))
        feature = max(top, 0) >> shifts[-1]
        assert one.bounds(lowest=-128, highest=127) == (tuple(wanted), feature)


def test_images_are_convolved_in_parts(monkeypatch):
    net, inputs = convolutions(3), images(PIXELS, 2)
    whole = net.accumulators(inputs)
    monkeypatch.setattr("nonideal.mcu.convolutions.CHUNK", 3)
    for part, wanted in zip(net.accumulators(inputs), whole, strict=True):
        assert np.array_equal(part, wanted)


def test_an_accumulator_that_could_overflow_is_refused(monkeypatch):
    monkeypatch.setattr("nonideal.mcu.limits.ACCUMULATOR_LARGEST", 200_000)
    with pytest.raises(ValueError, match="convolution 2: an accumulator could reach 293760, 32 bits hold"):
        limits.check_engine(cnn(3), "fast")


@pytest.mark.parametrize("first", ["ternary", "2bitsym"])
def test_integers_of_a_model_are_its_own_to_the_last_bit(first):
    model = models.build("cnn", channels=6, first_format=first, generator=torch_stream(0, "init")).eval()
    x = torch.randn(6, 1, 16, 16, generator=torch_stream(1, "x"))
    net = from_model(model)
    assert np.array_equal(net.features(quantise_images(x)), model.features(x).flatten(1).detach().numpy())
    assert [part.weight_format for part in net.layers] == [first, "4bitsym", "4bitsym"]
    assert net.convolutions.scales == tuple(float(bank.scale) for bank in model.convolutions)
    text = export(net, x, target=None).header()
    golden = re.search(r"ni_golden_features\[4\]\[24\] = \{\n(.*?)\n\};", text, re.DOTALL)[1]
    assert np.array_equal(
        np.array(re.findall(r"\d+", golden), int).reshape(4, 24), net.features(quantise_images(x[:4]))
    )
    assert net.convolutions.channels == 6 and net.sizes == (256, 96, 64, 10)


@pytest.mark.parametrize("kernel", LAYOUTS)
def test_flash_is_checked_for_what_an_export_holds(kernel):
    for made in (cnn(3), cnn(8, widths=()), network("4bitsym", PIXELS, 16, 10)):
        arrays = export(made, images(PIXELS)[:1], kernel=kernel, target=None).arrays()
        stored = sum(arrays[f"layer_{k}_words"].nbytes for k in range(1, len(made.layers) + 1))
        if made.convolutions is None:
            stored += arrays["layer_1_row_sums"].nbytes
        else:
            stored += arrays["convolution_weights"].astype(np.int8).nbytes
        assert sum(limits.flash_of_data(made, kernel)) == stored
