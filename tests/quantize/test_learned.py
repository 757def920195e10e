import copy

import learned_oracle as oracle
import numpy as np
import pytest
import torch

from nonideal.quantize import attach
from nonideal.quantize.learned import MODES, WIDTHS, LearnedQuantiser, code_bits, nearest_sorted, qp
from nonideal.quantize.losses import penalty
from nonideal.rng import torch_stream

every_width = pytest.mark.parametrize("bits", WIDTHS)


def random(*shape, name="w"):
    return torch.randn(shape, generator=torch_stream(3, "test", name))


def quantiser(bits, mode="multiplier", r=None, c=None, **options):
    result = LearnedQuantiser(bits, mode, **options)
    with torch.no_grad():
        if r is not None:
            result.r.copy_(torch.as_tensor(r))
        if c is not None:
            result.c.fill_(c)
    return result


@every_width
def test_code_bits_are_the_binary_digits(bits):
    table = code_bits(bits, torch.device("cpu"))
    assert table.shape == (2**bits, bits)
    for code in range(2**bits):
        assert "".join(str(int(bit)) for bit in reversed(table[code].tolist())) == format(code, f"0{bits}b")


@every_width
@pytest.mark.parametrize("mode", MODES)
def test_every_level_of_every_width_is_kept_and_has_its_code(bits, mode):
    r = 0.25 * 2.0 ** torch.arange(bits) if mode == "multiplier" else [0.25]
    q = quantiser(bits, mode, r=r, c=-0.75)
    levels = q.levels().detach()
    assert torch.equal(levels, 0.25 * torch.arange(2**bits) - 0.75)  # dyadic: exact
    assert q.encode(levels).tolist() == list(range(2**bits))
    assert torch.equal(q.quantise(levels), levels)
    beyond = torch.tensor([levels[0] - 9.0, levels[-1] + 9.0])
    assert q.encode(beyond).tolist() == [0, 2**bits - 1]


@every_width
@pytest.mark.parametrize("mode", MODES)
def test_halfway_goes_up_and_just_below_goes_down(bits, mode):
    r = 0.25 * 2.0 ** torch.arange(bits) if mode == "multiplier" else [0.25]
    q = quantiser(bits, mode, r=r, c=-0.75)
    levels = q.levels().detach()
    middle = (levels[1:] + levels[:-1]) / 2
    assert q.encode(middle).tolist() == list(range(1, 2**bits))
    assert q.encode(middle - 1e-3).tolist() == list(range(2**bits - 1))


@every_width
def test_learned_multipliers_agree_with_all_distances(bits):
    for trial in range(5):
        multipliers = random(bits, name=f"r{trial}").abs() * 2.0 ** torch.arange(bits)
        q = quantiser(bits, r=multipliers, c=0.3)
        assert torch.allclose(q.levels(), oracle.levels_of(multipliers, torch.tensor(0.3)), atol=1e-5)
        weight = random(400, name=f"w{trial}") * multipliers.sum()
        codes = q.encode(weight)
        best = q.levels()[oracle.nearest(weight, q.levels().detach())]
        assert torch.allclose((weight - q.levels()[codes]).abs(), (weight - best).abs(), rtol=0, atol=1e-6)


def test_levels_out_of_order_are_searched_right():
    q = quantiser(3, r=[4.0, 1.0, -2.0], c=0.5)  # the low bit weighs most, one multiplier is negative
    levels = q.levels().detach()
    assert levels.tolist() != sorted(levels.tolist())
    weight = torch.linspace(-4, 8, 997)
    assert torch.equal(q.encode(weight).long(), oracle.nearest(weight, levels))


