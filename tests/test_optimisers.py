import pytest
import torch

from nonideal.training import Settings
from nonideal.training.optimisers import Muon, optimiser


def parameters():
    generator = torch.Generator().manual_seed(0)
    shapes = ((6, 4), (3, 6), (6,), (2, 1, 3, 3))
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def descend(steppers, values, steps=5):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for value in values:
            value.grad = torch.randn(value.shape, generator=generator)
        for stepper in steppers:
            stepper.step()


@pytest.mark.parametrize("name", ["muon", "sgd", "adam"])
def test_groups_may_be_generators(name):
    ours = parameters()
    before = [value.detach().clone() for value in ours]
    group = {"params": (value for value in ours), "lr_factor": 0.5}
    made = optimiser([group], Settings(optimiser=name, lr=0.02))
    assert {found["lr_factor"] for found in made.param_groups} == {0.5}
    descend([made], ours, steps=1)
    assert not any(torch.equal(old, new) for old, new in zip(before, ours, strict=True))


def test_muon_takes_matrices_and_adam_the_rest():
    ours, theirs = parameters(), parameters()
    settings = Settings(optimiser="muon", lr=0.02, weight_decay=0.1)
    descend([optimiser(iter(ours), settings)], ours)
    muon = torch.optim.Muon(theirs[:2], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(theirs[2:3], lr=0.02, weight_decay=0.1)
    flat = torch.nn.Parameter(theirs[3].detach().flatten(1))
    filters = torch.optim.Muon([flat], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")

    class Filters:
        def step(self):
            flat.grad = theirs[3].grad.flatten(1)
            filters.step()

    descend([muon, adam, Filters()], theirs)
    for found, wanted in zip(ours[:3], theirs[:3], strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours[3].flatten(1), flat, rtol=1e-5, atol=1e-6)


def test_the_layout_of_filters_does_not_matter():
    kinds = []
    for axes in ((0, 1, 2, 3), (0, 2, 3, 1), (2, 3, 1, 0)):  # the last as TensorFlow stores them
        generator = torch.Generator().manual_seed(0)
        values = torch.randn(4, 3, 2, 2, generator=generator)
        back = [axes.index(axis) for axis in range(4)]
        filters = torch.nn.Parameter(values.permute(axes).contiguous().permute(back))
        made = Muon([filters], lr=0.1, weight_decay=0.0)
        memory = filters.data_ptr()
        descend([made], [filters])
        assert filters.data_ptr() == memory
        filters.data = filters.data.clone()  # other memory under the same parameter
        before = filters.detach().clone()
        descend([made], [filters])
        assert (filters - before).norm() > 0.2
        kinds.append(filters.detach().contiguous())
    # The products are in bfloat16, and sum in another order.
    for kind in kinds[1:]:
        torch.testing.assert_close(kinds[0], kind, rtol=0.02, atol=0.02)
    start = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert (kinds[0] - start).norm() > 0.2


def test_groups_keep_their_settings_and_rates_reach_both_parts():
    values = parameters()
    groups = [
        {"params": values[:1] + values[2:3], "lr_factor": 3.0, "weight_decay": 0.0},
        {"params": values[1]},
    ]
    made = Muon(groups, lr=0.1, weight_decay=0.1)
    found = [(len(g["params"]), g.get("lr_factor"), g["weight_decay"]) for g in made.param_groups]
    assert found == [(1, 3.0, 0.0), (1, None, 0.1), (1, 3.0, 0.0)]
    before = [value.detach().clone() for value in values]
    for group in made.param_groups:
        group["lr"] = 0.0
    descend([made], values, steps=1)
    assert all(torch.equal(a, b) for a, b in zip(before, values, strict=True))


@pytest.mark.parametrize("chosen", [slice(0, 2), slice(2, 4), slice(0, 4)])
def test_state_goes_through_a_checkpoint(chosen):
    straight, stopped = parameters()[chosen], parameters()[chosen]
    descend([Muon(straight, lr=0.1, weight_decay=0.0)], straight, steps=5)
    first = Muon(stopped, lr=0.1, weight_decay=0.0)
    generator = torch.Generator().manual_seed(1)
    for step in range(5):
        if step == 3:
            state, first = first.state_dict(), Muon(stopped, lr=0.1, weight_decay=0.0)
            first.load_state_dict(state)
        for value in stopped:
            value.grad = torch.randn(value.shape, generator=generator)
        first.step()
        first.zero_grad()
        assert all(value.grad is None for value in stopped)
    assert all(torch.equal(a, b) for a, b in zip(straight, stopped, strict=True))
