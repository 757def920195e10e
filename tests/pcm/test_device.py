import math

import numpy as np
import pytest
import torch

from nonideal.pcm import device

GRID = np.concatenate([[0.0, 1e-12, 1e-4], np.linspace(0.01, 1.0, 60), [1.5, 1.9, 5.0, 20.0]])
FUNCTIONS = (
    device.programming_std,
    device.drift_exponent_mean,
    device.drift_exponent_std,
    device.read_noise_scale,
)


def test_values_at_points_worked_by_hand():
    assert device.programming_std(np.array([1.0]))[0] == pytest.approx((0.2635 + 1.9650 - 1.1731) / 25)
    assert device.programming_std(np.array([0.5]))[0] == pytest.approx((0.2635 + 0.98250 - 0.293275) / 25)
    # The mean exponent leaves its limits only between these conductances.
    assert device.drift_exponent_mean(np.array([1.0, math.exp(-2), 1e-4])) == pytest.approx(
        [0.049, 0.0554, 0.1]
    )
    assert device.drift_exponent_std(np.array([1.0, math.exp(-2), 1e-4])) == pytest.approx(
        [0.008, 0.0191, 0.045]
    )
    assert device.read_noise_scale(np.array([1.0, math.exp(-2), 1e-6])) == pytest.approx(
        [0.0088, 0.0088 * math.exp(1.3), 0.2]
    )
    assert device.read_noise_growth(20.0) == pytest.approx(math.sqrt(math.log(20.00000025 / 5e-7)))
    assert device.drift_factor(np.array([0.05]), 2000.0)[0] == pytest.approx(100**-0.05)
    assert device.drift_factor(np.array([0.05]), device.T0_S)[0] == 1.0


def test_zero_target_has_no_programming_noise_and_no_pole():
    assert device.programming_std(np.array([0.0, -0.0])).tolist() == [0.0, 0.0]
    for function in FUNCTIONS:
        assert np.isfinite(function(GRID)).all()
        assert (function(GRID) >= 0).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_sign_is_ignored(function):
    np.testing.assert_array_equal(function(GRID), function(-GRID))


@pytest.mark.parametrize("function", [*FUNCTIONS, lambda g: device.drift_factor(g, 1e6)])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_backends_agree_and_keep_shape_and_precision(function, precision):
    g = GRID.astype(precision).reshape(1, -1)
    ours, theirs = function(g), function(torch.from_numpy(g))
    assert isinstance(ours, np.ndarray) and isinstance(theirs, torch.Tensor)
    assert ours.dtype == g.dtype and theirs.dtype == getattr(torch, precision)
    assert ours.shape == tuple(theirs.shape) == g.shape
    np.testing.assert_allclose(
        ours, theirs.numpy(), rtol=2e-6 if precision == "float32" else 1e-13, atol=1e-9
    )


def test_times_before_the_fits_are_refused():
    with pytest.raises(ValueError, match="from t0"):
        device.drift_factor(np.ones(1), 19.0)
    with pytest.raises(ValueError, match="read takes"):
        device.read_noise_growth(1e-9)
    with pytest.raises(ValueError, match="from t0"):
        device.drift_factor(np.ones(1), math.nan)
