import itertools
import re

import pytest
import torch
from torch import nn

from nonideal.quantize import attach
from nonideal.quantize.attach import FormatQuantiser
from nonideal.quantize.losses import alpha
from nonideal.regularised import networks
from nonideal.regularised.penalty import Course, Penalty, UnstableError
from nonideal.training import Settings


def model():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def test_lambda_stays_and_then_rises_exponentially_to_its_last_value():
    course = Course(100, 2000, epochs=200, ramp=0.1)
    values = [course(epoch) for epoch in range(200)]
    assert values[:180] == [100] * 180
    assert values[-1] == pytest.approx(2000)
    ratios = [b / a for a, b in itertools.pairwise(values[179:])]
    assert ratios == pytest.approx([20 ** (1 / 20)] * 20)


@pytest.mark.parametrize(("epochs", "ramp"), [(1, 0.1), (3, 1.0), (7, 0.5)])
def test_short_runs_end_at_the_last_value(epochs, ramp):
    assert Course(0.1, 1.0, epochs, ramp)(epochs - 1) == pytest.approx(1.0)


def test_the_rise_takes_the_nearest_number_of_whole_epochs():
    course = Course(1.0, 4.0, 7, 0.25)  # 1.75 epochs
    assert [course(epoch) for epoch in (4, 5, 6)] == pytest.approx([1.0, 2.0, 4.0])


def test_lambda_zero_adds_nothing():
    assert Course(0, 0, 5)(4) == 0
    assert Penalty(Course(0, 0, 5))(networks.quantise(model(), "step", 3), 4) == 0.0


@pytest.mark.parametrize(
    "arguments", [(2, 1, 5), (0, 1, 5), (-1, 1, 5), (1, 1, 0), (1, 1, 5, 0.0), (1, 1, 5, 1.1)]
)
def test_bad_courses_are_refused(arguments):
    with pytest.raises(ValueError, match=r"lambda|ramp"):
        Course(*arguments)


def test_the_penalty_is_the_sum_over_layers_and_has_their_alphas():
    network = networks.quantise(model(), "multiplier", 3, policy="all")
    expected = 0.0
    for name, weight in attach.original(network).items():
        error = weight - attach.attached(network)[name].quantise(weight)
        expected += alpha(weight.numel(), 3) * error.square().sum().item()
    assert Penalty(Course(100, 2000, 10))(network, 0).item() == pytest.approx(100 * expected, rel=1e-5)
    assert Penalty(Course(100, 2000, 10))(network, 9).item() == pytest.approx(2000 * expected, rel=1e-5)


def test_formats_of_other_tracks_take_part():
    network = model()
    attach.attach(network, lambda name, layer: FormatQuantiser(layer.weight.detach(), "ternary"))
    value = Penalty(Course(1, 1, 1))(network, 0)
    value.backward()
    assert value > 0 and all(w.grad.abs().sum() > 0 for w in attach.original(network).values())


def test_a_penalty_that_overshoots_is_refused_with_its_layer():
    network = networks.quantise(model(), "step", 2, policy="all")
    settings = Settings(epochs=4, lr=0.01, optimiser="sgd", augmentation="none", schedule="constant")
    smallest = min(attach.original(network).items(), key=lambda item: item[1].numel())
    factor = 2 * 0.01 * alpha(smallest[1].numel(), 2)
    assert Penalty(Course(100, 100, 4)).check(network, settings) == pytest.approx(100 * factor)
    assert 100 * factor < 1 < 1000 * factor
    with pytest.raises(UnstableError, match=rf"layer '{smallest[0]}'"):
        Penalty(Course(1000, 1000, 4)).check(network, settings)


