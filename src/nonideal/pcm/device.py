"""Statistics of a phase-change memory device, for NumPy and PyTorch alike.

Every conductance here is in units of ``G_MAX_US``, the largest conductance a device is programmed to, and
may be signed: a signed conductance stands for a differential pair of which one device is in use.

The fits are those of Nandakumar et al., "Precision of synaptic weights programmed in phase-change memory
devices for deep learning inference", IEDM 2020, taken on a million doped-GST mushroom devices in 90 nm
technology, as used by Joshi et al., Nature Communications 11, 2473 (2020) and Le Gallo et al.,
Neuromorphic Computing and Engineering 2, 014009 (2022), doi:10.1088/2634-4386/ac4fb7.

The functions follow the array API standard: NumPy arrays and PyTorch tensors of any shape go in, the same
kind, shape and precision comes out.
"""

from __future__ import annotations

import math
from typing import Any

import array_api_compat

G_MAX_US = 25.0
"""Largest programmed conductance, microsiemens (Joshi et al. 2020, Methods)."""

T0_S = 20.0
"""Time after programming at which the targets hold, seconds (Nandakumar et al. 2020)."""

LAST_S = 1000 * 365 * 24 * 3600.0
"""Latest time that is read, seconds: a thousand years, far beyond what has been measured."""

T_READ_S = 250e-9
"""Duration of a read pulse, seconds (Nandakumar et al. 2020)."""

PROGRAMMING_STD_US = (0.2635, 1.9650, -1.1731)
"""Programming noise c0 + c1 g + c2 g^2, microsiemens (Nandakumar et al. 2020)."""

DRIFT_MEAN_FIT = (0.0244, -0.0155)
"""Mean drift exponent c0 + c1 ln g, dimensionless (Nandakumar et al. 2020)."""

DRIFT_MEAN_RANGE = (0.049, 0.1)
"""Limits of the mean drift exponent, dimensionless (Nandakumar et al. 2020)."""

DRIFT_STD_FIT = (-0.0059, -0.0125)
"""Spread of the drift exponent c0 + c1 ln g, dimensionless (Nandakumar et al. 2020)."""

DRIFT_STD_RANGE = (0.008, 0.045)
"""Limits of the drift exponent's spread, dimensionless (Nandakumar et al. 2020)."""

READ_NOISE_FIT = (0.0088, -0.65)
"""Read noise c0 g^c1 as a fraction of the conductance, dimensionless (Nandakumar et al. 2020)."""

READ_NOISE_LIMIT = 0.2
"""Largest read noise, fraction of the conductance (Nandakumar et al. 2020)."""

READ_NOISE_NORMS = ("slice_max", "g_max")
"""What a target may be divided by before that fit: the largest target of its slice, or G_MAX."""

SMALLEST = 1e-15
"""Conductance below which the fits are no longer followed towards their poles at zero, units of G_MAX."""


def _log_magnitude(g: Any, xp: Any) -> Any:
    magnitude = xp.abs(g)
    return xp.log(xp.where(magnitude > SMALLEST, magnitude, SMALLEST))


def programming_std(g: Any) -> Any:
    """Return the standard deviation of the programming error.

    Parameters
    ----------
    g
        Target conductance, units of G_MAX, any shape; its sign is ignored.

    Returns
    -------
    array
        Standard deviation, units of G_MAX. Zero where the target is zero: such a device stays RESET. The
        fit turns negative above 1.8 G_MAX, a range only unbounded error correction asks for; its
        magnitude is returned there, which leaves the distribution of the (symmetric) error as published.
    """
    xp = array_api_compat.array_namespace(g)
    c0, c1, c2 = (c / G_MAX_US for c in PROGRAMMING_STD_US)
    magnitude = xp.abs(g)
    std = xp.abs((c2 * magnitude + c1) * magnitude + c0)
    return xp.where(magnitude > 0, std, xp.zeros_like(std))


def drift_exponent_mean(g: Any) -> Any:
    """Return the mean drift exponent.

    Parameters
    ----------
    g
        Target conductance, units of G_MAX, any shape; its sign is ignored.

    Returns
    -------
    array
        Mean of the exponent nu, dimensionless.
    """
    xp = array_api_compat.array_namespace(g)
    c0, c1 = DRIFT_MEAN_FIT
    return xp.clip(c1 * _log_magnitude(g, xp) + c0, *DRIFT_MEAN_RANGE)


def drift_exponent_std(g: Any) -> Any:
    """Return the spread of the drift exponent over devices of one target.

    Parameters
    ----------
    g
        Target conductance, units of G_MAX, any shape; its sign is ignored.

    Returns
    -------
    array
        Standard deviation of the exponent nu, dimensionless.
    """
    xp = array_api_compat.array_namespace(g)
    c0, c1 = DRIFT_STD_FIT
    return xp.clip(c1 * _log_magnitude(g, xp) + c0, *DRIFT_STD_RANGE)


def read_noise_scale(g: Any) -> Any:
    """Return the part of the read noise that depends on the target.

    Parameters
    ----------
    g
        Target conductance, in units of G_MAX or of the largest target of its slice, any shape; its sign
        is ignored.

    Returns
    -------
    array
        Q, a fraction of the conductance read; times `read_noise_growth` it is the standard deviation.
    """
    xp = array_api_compat.array_namespace(g)
    scale, power = READ_NOISE_FIT
    return xp.clip(scale * xp.exp(power * _log_magnitude(g, xp)), None, READ_NOISE_LIMIT)


def read_noise_growth(t: float) -> float:
    """Return the growth of 1/f read noise over time, sqrt(ln((t + T_READ) / (2 T_READ))).

    Parameters
    ----------
    t
        Time after programming, seconds, at least T_READ.

    Raises
    ------
    ValueError
        If the time is shorter than a read pulse.
    """
    if not t >= T_READ_S:
        raise ValueError(
            f"a read takes {T_READ_S} s: time after programming must be at least that, got {t} s"
        )
    return math.sqrt(math.log((t + T_READ_S) / (2 * T_READ_S)))


def drift_factor(nu: Any, t: float) -> Any:
    """Return what drift leaves of a conductance, (t / T0)^-nu.

    Parameters
    ----------
    nu
        Drift exponents, dimensionless, any shape.
    t
        Time after programming, seconds, at least T0: the fits start there.

    Returns
    -------
    array
        Fraction of the conductance at T0 that is left.

    Raises
    ------
    ValueError
        If the time lies before T0.
    """
    if not t >= T0_S:
        raise ValueError(f"drift is described from t0 = {T0_S} s on, got a time of {t} s")
    xp = array_api_compat.array_namespace(nu)
    return xp.exp(-nu * math.log(t / T0_S))
