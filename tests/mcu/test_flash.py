"""Stuck bits in flash: where they lie, what they do, and that training sees the same."""

import numpy as np
import pytest
import torch
from mcu_networks import images, layer, network

from nonideal import faults
from nonideal.mcu import flash
from nonideal.mcu.build import firmware
from nonideal.mcu.emulate import Emulator
from nonideal.mcu.export import export
from nonideal.mcu.integer import IntegerNetwork
from nonideal.mcu.packing import LAYOUTS, stored_bits
from nonideal.quantize.formats import FORMATS

USABLE = [name for name in FORMATS if name != "ternary"]


def made(name, kernel, *sizes):
    return export(network(name, *sizes), images(sizes[0]), kernel=kernel)


def image(packed):
    return b"".join(layer.words.astype("<u4").tobytes() for layer in packed)


def test_an_unknown_format_is_said_to_be_unknown():
    with pytest.raises(ValueError, match="'5bit' is not known"):
        flash.code_levels("5bit", "fast")


@pytest.mark.parametrize("kernel", LAYOUTS)
@pytest.mark.parametrize("name", USABLE)
def test_one_flipped_bit_changes_the_weight_the_map_names(name, kernel):
    """Every bit of a small image: (byte, bit) in flash is exactly (layer, row, column, bit) of the map."""
    written = made(name, kernel, 3, 5, 2)
    ends = flash.starts(written.packed)
    named = {}
    for k, (part, packed) in enumerate(zip(written.network.layers, written.packed, strict=True)):
        where = flash.addresses(5 if k == 0 else 2, part.inputs, name, kernel, packed.stride, start=ends[k])
        assert where.shape == (part.outputs, part.inputs, stored_bits(name, kernel))
        named |= {int(address): (k, *place) for place, address in np.ndenumerate(where)}
    codes = flash.code_levels(name, kernel)
    assert len(named) == sum(part.weights.size * stored_bits(name, kernel) for part in written.network.layers)
    before = np.frombuffer(image(written.packed), np.uint8)
    for address in range(8 * ends[-1]):
        byte, bit = divmod(address, 8)
        masks = np.zeros((2, ends[-1]), np.uint8)
        value = before[byte] >> bit & 1
        masks[1 - value, byte] = 1 << bit  # stuck at what it is not
        words, held = flash.damage(written, faults.FaultMap(*map(torch.from_numpy, masks)))
        after = np.frombuffer(image(words), np.uint8)
        assert (np.unpackbits(before ^ after).sum(), after[byte] ^ before[byte]) == (1, 1 << bit)
        changed = [
            (k, *place)
            for k, (old, new) in enumerate(zip(written.network.layers, held.layers, strict=True))
            for place in np.argwhere(old.weights != new.weights).tolist()
        ]
        if address not in named:
            assert not changed, "a filling bit holds no weight"
            continue
        k, row, column, cell = named[address]
        assert changed == [(k, row, column)]
        code = codes.index(written.network.layers[k].weights[row, column])
        assert held.layers[k].weights[row, column] == codes[code ^ 1 << cell]
        assert code >> cell & 1 == value


@pytest.mark.parametrize("kernel", LAYOUTS)
@pytest.mark.parametrize("name", USABLE)
def test_training_sees_what_flash_holds_and_c_computes_with_it(engine, name, kernel):
    written = made(name, kernel, 40, 33, 7)  # rows that do not fill their words
    stuck = flash.draw(flash.starts(written.packed)[-1], 0.2, p_stuck1=0.4, seed=3)
    words, held = flash.damage(written, stuck)
    maps = flash.cells(written, stuck)
    for part, after, fault in zip(written.network.layers, held.layers, maps, strict=True):
        for mode in ("basic", "passive"):
            quantiser = flash.FaultyFormat(name, kernel, 0.25, fault, mode)
            weight = 0.25 * torch.from_numpy(part.weights).float()
            assert torch.equal(quantiser.levels()[quantiser.encode(weight).long()], weight)
            seen = quantiser.integers(quantiser.written(weight)).numpy()
            if mode == "basic":
                assert np.array_equal(seen, after.weights)
            else:
                near = quantiser.encode_attainable(weight)
                assert torch.equal(fault.apply(near), near), "the bits can hold what is written"
        assert (after.weights != part.weights).any()
    x = images(40)
    found, classes = engine.infer(held, x, kernel=kernel, packed=words)
    assert np.array_equal(found, held.logits(x)) and np.array_equal(classes, held.classify(x))
    assert not np.array_equal(found, written.network.logits(x))
    if kernel == "plain":  # which has no row sums: the words alone decide
        found, _ = engine.infer(written.network, x, kernel=kernel, packed=words)
        assert np.array_equal(found, held.logits(x))


