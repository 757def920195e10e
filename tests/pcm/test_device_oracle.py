"""Our device statistics against IBM's analogue hardware acceleration kit, an independent implementation.

Optional: `pip install --editable .[oracle]`. Its conductances are in microsiemens and it counts time from t0.
"""

import math

import pytest
import torch

from nonideal.pcm import device

pcm = pytest.importorskip(
    "aihwkit.inference.noise.pcm",
    reason="aihwkit is not installed: pip install --editable .[oracle] compares with it",
)

COUNT = 200_000
LEVELS = (0.1, 0.3, 0.6, 1.0)  # units of G_MAX


@pytest.fixture
def theirs():
    torch.manual_seed(1)  # aihwkit draws from the global generator
    return pcm.PCMLikeNoiseModel(g_max=device.G_MAX_US)


def _same_moments(values, mean, std):
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(COUNT)
    assert abs(values.std() / std - 1) < 5 / math.sqrt(2 * COUNT) + 1e-4  # their c0 has one digit more


@pytest.mark.parametrize("level", LEVELS)
def test_programming(theirs, level):
    target = torch.full((COUNT,), level * device.G_MAX_US, dtype=torch.float64)
    held = theirs.apply_programming_noise_to_conductance(target) / device.G_MAX_US
    spread = device.programming_std(torch.tensor(level)).item()
    # They clip at zero: moments of a rectified normal, which differ from the normal's at the lowest level.
    density = math.exp(-((level / spread) ** 2) / 2) / math.sqrt(2 * math.pi)
    share = 0.5 * (1 + math.erf(level / spread / math.sqrt(2)))
    mean = level * share + spread * density
    square = (level**2 + spread**2) * share + level * spread * density
    _same_moments(held, mean, math.sqrt(square - mean**2))


@pytest.mark.parametrize("level", LEVELS)
def test_drift(theirs, level):
    nu = theirs.generate_drift_coefficients(
        torch.full((COUNT,), level * device.G_MAX_US, dtype=torch.float64)
    )
    g = torch.tensor(level, dtype=torch.float64)
    mean, std = device.drift_exponent_mean(g).item(), device.drift_exponent_std(g).item()
    ours = (mean + std * torch.randn(COUNT, dtype=torch.float64)).abs()
    assert abs(nu.mean() - ours.mean()) < 5 * std * math.sqrt(2 / COUNT)
    assert abs(nu.std() / ours.std() - 1) < 5 / math.sqrt(COUNT)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("t", [20.0, 86_400.0, 31_536_000.0])
def test_read_noise_and_drifted_mean(theirs, level, t):
    held = torch.full((COUNT,), level * device.G_MAX_US, dtype=torch.float64)
    nu = torch.full_like(held, 0.05)
    read = theirs.apply_drift_noise_to_conductance(held, nu, t - device.T0_S) / device.G_MAX_US
    mean = level * device.drift_factor(torch.tensor(0.05, dtype=torch.float64), t).item()
    q = device.read_noise_scale(torch.tensor(level, dtype=torch.float64)).item()
    _same_moments(read, mean, mean * q * device.read_noise_growth(t))
