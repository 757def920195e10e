import math

import learned_oracle as oracle
import pytest
import torch

from nonideal import cellmaps, variability
from nonideal.quantize.learned import LearnedQuantiser
from nonideal.rng import torch_stream
from nonideal.variability import VariableQuantiser, draw

SHAPE = (16, 3, 3, 3)


def make(sigma=0.4, bits=4, high=None, mode="multiplier"):
    weight = torch.randn(SHAPE, generator=torch_stream(7, "variability"))
    q = LearnedQuantiser(bits, mode).initialise(weight)
    return weight, VariableQuantiser(q, draw(SHAPE, bits, sigma, seed=1, layer="x"), high=high)


@pytest.mark.parametrize("distribution", variability.DISTRIBUTIONS)
@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.4])
def test_moments_are_those_of_the_distribution(distribution, sigma):
    factors = draw((200, 200), 3, sigma, seed=2, layer="x", distribution=distribution).double()
    n = factors.numel()
    assert factors.min() >= 0
    if distribution == "normal":  # clipped at 0: both moments in closed form
        a = 1 / sigma
        density, below = math.exp(-a * a / 2) / math.sqrt(2 * math.pi), 0.5 * math.erfc(a / math.sqrt(2))
        mean = (1 - below) + sigma * density
        square = (1 + sigma**2) * (1 - below) + sigma * density
        std = math.sqrt(square - mean**2)
    else:
        mean, std = 1.0, sigma
    assert abs(factors.mean() - mean) < 5 * std / math.sqrt(n)
    # standard error of a standard deviation, with the kurtosis of the sample
    kurtosis = ((factors - factors.mean()) ** 4).mean() / factors.var() ** 2
    assert abs(factors.std() - std) < 5 * std * math.sqrt((kurtosis - 1) / (4 * n))


def test_maps_share_their_draws_at_every_sigma_and_repeat():
    weak, strong = (draw(SHAPE, 4, sigma, seed=1, layer="x") for sigma in (0.1, 0.2))
    assert torch.allclose((strong - 1), 2 * (weak - 1), atol=1e-6)
    assert torch.equal(weak, draw(SHAPE, 4, 0.1, seed=1, layer="x"))
    assert torch.equal(weak[..., :3], draw(SHAPE, 3, 0.1, seed=1, layer="x"))
    for other in (
        draw(SHAPE, 4, 0.1, seed=2, layer="x"),
        draw(SHAPE, 4, 0.1, seed=1, layer="x", state="high"),
    ):
        assert not torch.equal(weak, other)


def test_cells_of_a_weight_and_layers_vary_on_their_own():
    cells = [draw((100, 100), 3, 0.1, seed=1, layer=name).double().flatten(0, 1) for name in ("x", "y")]
    correlation = torch.corrcoef(torch.cat(cells, dim=1).T)
    off = correlation[~torch.eye(6, dtype=torch.bool)]
    assert off.abs().max() < 5 / 100  # standard error of a correlation: 1 / sqrt(n)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("both", [False, True])
def test_the_search_agrees_with_all_distances(bits, both):
    high = draw(SHAPE, bits, 0.4, seed=1, layer="x", state="high") if both else None
    weight, q = make(bits=bits, high=high)
    r, c, ratio = q.r.detach(), q.c.detach(), variability.ON_OFF_RATIO
    rows = []
    for i in range(weight.numel()):
        low, off = q.low.view(-1, bits)[i], high.view(-1, bits)[i] if both else None
        row = []
        for code in range(2**bits):
            s = torch.tensor([code >> k & 1 for k in range(bits)])
            if both:
                row.append((r * (s * low + ((1 - s) * off - 1) / ratio)).sum() / (1 - 1 / ratio) + c)
            else:
                row.append((r * low * s).sum() + c)
        rows.append(torch.stack(row))
        if i == 60:  # the definition in Python is slow; these are enough
            break
    levels = torch.stack(rows)
    some = weight.flatten()[: len(levels)]
    best = levels.gather(1, oracle.nearest(some, levels)[:, None]).squeeze(1)
    found = q.quantise(weight).flatten()[: len(levels)]
    assert torch.allclose((some - found).abs(), (some - best).abs(), atol=1e-5)
    held = q.held(q.encode(weight), q.low, q.high).flatten()[: len(levels)]
    assert torch.allclose(held, found, atol=1e-5)


def test_levels_of_perturbed_multipliers_come_out_of_order_and_are_handled():
    _, q = make(sigma=0.2)
    disordered = (q.order.long() != torch.arange(16)).any(dim=1).double().mean()
    assert 0.2 < disordered < 0.6