@pytest.mark.parametrize("mode", MODES)
def test_the_start_follows_from_the_weights(mode):
    weight = random(64, 32)
    q = LearnedQuantiser(4, mode).initialise(weight)
    step = 2 * weight.abs().mean() / 7.5**0.5
    assert torch.allclose(q.multipliers(), step * torch.tensor([1.0, 2.0, 4.0, 8.0]))
    assert q.levels().detach() == pytest.approx((torch.arange(16) - 7.5) * step, rel=1e-5)
    assert qp(4) == 7.5
    with pytest.raises(ValueError, match="no step follows"):
        LearnedQuantiser(4, mode).initialise(torch.zeros(3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("mode", MODES)
def test_a_layer_of_any_type_takes_a_quantiser(mode, dtype):
    layer = torch.nn.Linear(32, 6).to(dtype)
    attach.attach(layer, lambda name, layer: LearnedQuantiser(3, mode).initialise(layer.weight))
    held = layer.train().weight.detach().clone()
    assert layer.eval().weight.dtype == dtype
    half = float(attach.attached(layer)[""].r.detach().abs().max())
    assert (layer.weight - held).abs().median() < half


@every_width
@pytest.mark.parametrize("mode", MODES)
def test_levels_and_codes_do_not_depend_on_autocast(bits, mode):
    weight = random(500)
    learned = LearnedQuantiser(bits, mode).initialise(weight)
    wanted = learned.levels(), learned.quantise(weight)
    with torch.autocast("cpu", torch.bfloat16):
        found = learned.levels(), learned.quantise(weight)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_what_is_learned_depends_on_the_mode():
    assert [p.requires_grad for p in LearnedQuantiser(3, "fixed").parameters()] == [False, False]
    assert [p.numel() for p in LearnedQuantiser(3, "step").parameters() if p.requires_grad] == [1, 1]
    assert [p.numel() for p in LearnedQuantiser(3, "multiplier").parameters() if p.requires_grad] == [3, 1]


@pytest.mark.parametrize(
    "layer",
    [torch.nn.Linear(6, 5), torch.nn.Conv2d(2, 3, 3), torch.nn.Conv1d(2, 3, 3)],
    ids=["dense", "convolution", "convolution in time"],
)
@pytest.mark.parametrize("straight", [False, True])
def test_any_layer_computes_with_float_or_quantised_weights(layer, straight):
    layer = torch.nn.Sequential(copy.deepcopy(layer))
    weight = layer[0].weight.detach().clone()
    attach.attach(layer, lambda name, m: LearnedQuantiser(3, straight_through=straight).initialise(m.weight))
    q = attach.attached(layer)["0"]
    quantised = q.levels()[oracle.nearest(weight.flatten(), q.levels().detach())].view(weight.shape)
    assert torch.equal(layer.train()[0].weight, quantised if straight else weight)
    assert torch.equal(layer.eval()[0].weight, quantised)
    layer.train()
    (layer[0].weight * torch.arange(weight.numel()).view(weight.shape)).sum().backward()
    gradient = attach.original(layer)["0"].grad
    assert torch.equal(gradient, torch.arange(weight.numel()).view(weight.shape).float())
    assert q.r.grad is None  # r learns from the penalty alone
    layer.eval()
    attach.detach(layer)
    assert torch.equal(layer[0].weight, quantised)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", ["weight", "c"])
def test_what_is_not_a_number_has_a_code_and_its_penalty_none(mode, where):
    weight = torch.nn.Parameter(random(6, 5))
    q = LearnedQuantiser(3, mode).initialise(weight)
    finite = q.encode(weight)
    with torch.no_grad():
        (weight[2] if where == "weight" else q.c).fill_(torch.nan)
    codes = q.encode(weight)
    assert codes.min() >= 0 and codes.max() < 8
    if where == "weight":
        others = torch.arange(6) != 2
        assert torch.equal(codes[others], finite[others])
    found = penalty(weight, q)
    found.backward()  # the loop says what happened: it looks at the loss after the step
    assert found.isnan()


@pytest.mark.parametrize("arguments", [(0,), (9,), (2.5,), (4, "learned")])
def test_bad_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=r"bits must be|mode must be"):
        LearnedQuantiser(*arguments)


def test_positions_of_filters_keep_their_layout_in_memory():
    values = torch.randn(6, 5, 3, 3, generator=torch_stream(4, "filters"))
    levels = torch.linspace(-2, 2, 9)
    moved = nearest_sorted(values.contiguous(memory_format=torch.channels_last), levels)
    assert moved.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(moved, nearest_sorted(values, levels))


def test_widths_may_come_from_an_array():
    assert [type(LearnedQuantiser(bits).bits) for bits in np.arange(2, 4)] == [int, int]
    assert torch.equal(LearnedQuantiser(np.int64(3)).r, LearnedQuantiser(3).r)
