import learned_oracle as oracle
import pytest
import torch
from torch import nn

from nonideal import faults, variability
from nonideal.quantize.attach import FormatQuantiser
from nonideal.quantize.learned import LearnedQuantiser
from nonideal.quantize.losses import alpha, penalty
from nonideal.rng import torch_stream

STEP = 1e-6


def random(*shape, name="w"):
    return torch.randn(shape, generator=torch_stream(4, "losses", name), dtype=torch.float64)


def learned(bits, mode):
    q = LearnedQuantiser(bits, mode).initialise(random(40, 7)).double()
    with torch.no_grad():
        q.r.mul_(1 + 0.1 * random(len(q.r), name="r"))
    return q


def make(kind, bits, mode):
    """Quantiser of one loss, its 2^N-distance version, and weights."""
    weight = random(40, 7)
    q = learned(bits, mode)
    if kind == "plain":
        return weight, q, lambda w, q=q: _all(w, _levels(q))
    if kind == "faults":
        fault = faults.draw(weight.shape, bits, 0.4, p_stuck1=0.5, seed=1, layer="a")
        holds = oracle.allowed(fault.stuck0, fault.stuck1, bits)
        faulty = faults.FaultyQuantiser(q, fault, "active").double()
        with torch.no_grad():  # the constructor makes float32
            faulty.r.copy_(q.r), faulty.c.copy_(q.c)
        return weight, faulty, lambda w, q=faulty: _all(w, _levels(q), holds)
    factors = variability.draw(weight.shape, bits, 0.3, seed=1, layer="a").double()
    variable = variability.VariableQuantiser(q.float(), factors.float()).double()
    variable._sort()

    def per_weight(w):
        cells = variable.low.reshape(-1, bits) * variable.multipliers()
        return _all(w, torch.stack([oracle.levels_of(row, variable.c) for row in cells]))

    return weight, variable, per_weight


def _levels(q):
    return oracle.levels_of(q.multipliers(), q.c)


def _all(weight, levels, holds=None):
    """Sum of least squared distances, eqs (6), (11) and (12) as they are written."""
    distance = (weight.reshape(-1, 1) - levels) ** 2
    if holds is not None:
        distance = torch.where(holds, distance, torch.inf)
    return distance.amin(dim=1).sum()


CASES = [
    ("plain", "step"),
    ("plain", "multiplier"),
    ("faults", "step"),
    ("faults", "multiplier"),
    ("variability", "multiplier"),
]


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
@pytest.mark.parametrize(("kind", "mode"), CASES)
def test_fused_losses_equal_the_ones_with_all_distances(kind, mode, bits):
    weight, q, slow = make(kind, bits, mode)
    weight.requires_grad_()
    leaves = [weight, *(p for p in q.parameters() if p.requires_grad)]
    assert len(leaves) == (2 if kind == "variability" else 3)
    fast_value, slow_value = penalty(weight, q), slow(weight)
    assert fast_value.item() == pytest.approx(slow_value.item(), rel=1e-9)
    for fast, expected in zip(
        torch.autograd.grad(fast_value, leaves), torch.autograd.grad(slow_value, leaves), strict=True
    ):
        assert torch.allclose(fast, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "mode"), CASES)
def test_gradients_agree_with_finite_differences(kind, mode):
    weight, q, _ = make(kind, 3, mode)
    leaves = [weight.requires_grad_(), *(p for p in q.parameters() if p.requires_grad)]
    gradients = torch.autograd.grad(penalty(weight, q), leaves)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        flat = leaf.detach().view(-1)  # shares memory
        for place in range(0, flat.numel(), max(1, flat.numel() // 9)):
            value, ends = flat[place].item(), []
            for shift in (-STEP, STEP):
                flat[place] = value + shift
                ends.append(penalty(weight, q).item())
            flat[place] = value
            assert (ends[1] - ends[0]) / (2 * STEP) == pytest.approx(
                gradient.view(-1)[place].item(), rel=1e-4, abs=1e-6
            )


def test_alpha_options_and_the_exact_value_by_hand():
    assert alpha(100, 2) == pytest.approx(1 / (100 * 1.5) ** 0.5)
    assert alpha(100, 2, "mean") == 0.01
    assert alpha(100, 2, "sqrt") == 0.1
    with pytest.raises(ValueError, match="alpha must be one of"):
        alpha(100, 2, "median")
    q = LearnedQuantiser(1)
    with torch.no_grad():
        q.r.fill_(2.0), q.c.fill_(-1.0)  # levels -1 and 1
    weight = torch.tensor([-1.5, 0.25], requires_grad=True)
    value = penalty(weight, q)
    value.backward()
    assert value.item() == pytest.approx(0.25 + 0.5625)
    assert weight.grad.tolist() == [-1.0, -1.5]
    assert q.r.grad.tolist() == [1.5]  # -2 e of the weight whose bit is set
    assert q.c.grad.item() == pytest.approx(-2 * (-0.5 - 0.75))


def test_fixed_formats_take_the_same_penalty():
    layer = nn.Linear(8, 4)
    q = FormatQuantiser(layer.weight.detach(), "ternary")
    value = penalty(layer.weight, q)
    error = layer.weight.detach() - q(layer.weight.detach())
    assert value.item() == pytest.approx(error.square().sum().item())
    value.backward()
    assert torch.allclose(layer.weight.grad, 2 * error)