def test_factors_of_one_are_the_plain_quantiser_with_and_without_high_state():
    for high in (None, torch.ones(*SHAPE, 4)):
        weight, q = make(sigma=0.0, high=high)
        plain = LearnedQuantiser(4).initialise(weight)
        assert torch.allclose(q.eval()(weight), plain.quantise(weight), atol=1e-5)


def test_r_is_frozen_and_c_learns():
    weight, q = make()
    weight.requires_grad_()
    q.penalty(weight).backward()
    error = weight.detach() - q.quantise(weight)
    assert q.r.grad is None and not q.r.requires_grad
    assert q.c.grad.item() == pytest.approx(-2 * error.sum().item(), rel=1e-3, abs=1e-4)
    assert torch.allclose(weight.grad, 2 * error, atol=1e-6)
    with torch.no_grad():
        before = q.quantise(weight + 0.5)
        q.c.add_(0.5)
        assert torch.allclose(q.quantise(weight + 1.0), before + 0.5, atol=1e-5)


def test_another_chip_holds_other_weights_of_the_same_codes():
    weight, q = make()
    codes = q.encode(weight)
    other = draw(SHAPE, 4, 0.4, seed=2, layer="x")
    held = q.held(codes, other)
    bits = torch.stack([codes >> k & 1 for k in range(4)], dim=-1)
    assert torch.allclose(held, (bits * other * q.r).sum(-1).detach() + q.c.detach(), atol=1e-5)
    assert (held - weight).square().mean() > 4 * (q.quantise(weight) - weight).square().mean()


def test_writing_back_puts_every_weight_on_a_level():
    weight, q = make()
    after = weight.clone()
    q.remap(after)
    assert torch.equal(after, q.quantise(weight))
    assert torch.allclose(q.quantise(after), after, atol=1e-6)
    assert torch.equal(q.train()(weight), weight)
    assert torch.equal(q.eval()(weight), after)


def test_loading_a_state_takes_over_its_factors():
    weight, q = make()
    _, other = make(sigma=0.1)
    other.load_state_dict(q.state_dict())
    assert torch.equal(other.quantise(weight), q.quantise(weight))


def test_a_map_survives_its_file_and_missing_cells_are_nominal(tmp_path):
    maps = {"a": draw(SHAPE, 4, 0.2, seed=1, layer="a"), "b": draw((5, 7), 4, 0.2, seed=1, layer="b")}
    shapes = {"a": SHAPE, "b": (5, 7)}
    frame = variability.to_frame(maps)
    cellmaps.write(frame, tmp_path / "map.parquet")
    back = variability.read_map(tmp_path / "map.parquet", shapes, 4)
    assert all(torch.equal(back[name], maps[name]) for name in maps)
    cellmaps.write(frame[frame["layer"] == "b"].iloc[1:], tmp_path / "map.csv")
    part = variability.read_map(tmp_path / "map.csv", shapes, 4)
    assert torch.equal(part["a"], torch.ones(*SHAPE, 4))
    assert part["b"][0, 0, 0] == 1 and torch.allclose(part["b"].flatten()[1:], maps["b"].flatten()[1:])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: draw(SHAPE, 4, -0.1, seed=0, layer="x"), "sigma"),
        (lambda: draw(SHAPE, 4, 0.1, seed=0, layer="x", distribution="uniform"), "distribution"),
        (lambda: VariableQuantiser(LearnedQuantiser(4), torch.ones(2, 2, 3)), "factors"),
        (lambda: VariableQuantiser(LearnedQuantiser(2), -torch.ones(2, 2)), "factors"),
        (lambda: VariableQuantiser(LearnedQuantiser(2), torch.full((2, 2), math.nan)), "factors must be fin"),
        (lambda: VariableQuantiser(LearnedQuantiser(2), torch.full((2, 2), math.inf)), "factors must be fin"),
        (lambda: VariableQuantiser(LearnedQuantiser(2), torch.ones(())), "factors must be"),
        (
            lambda: VariableQuantiser(LearnedQuantiser(2), torch.ones(4, 2), high=torch.ones(2, 2, 2)),
            r"factors must be .* got \[2, 2, 2\]",
        ),
        (
            lambda: VariableQuantiser(LearnedQuantiser(2), torch.ones(4, 4, 2)).encode(torch.ones(2, 8)),
            r"factors are of a weight of shape \[4, 4\], this one has \[2, 8\]",
        ),
        (lambda: VariableQuantiser(LearnedQuantiser(2), torch.ones(2, 2), on_off_ratio=1), "on_off_ratio"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()