@pytest.mark.parametrize("option", ["paper", "mean"])
def test_the_remedy_of_a_penalty_that_overshoots_can_be_followed(option):
    network = networks.quantise(model(), "step", 2, policy="all")
    penalty = Penalty(Course(1000, 1000, 4), option)
    with pytest.raises(UnstableError, match=r"lower the learning rate below \S+ \(largest_rate") as caught:
        penalty.check_rate(network, 1.0, 0)
    assert ("alpha = 'mean'" in str(caught.value)) == (option != "mean")
    assert "lambda," not in str(caught.value).split(":", 2)[-1]
    assert float(re.search(r"below (\S+) \(largest", str(caught.value))[1]) == pytest.approx(
        penalty.largest_rate(network), rel=0.01
    )


def test_the_check_multiplies_rate_and_lambda_of_the_same_epoch():
    network = networks.quantise(model(), "step", 2, policy="all")
    settings = Settings(epochs=10, lr=0.01, optimiser="sgd", augmentation="none")  # cosine
    course = Course(100, 2000, 10, 0.1)
    largest = max(settings.rate(e) * course(e) for e in range(10))
    assert Penalty(course).check(network, settings) == pytest.approx(2 * largest * alpha(24, 2))
    assert largest < 0.01 * 2000


def test_a_step_of_gradient_descent_moves_weights_to_their_levels():
    layer = nn.Sequential(nn.Linear(16, 16))
    network = networks.quantise(layer, "step", 3, policy="all")
    penalty, weight = Penalty(Course(1, 1, 1), "mean"), attach.original(network)["0"]
    before = weight.detach().clone()
    target = attach.attached(network)["0"].quantise(before)
    penalty(network, 0).backward()
    with torch.no_grad():
        weight -= weight.grad / (2 * alpha(256, 3, "mean"))  # lr * 2 * lambda * alpha = 1: all the way
    assert torch.allclose(weight, target, atol=1e-5)


@pytest.mark.parametrize("mode", ["step", "multiplier"])
@pytest.mark.parametrize(("times", "settles"), [(1.0, True), (400.0, False)])
def test_levels_settle_up_to_the_largest_rate_and_run_away_far_above(mode, times, settles):
    network = networks.quantise(model(), mode, 4)
    penalty = Penalty(Course(100, 100, 1))
    settings = Settings(epochs=1, lr=0.01, schedule="constant", batch_size=2)
    rates = penalty.largest_rates(network, settings)
    assert set(rates) == set(attach.attached(network)) == {"2"}
    own = [p for q in attach.attached(network).values() for p in (q.r, q.c)]
    values = []
    for _ in range(60):
        value = penalty(network, 0)
        values.append(value.item())
        gradients = torch.autograd.grad(value, own)
        with torch.no_grad():
            for parameter, gradient in zip(own, gradients, strict=True):
                parameter -= times * rates["2"] * gradient
    if settles:
        assert max(values) == values[0] and values[-1] < values[0]
    else:  # it may come back to small values by chance on its way
        assert max(values) > 10 * values[0]


def test_the_largest_rate_follows_lambda_and_the_schedule():
    network = networks.quantise(model(), "multiplier", 3)
    settings = Settings(epochs=4, lr=0.01, schedule="cosine", batch_size=2)
    courses = [Penalty(Course(first, last, 4, 1.0)) for first, last in ((1, 1), (10, 10), (1, 10))]
    one, ten, rising = (penalty.largest_rates(network, settings)["2"] for penalty in courses)
    assert one == pytest.approx(10 * ten)
    assert ten < rising < one
    assert not Penalty(Course(0, 0, 4)).largest_rates(network, settings)


def test_groups_keep_below_the_limits():
    network = networks.quantise(model(), "multiplier", 3)
    groups = networks.parameter_groups(0.01, 1e-3, limits={"2": 1e-5})(network)
    assert [group.get("lr_factor") for group in groups] == [None, pytest.approx(1e-3)]
    groups = networks.parameter_groups(0.01, 1e-3, limits={"2": 1.0})(network)
    assert groups[1]["lr_factor"] == pytest.approx(0.1)


def test_beyond_its_last_epoch_the_course_stays():
    course = Course(1, 100, epochs=4, ramp=0.5)
    assert [course(epoch) for epoch in (1, 3, 4, 9)] == pytest.approx([1, 100, 100, 100])
