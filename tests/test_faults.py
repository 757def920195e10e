from itertools import combinations

import learned_oracle as oracle
import pytest
import torch

from nonideal import faults
from nonideal.faults import FaultMap, FaultyQuantiser, draw
from nonideal.quantize.learned import LearnedQuantiser
from nonideal.rng import torch_stream

SHAPE = (32, 4, 3, 3)


def weights():
    return torch.randn(SHAPE, generator=torch_stream(6, "faults"))


def make(mode, rate=0.3, bits=4, kind="multiplier", p_stuck1=0.5):
    weight = weights()
    q = LearnedQuantiser(bits, kind).initialise(weight)
    return weight, FaultyQuantiser(q, draw(SHAPE, bits, rate, p_stuck1=p_stuck1, seed=1, layer="x"), mode)


def test_cells_are_stuck_bit_by_bit():
    fault = FaultMap(torch.tensor([0b0101], dtype=torch.uint8), torch.tensor([0b1000], dtype=torch.uint8))
    for code in range(16):
        held = format(fault.apply(torch.tensor([code])).item(), "04b")
        assert held[0] == "1" and held[1] == "0" and held[2] == format(code, "04b")[2] and held[3] == "0"


def test_maps_are_nested_and_repeat():
    low = draw(SHAPE, 4, 0.05, seed=1, layer="x")
    high = draw(SHAPE, 4, 0.1, seed=1, layer="x")
    assert torch.equal(low.stuck0 & high.stuck0, low.stuck0)
    assert 0 < low.stuck0.count_nonzero() < high.stuck0.count_nonzero()
    assert not high.stuck1.any()
    half = draw(SHAPE, 4, 0.1, p_stuck1=0.5, seed=1, layer="x")
    assert torch.equal(half.stuck0 | half.stuck1, high.stuck0)
    more = draw(SHAPE, 4, 0.1, p_stuck1=0.7, seed=1, layer="x")
    assert torch.equal(half.stuck1 & more.stuck1, half.stuck1)
    narrow = draw(SHAPE, 3, 0.1, p_stuck1=0.5, seed=1, layer="x")
    assert torch.equal(narrow.stuck1, half.stuck1 & 7)
    again = draw(SHAPE, 4, 0.1, p_stuck1=0.5, seed=1, layer="x")
    assert torch.equal(again.stuck1, half.stuck1)
    for other in (draw(SHAPE, 4, 0.1, seed=2, layer="x"), draw(SHAPE, 4, 0.1, seed=1, layer="y")):
        assert not torch.equal(other.stuck0, high.stuck0)


def test_shares_of_stuck_cells_are_the_asked_ones():
    cells, rate, ones = 64 * 1024 * 4, 0.13, 0.3
    fault = draw((64, 1024), 4, rate, p_stuck1=ones, seed=3, layer="big")
    count = [sum(int((m >> k & 1).sum()) for k in range(4)) for m in (fault.stuck0, fault.stuck1)]
    for found, p in zip(count, (rate * (1 - ones), rate * ones), strict=True):
        assert abs(found / cells - p) < 5 * (p * (1 - p) / cells) ** 0.5
    for k in range(4):  # no cell is special
        found, p = int((fault.stuck0 >> k & 1).sum()) / (cells / 4), rate * (1 - ones)
        assert abs(found - p) < 5 * (p * (1 - p) / (cells / 4)) ** 0.5


def test_cells_fail_on_their_own_whatever_they_are_stuck_at():
    maps = [draw((200, 200), 4, 0.3, p_stuck1=0.4, seed=3, layer=name) for name in ("x", "y")]
    faulty = [(m.stuck0 | m.stuck1) >> bit & 1 == 1 for m in maps for bit in range(4)]
    at_one = [m.stuck1 >> bit & 1 == 1 for m in maps for bit in range(4)]
    for wanted, cells in ((0.3, faulty), (0.3 * 0.4, at_one)):
        error = (wanted**2 * (1 - wanted**2) / cells[0].numel()) ** 0.5  # of a share of cells, binomial
        for first, second in combinations(cells, 2):
            assert (first & second).double().mean().item() == pytest.approx(wanted**2, abs=5 * error)
    less = draw((200, 200), 4, 0.1, p_stuck1=0.4, seed=3, layer="x")
    assert not (less.stuck0 & maps[0].stuck1).any()  # a rate does not change what a cell is stuck at


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("kind", ["step", "multiplier"])
def test_the_nearest_attainable_level_agrees_with_all_distances(bits, kind):
    weight, q = make("active", rate=0.4, bits=bits, kind=kind)
    with torch.no_grad():
        q.r.mul_(1 + 0.3 * torch.randn(len(q.r), generator=torch_stream(6, "r")))
    holds = oracle.allowed(q.stuck0, q.stuck1, bits)
    levels = q.levels().detach()
    codes = q.encode_attainable(weight).flatten().long()
    assert holds[torch.arange(len(codes)), codes].all()
    best = levels[oracle.nearest(weight.flatten(), levels, holds)]
    distance = (weight.flatten() - levels[codes]).abs()
    assert torch.allclose(distance, (weight.flatten() - best).abs(), rtol=0, atol=1e-6)


