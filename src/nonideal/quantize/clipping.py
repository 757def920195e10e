"""Choice of the scale that maps weights onto a grid: how much of the tail is clipped for how fine a step.

All methods return the scale in weight units per integer unit of the format, one for the whole tensor or one
per slice of the first axis, which is the output channel (of transposed convolutions the input channel).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nonideal.quantize.formats import SMALLEST_SCALE, Format, at_least_single, smallest_scale

# Standard deviation of the weights relative to the largest level: within 1 % of the least mean square error
# for normally distributed weights (computed with `mean_square` here; the steps for 2, 4 and 16 levels are
# within 2 % of those of Max, IRE Trans. IT-6, 7 (1960)).
QUANTSCALE = {
    "binary": 1.25,
    "ternary": 0.82,
    "2bitsym": 0.67,
    "4bitsym": 0.39,
    "4bit": 0.37,
    "8bit": 0.25,
    "fp130": 0.24,
    "nf4": 0.34,
}

# Integer units per mean |w|: ternary as BitNet b1.58 (Ma et al., arXiv:2402.17764), binary as BitNet (Wang et
# al., arXiv:2310.11453), but without taking the weights' mean off first, as they and BitNetMCU do; 2-bit
# levels +-1/2 and +-3/2 times mean |w|, that is, two integer units.
UNITS_PER_MEAN = {"binary": 1.0, "ternary": 1.0, "2bitsym": 2.0}

# The iteration of Sakr et al. settles within about ten; of a few weights, or a few levels, it may go on to
# alternate between two clipping values, of which it keeps the last.
OCTAV_ITERATIONS = 20
# Search for the least mean square error: two passes, the second between the neighbours of the first's best.
MSE_SMALLEST = 0.01  # smallest candidate, relative to the scale that clips nothing
MSE_CANDIDATES = 48  # in each pass, evenly spaced in the logarithm
MSE_REFINEMENTS = 5
FLAT = 1e-6  # deviation relative to the magnitude that rounding leaves of equal weights


def proportional(rows: Tensor, fmt: Format, *, quantscale: float | None = None) -> Tensor:
    """Scale at which the weights' standard deviation is `quantscale` times the largest level.

    Weights that are all equal have no deviation; they lie on the largest level.

    Parameters
    ----------
    rows
        Weights [r, n]; one scale is chosen per row.
    fmt
        Grid.
    quantscale
        Dimensionless, positive; None takes the format's default.

    Returns
    -------
    Tensor
        Scales [r].
    """
    ratio = QUANTSCALE[fmt.name] if quantscale is None else quantscale
    deviation, magnitude = rows.std(dim=1, correction=0), rows.abs().amax(dim=1)
    varied = deviation > FLAT * magnitude
    return torch.where(varied, deviation / (ratio * fmt.largest), magnitude / fmt.levels[-1])


def mean_magnitude(rows: Tensor, fmt: Format) -> Tensor:
    """Scale from mean |w|, for binary, ternary and 2bitsym; arguments as `proportional`.

    Raises
    ------
    ValueError
        If the format has more than four levels.
    """
    if fmt.name not in UNITS_PER_MEAN:
        known = ", ".join(UNITS_PER_MEAN)
        raise ValueError(f"clipping 'mean' is defined for {known}, not for {fmt.name!r}; use 'proportional'")
    return rows.abs().mean(dim=1) / UNITS_PER_MEAN[fmt.name]


def octav(rows: Tensor, fmt: Format) -> Tensor:
    """Optimally clipped tensors and vectors (OCTAV); arguments as `proportional`.

    Balances, for N levels (N = 2^bits), the granular error s^2 / (3 N^2) of weights within the clipping
    value s against the error (|w| - s)^2 of those beyond, by the Newton iteration of Sakr et al.,
    arXiv:2206.06501: s <- E[|w|; |w| > s] / (P(|w| <= s) / (3 N^2) + P(|w| > s)). The clipping value is
    taken as the outer edge of the grid, half a step beyond the last level, so that the step is 2 s / N.

    Raises
    ------
    ValueError
        If the grid is not uniform: J assumes a constant step.
    """
    if fmt.step is None:
        raise ValueError(f"clipping 'octav' needs a uniform grid, {fmt.name!r} is not; use 'mse'")
    count = len(fmt.levels)
    magnitude = rows.abs()
    clip = magnitude.mean(dim=1)
    for _ in range(OCTAV_ITERATIONS):
        beyond = magnitude > clip[:, None]
        outside = beyond.sum(dim=1)
        inside = magnitude.shape[1] - outside
        clip = (magnitude * beyond).sum(dim=1) / (inside / (3 * count**2) + outside)
    return clip * 2 / (count * fmt.step)


def mean_square(rows: Tensor, fmt: Format) -> Tensor:
    """Scale of least mean square error; arguments as `proportional`.

    Searches a grid of scales twice, coarse and fine, then alternates between nearest codes q and the best
    scale for them, <w, q> / <q, q>; neither step can increase the error.
    """
    unclipped = rows.abs().amax(dim=1, keepdim=True) / fmt.levels[-1]
    unclipped = unclipped.clamp(min=smallest_scale(rows.dtype))
    ratio = MSE_SMALLEST ** (1 / (MSE_CANDIDATES - 1))  # between neighbouring candidates
    best = _best_of(rows, fmt, unclipped, [ratio**k for k in range(MSE_CANDIDATES)])
    fine = [ratio ** (2 * k / (MSE_CANDIDATES - 1) - 1) for k in range(MSE_CANDIDATES)]
    best = _best_of(rows, fmt, best, [1.0, *fine])
    for _ in range(MSE_REFINEMENTS):
        codes = fmt.nearest(rows / best)
        scale = (rows * codes).sum(dim=1, keepdim=True) / codes.square().sum(dim=1, keepdim=True)
        best = torch.where(scale > SMALLEST_SCALE, scale, best)  # all-zero codes leave 0 / 0
    return best[:, 0]


def _best_of(rows: Tensor, fmt: Format, scale: Tensor, factors: list[float]) -> Tensor:
    """Multiple of `scale` [r, 1] with the least mean square error, for each row."""
    best, least = scale, torch.full_like(scale, torch.inf)
    for factor in factors:
        candidate = scale * factor
        error = (fmt.nearest(rows / candidate) * candidate - rows).square_().mean(dim=1, keepdim=True)
        better = error < least
        best, least = torch.where(better, candidate, best), torch.where(better, error, least)
    return best


CLIPPINGS = {"proportional": proportional, "mean": mean_magnitude, "octav": octav, "mse": mean_square}

# Cheap enough, and smooth enough in the weights, to follow every training step; the others are updated
# once an epoch.
EVERY_STEP = ("proportional", "mean")


def default_clipping(fmt: Format) -> str:
    """Clipping for training when none is named."""
    return "mean" if fmt.name in ("binary", "ternary") else "proportional"


def choose_scale(
    weight: Tensor,
    fmt: Format,
    clipping: str,
    *,
    per_channel: bool = False,
    quantscale: float | None = None,
) -> Tensor:
    """Scale of a weight tensor.

    Parameters
    ----------
    weight
        Weights [out, ...].
    fmt
        Grid.
    clipping
        ``proportional``, ``mean``, ``octav`` or ``mse``.
    per_channel
        One scale per output channel instead of one per tensor.
    quantscale
        For ``proportional`` only: standard deviation relative to the largest level.

    Returns
    -------
    Tensor
        Scale in weight units per integer unit, without gradient; shape [] or [out, 1, ...].

    Raises
    ------
    ValueError
        If the clipping is unknown or does not suit the format, or `quantscale` is not positive and finite, is
        given for another clipping, or is missing for a format of one's own.
    """
    if clipping not in CLIPPINGS:
        raise ValueError(f"clipping {clipping!r} is not known; choose from {', '.join(CLIPPINGS)}")
    options = {}
    if quantscale is not None:
        if clipping != "proportional" or not 0 < quantscale < math.inf:
            raise ValueError(
                f"quantscale must be positive, finite and goes with clipping 'proportional'; "
                f"got quantscale {quantscale} with clipping {clipping!r}"
            )
        options["quantscale"] = quantscale
    elif clipping == "proportional" and fmt.name not in QUANTSCALE:
        raise ValueError(f"format {fmt.name!r} has no default quantscale; give one, or use clipping 'mse'")
    weight = weight.detach()
    rows = weight.flatten(1) if per_channel else weight.reshape(1, -1)
    scale = CLIPPINGS[clipping](at_least_single(rows), fmt, **options).to(rows.dtype)
    scale = scale.clamp(min=smallest_scale(scale.dtype))
    return scale.reshape((-1,) + (1,) * (weight.ndim - 1)) if per_channel else scale[0]
