import numpy as np
import pytest
from mcu_networks import extremes, images, layer, network

from nonideal.mcu.build import FIRMWARE, BuildError, engine_sources, host_library
from nonideal.mcu.host import HostEngine
from nonideal.mcu.integer import IntegerLayer, shift_norm
from nonideal.mcu.packing import LAYOUTS
from nonideal.quantize.formats import FORMATS

# Rows that fill words and blocks exactly, by one too many, not at all; more inputs than are treated at once.
SHAPES = [(64, 256), (10, 64), (1, 1), (33, 7), (65, 129), (5, 300), (96, 31), (32, 128)]


@pytest.mark.parametrize("kernel", LAYOUTS)
@pytest.mark.parametrize("name", FORMATS)
def test_accumulators_are_those_of_python(engine, name, kernel):
    for outputs, inputs in SHAPES:
        part = layer(name, outputs, inputs)
        for lowest in (-128, 0):
            x = np.concatenate((images(inputs, lowest=lowest), extremes(part, lowest, 127)))
            found = engine.accumulate(part, x, kernel=kernel, signed=lowest < 0)
            assert np.array_equal(found, part.accumulate(x)), (outputs, inputs, lowest)


@pytest.mark.parametrize("kernel", LAYOUTS)
@pytest.mark.parametrize("name", FORMATS)
def test_every_product(engine, name, kernel):
    """One input at a time: every value against every level, and the digits of every value."""
    levels = np.array(FORMATS[name].levels, np.int16)
    part = IntegerLayer(name, np.repeat(levels[:, None], 2, axis=1))
    x = np.zeros((256, 2), np.int8)
    x[:, 1] = np.arange(-128, 128)
    assert np.array_equal(engine.accumulate(part, x, kernel=kernel), part.accumulate(x))
    assert np.array_equal(
        engine.accumulate(part, x[128:], kernel=kernel, signed=False), part.accumulate(x[128:])
    )


@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_the_largest_and_smallest_weights(engine, name):
    """Lanes and sums at their limits: every weight extreme, every input extreme."""
    levels = FORMATS[name].levels
    weights = np.repeat(np.array([[levels[0]], [levels[-1]]], np.int16), 520, axis=1)
    part = IntegerLayer(name, np.tile(weights, (16, 1)))
    values = np.array([-128, -127, -1, 0, 1, 85, 86, 126, 127], np.int8)
    x = np.repeat(values[:, None], 520, axis=1)
    x = np.concatenate((x, np.where(np.arange(520) % 2, x, -128), np.where(np.arange(520), x, -128)))
    for kernel in LAYOUTS:
        found = engine.accumulate(part, x.astype(np.int8), kernel=kernel)
        assert np.array_equal(found, part.accumulate(x.astype(np.int8)))


@pytest.mark.parametrize("kernel", LAYOUTS)
@pytest.mark.parametrize("name", FORMATS)
def test_networks_layer_by_layer_and_as_a_whole(engine, name, kernel):
    net = network(name, 60, 40, 33, 7)
    inputs = images(60, 100)
    wanted = net.accumulators(inputs)
    for found, expected in zip(engine.accumulators(net, inputs, kernel=kernel), wanted, strict=True):
        assert np.array_equal(found, expected)
    logits, classes = engine.infer(net, inputs, kernel=kernel)
    assert np.array_equal(logits, wanted[-1]) and np.array_equal(classes, net.classify(inputs))


def test_shift_norm_is_that_of_python(engine):
    rows = [[2**p + d, 2 ** (p - 1) + d, -d, -(2**p)] for p in range(1, 31) for d in (-1, 0, 1)]
    rows += [[2**31 - 1, 2**30, 1, -(2**31)], [0, 0, 0, 0], [-1, -5, -7, -9], [127, 128, 255, 256]]
    y = np.array(rows, np.int32)
    assert np.array_equal(engine.shift_norm(y), shift_norm(y))


def test_a_broken_kernel_is_found(tmp_path):
    """One wrong constant in a copy of the sources gives other numbers."""
    copy = tmp_path / "firmware"
    for source in FIRMWARE.rglob("*.[ch]"):
        target = copy / source.relative_to(FIRMWARE)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text()
        if source.name == "fast_4bitsym.c":
            assert "#define NI_LIMIT 17" in text
            text = text.replace("#define NI_LIMIT 17", "#define NI_LIMIT 18")
        target.write_text(text)
    broken = HostEngine(host_library(tmp_path, firmware=copy))
    part = IntegerLayer("4bitsym", np.full((8, 40), 15, np.int16))
    x = np.repeat(np.array([[85]], np.int8), 40, axis=1)
    assert not np.array_equal(broken.accumulate(part, x, kernel="fast", signed=False), part.accumulate(x))


def test_errors_of_the_build_are_shown(tmp_path):
    with pytest.raises(FileNotFoundError, match="no C sources in"):
        engine_sources(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.c").write_text("int f(void) { return x; }")
    with pytest.raises(BuildError, match="undeclared identifier 'x'"):
        host_library(tmp_path / "out", firmware=tmp_path)


def test_inputs_of_another_shape_are_refused(engine):
    with pytest.raises(ValueError, match=r"inputs must be int8 \[n, 8\]"):
        engine.accumulate(layer("4bit", 4, 8), np.zeros((2, 8)), kernel="fast")
    with pytest.raises(ValueError, match="kernel 'x' is not known"):
        engine.accumulate(layer("4bit", 4, 8), np.zeros((2, 8), np.int8), kernel="x")
    with pytest.raises(ValueError, match=r"images must be int8 \[n, 8\]"):
        engine.infer(network("4bit", 8, 4), np.zeros((2, 7), np.int8), kernel="fast")