def test_ties_between_attainable_levels_go_up():
    q = LearnedQuantiser(2, "step")
    with torch.no_grad():
        q.r.fill_(1.0), q.c.fill_(0.0)  # levels 0 1 2 3
    stuck = torch.tensor([[1]], dtype=torch.uint8)  # low cell at 0: 0 and 2 are left
    faulty = FaultyQuantiser(q, FaultMap(stuck, torch.zeros_like(stuck)), "active")
    assert faulty.encode_attainable(torch.tensor([[1.0]])).item() == 2
    assert faulty.encode_attainable(torch.tensor([[0.999]])).item() == 0


def test_a_changed_order_of_levels_is_noticed():
    weight, q = make("active")
    before = q.encode_attainable(weight)
    with torch.no_grad():
        q.r.copy_(q.r.flip(0))
    levels, holds = q.levels().detach(), oracle.allowed(q.stuck0, q.stuck1, 4)
    codes = q.encode_attainable(weight)
    assert not torch.equal(codes, before)
    best = levels[oracle.nearest(weight.flatten(), levels, holds)]
    assert torch.allclose(levels[codes.flatten().long()], best, atol=1e-6)


@pytest.mark.parametrize("mode", faults.MODES)
def test_a_mode_writes_and_penalises_what_it_says(mode):
    weight, q = make(mode)
    levels = q.levels().detach()
    nominal = LearnedQuantiser.encode(q, weight)
    holds = oracle.allowed(q.stuck0, q.stuck1, 4)
    attainable = oracle.nearest(weight.flatten(), levels, holds).view(SHAPE)
    forced = (nominal & ~q.stuck0.int()) | q.stuck1.int()
    straight = mode == "trained"
    written = attainable if mode in ("passive", "active+passive", "trained") else forced
    target = attainable if mode in ("active", "active+passive") else nominal
    assert torch.equal(q.written(weight).long(), written.long())
    assert torch.equal(q.eval()(weight), levels[written.long()])
    assert torch.equal(q.train()(weight), levels[written.long()] if straight else weight)
    expected = 0 if straight else (weight - levels[target.long()]).double().square().sum().item()
    assert q.penalty(weight).item() == pytest.approx(expected, rel=1e-5)
    after = weight.clone()
    q.remap(after)
    sound = (q.stuck0 | q.stuck1) == 0
    assert torch.equal(after[sound], weight[sound])
    assert torch.equal(after[~sound], (weight if straight else levels[written.long()])[~sound])


def test_a_network_moved_to_another_device_makes_its_tables_there():
    """They are no buffers, and stay behind."""
    weight, quantiser = make("passive")
    expected = quantiser.encode_attainable(weight)
    quantiser._order = quantiser._order.to("meta")
    assert torch.equal(quantiser.encode_attainable(weight), expected)
    assert quantiser._order.device == weight.device


def test_gradients_pass_straight_through_the_map():
    weight, q = make("trained")
    weight.requires_grad_()
    (q.train()(weight) * torch.arange(weight.numel()).view(SHAPE)).sum().backward()
    assert torch.equal(weight.grad, torch.arange(weight.numel()).view(SHAPE).float())


def test_without_faults_all_modes_are_the_plain_quantiser():
    for mode in faults.MODES:
        weight, q = make(mode, rate=0.0)
        plain = LearnedQuantiser(4).initialise(weight)
        assert torch.equal(q.eval()(weight), plain.quantise(weight))


def test_loading_a_state_takes_over_its_map():
    weight, q = make("passive")
    _, other = make("passive", rate=0.1)
    other.load_state_dict(q.state_dict())
    assert torch.equal(other.written(weight), q.written(weight))


def test_a_map_survives_its_file(tmp_path):
    maps = {name: draw(SHAPE, 4, 0.1, p_stuck1=0.5, seed=1, layer=name) for name in ("a", "b.c")}
    for name in ("map.csv", "map.parquet"):
        faults.cellmaps.write(faults.to_frame(maps), tmp_path / name)
        back = faults.read_map(tmp_path / name, dict.fromkeys(maps, SHAPE), 4)
        for layer, fault in maps.items():
            assert torch.equal(back[layer].stuck0, fault.stuck0)
            assert torch.equal(back[layer].stuck1, fault.stuck1)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: draw(SHAPE, 4, 1.1, seed=0, layer="x"), "rate"),
        (lambda: draw(SHAPE, 4, 0.1, p_stuck1=-1, seed=0, layer="x"), "p_stuck1"),
        (lambda: draw(SHAPE, 9, 0.1, seed=0, layer="x"), r"bits must be a whole number of 1 \.\. 8, got 9"),
        (lambda: make("lazy"), "fault mode"),
        (lambda: FaultMap(*[torch.ones(1, dtype=torch.uint8)] * 2), "at once"),
        (
            lambda: FaultyQuantiser(LearnedQuantiser(2), draw(SHAPE, 4, 0.5, seed=0, layer="x"), "basic"),
            "beyond the 2",
        ),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()


@pytest.mark.parametrize("mode", faults.MODES)
def test_a_map_of_another_shape_is_refused(mode):
    weight, q = make(mode)
    with pytest.raises(ValueError, match=r"shape \[32, 4, 3, 3\], this one has \[4, 32, 3, 3\]"):
        q.eval()(weight.transpose(0, 1))