def test_the_nearest_attainable_level_is_the_nearest_of_all(engine):
    """Against a search over every code, at values between and beyond the levels."""
    for kernel, name in (("plain", "4bitsym"), ("plain", "4bit"), ("fast", "nf4"), ("plain", "fp130")):
        levels = np.array(flash.code_levels(name, kernel), float)
        fault = faults.draw((40, 50), 4, 0.4, p_stuck1=0.5, seed=1, layer="x")
        span = 1.3 * np.abs(levels).max()
        weight = torch.linspace(-span, span, 2000).view(40, 50)
        found = flash.FaultyFormat(name, kernel, 1.0, fault, "passive").encode_attainable(weight)
        codes = np.arange(16)
        zero, one = fault.stuck0.numpy()[..., None], fault.stuck1.numpy()[..., None]
        held = (codes & zero == 0) & (codes & one == one)
        distance = np.abs(levels - weight.double().numpy()[..., None])
        best = np.where(held, distance, np.inf).min(-1)
        chosen = np.take_along_axis(distance, found.long().numpy()[..., None], -1)[..., 0]
        assert np.take_along_axis(held, found.long().numpy()[..., None], -1).all()
        assert np.abs(chosen - best).max() < 1e-4 * span


def test_layouts_give_a_bit_different_meanings():
    assert flash.code_levels("4bit", "plain") == (*range(8), *range(-8, 0))  # two's complement
    assert flash.code_levels("4bit", "fast") == tuple(range(-8, 8))
    assert flash.code_levels("4bitsym", "plain") == (*range(1, 16, 2), *range(-1, -16, -2))
    assert flash.code_levels("4bitsym", "fast") == tuple(range(-15, 16, 2))


def test_maps_are_nested_seeded_and_made_of_both_values():
    low, high = (flash.draw(4000, rate, p_stuck1=0.25, seed=5) for rate in (0.05, 0.2))
    for small, large in ((low.stuck0, high.stuck0), (low.stuck1, high.stuck1)):
        assert torch.equal(small & large, small) and not torch.equal(small, large)
    count = [int(np.unpackbits(mask.numpy()).sum()) for mask in (high.stuck0, high.stuck1)]
    assert sum(count) / 32000 == pytest.approx(0.2, abs=0.01)
    assert count[1] / sum(count) == pytest.approx(0.25, abs=0.03)
    assert not torch.equal(flash.draw(4000, 0.2, p_stuck1=0.25, seed=6).stuck0, high.stuck0)


def test_the_program_carries_the_damaged_words(engine, tmp_path):
    """A program of what the flash holds has those bytes in it, and computes with them."""
    written = made("4bit", "plain", 24, 16, 8)
    stuck = flash.draw(flash.starts(written.packed)[-1], 0.1, p_stuck1=0.5, seed=1)
    words, held = flash.damage(written, stuck)
    built = firmware(export(held, images(24), kernel="plain"), tmp_path)
    content = built.bin.read_bytes()
    assert all(part.words.astype("<u4").tobytes() in content for part in words)
    logits, _ = Emulator(built.elf).infer_all(images(24)[:5], 8)
    assert np.array_equal(logits, held.logits(images(24)[:5]))


def test_what_has_no_bits_of_its_own_is_refused():
    for kernel in LAYOUTS:
        with pytest.raises(ValueError, match=r"'ternary': not every pattern.*binary, 2bitsym, 4bitsym"):
            flash.code_levels("ternary", kernel)
    with pytest.raises(ValueError, match="layout 'slow' is not known"):
        flash.code_levels("4bit", "slow")
    with pytest.raises(ValueError, match="the map is of \\[3\\] bytes, the image of the weights has"):
        flash.damage(made("4bit", "fast", 8, 8), flash.draw(3, 0.1, p_stuck1=0, seed=1))
    with pytest.raises(ValueError, match="beyond the 1 of a weight"):
        fault = faults.draw((2, 2), 4, 1.0, seed=1, layer="x")
        flash.FaultyFormat("binary", "fast", 1.0, fault, "basic")


def test_formats_mix(engine):
    net = IntegerNetwork((layer("4bitsym", 16, 40), layer("8bit", 12, 16), layer("4bit", 5, 12)))
    written = export(net, images(40), kernel="plain")
    stuck = flash.draw(flash.starts(written.packed)[-1], 0.1, p_stuck1=0.5, seed=2)
    words, held = flash.damage(written, stuck)
    found, _ = engine.infer(held, images(40), kernel="plain", packed=words)
    assert np.array_equal(found, held.logits(images(40)))
