"""Slicing a weight over several devices, for NumPy and PyTorch alike (Le Gallo et al. 2022, section 2).

A weight of up to 255 in magnitude is stored on n devices, one per slice j = 0 (least significant) to
n - 1: w = r sum_j b^j g_j, with conductances g_j in units of G_MAX, base b and slice range r. A mapping says
how the g_j are chosen:

equal_fill
    All slices hold the same conductance.
max_fill
    As much as possible in as few slices as possible, most significant first. Base 1: a slice is full while
    what is left to store reaches r, and the last slice takes the rest. Base above 1: a slice is used where
    the rest exceeds what all lower slices hold together, and takes as much as it can.
max_fill_ec
    Max-fill that programs slice by slice and makes the next slices store the error just made as well.
digital
    The bits of |w|, an equal number per slice.

The functions follow the array API standard; weights may have any shape, slices are a new first axis.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import array_api_compat

from . import device

MAPPINGS = ("equal_fill", "max_fill", "max_fill_ec", "digital")
EC_TARGETS = ("unbounded", "physical", "same_sign")

MAX_WEIGHT = 255
"""Largest integer weight and input: 9 bits with sign (Le Gallo et al. 2022, section 3)."""

MAX_SLICES = 8
"""Most slices per weight: one per magnitude bit (Le Gallo et al. 2022, Fig. 4)."""

WEIGHT_SPAN = 3.0
"""Largest weight, standard deviations of the weights (Le Gallo et al. 2022, section 3)."""

INPUT_SPAN = 4.0
"""Largest input, standard deviations of the inputs (Le Gallo et al. 2022, section 3)."""

TIE = 1e-5
"""Relative difference between a residual and a slice's range that is taken for rounding."""

TERNARY_THRESHOLD = 0.7
"""Ternarisation threshold, multiples of the mean magnitude (Li, Zhang & Liu, arXiv:1605.04711)."""


def check(mapping: str, base: int | None, n_slices: int) -> None:
    """Raise ValueError unless mapping, base and number of slices go together."""
    if mapping not in MAPPINGS:
        raise ValueError(f"mapping must be one of {', '.join(MAPPINGS)}, got {mapping!r}")
    if not 1 <= _whole(n_slices) <= MAX_SLICES:
        raise ValueError(f"n_slices must be an integer from 1 to {MAX_SLICES}, got {n_slices!r}")
    if mapping == "digital":
        if base is not None:
            raise ValueError(f"digital slicing derives its base from n_slices: leave base out, got {base!r}")
    elif not 1 <= _whole(base) <= MAX_WEIGHT:
        raise ValueError(f"base of mapping {mapping} must be an integer from 1 to {MAX_WEIGHT}, got {base!r}")


def _whole(value: object) -> int:
    """An integer of any type, NumPy's included; 0, which is never allowed, of anything else."""
    try:
        return 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return 0


def bits_per_slice(n_slices: int) -> int:
    """Bits of |w| that one digital slice holds: 8 magnitude bits, divided and rounded up."""
    return math.ceil(8 / n_slices)


def slice_base(mapping: str, base: int | None, n_slices: int) -> int:
    """Base b of the slices' significance b^j."""
    check(mapping, base, n_slices)
    return 2 ** bits_per_slice(n_slices) if mapping == "digital" else base


def significance(mapping: str, base: int | None, n_slices: int) -> tuple[int, ...]:
    """Significance b^j of every slice, least significant first."""
    b = slice_base(mapping, base, n_slices)
    return tuple(b**j for j in range(n_slices))


def slice_range(mapping: str, base: int | None, n_slices: int) -> float:
    """Largest value r of one slice, weight units: 255 / sum_j b^j, or b - 1 for digital slices."""
    powers = significance(mapping, base, n_slices)
    if mapping == "digital":
        return float(slice_base(mapping, base, n_slices) - 1)
    return MAX_WEIGHT / sum(powers)


def _fill(residual: Any, j: int, r: float, b: int, xp: Any) -> tuple[Any, Any]:
    """Max-fill one slice: its target in units of G_MAX and what is left for the slices below."""
    step = r * b**j
    if j == 0:
        return residual / r, xp.zeros_like(residual)
    if b == 1:
        full = residual >= r
        return xp.astype(full, residual.dtype), xp.where(full, residual - r, residual)
    used = residual > (1 + TIE) * r * ((b**j - 1) // (b - 1))
    target = xp.clip(residual / step, None, 1.0)
    # Where one slice holds the whole residual, exactly nothing is left: an empty slice has no noise.
    rest = xp.where(residual > (1 + TIE) * step, residual - step, xp.zeros_like(residual))
    return xp.where(used, target, xp.zeros_like(target)), xp.where(used, rest, residual)


def program(
    weights: Any,
    mapping: str,
    base: int | None,
    n_slices: int,
    noise: Any,
    *,
    ec_targets: str = "unbounded",
    non_negative: bool = False,
    beside: Callable[[int, Any], Any] | None = None,
) -> tuple[Any, Any]:
    """Choose the targets of all slices and program them.

    Parameters
    ----------
    weights
        Floating-point array of any shape, magnitudes up to 255; integers for digital slicing.
    mapping, base, n_slices
        See the module's description; `base` is None for digital slicing.
    noise
        Standard normals for the programming errors, (n_slices, *weights.shape); zeros program exactly.
    ec_targets
        What error correction may ask of a slice. The rest it leaves to the last slice can have either sign
        and any size: "unbounded" follows the published runs (up to some 30 G_MAX at base 2 and 8 slices);
        "physical" limits every target to what a differential pair of devices holds, -1 to 1 G_MAX;
        "same_sign" to what one device of the pair holds, 0 to 1 G_MAX in the direction of the weight.
    non_negative
        Whether a device ends at zero where its programming error would carry it beyond.
    beside
        Called with a slice's number and targets; the signed conductance that other devices on the same
        columns add to it, which error correction measures with it. None: there are none.

    Returns
    -------
    targets, programmed
        Signed conductances in units of G_MAX, (n_slices, *weights.shape), least significant slice first.

    Raises
    ------
    ValueError
        If mapping, base and number of slices do not go together, or a name is unknown.
    """
    xp = array_api_compat.array_namespace(weights)
    b, r = slice_base(mapping, base, n_slices), slice_range(mapping, base, n_slices)
    if ec_targets not in EC_TARGETS:
        raise ValueError(f"ec_targets must be one of {', '.join(EC_TARGETS)}, got {ec_targets!r}")
    if tuple(noise.shape) != (n_slices, *weights.shape):
        raise ValueError(f"noise must have shape {(n_slices, *weights.shape)}, got {tuple(noise.shape)}")
    sign, residual = xp.sign(weights), xp.abs(weights)
    targets, programmed = [], []
    for j in reversed(range(n_slices)):
        if mapping == "equal_fill":
            target = residual / MAX_WEIGHT  # r sum_j b^j = 255
        elif mapping == "digital":
            target = xp.remainder(xp.floor(residual / b**j), b) / r
        else:
            target, residual = _fill(residual, j, r, b, xp)
        if mapping == "max_fill_ec" and ec_targets != "unbounded":
            target = xp.clip(target, -1.0 if ec_targets == "physical" else 0.0, 1.0)
        target = sign * target
        error = device.programming_std(target) * noise[j, ...]
        if non_negative:
            error = xp.where(
                xp.abs(error) > xp.abs(target), xp.where(error * target < 0, -target, error), error
            )
        if mapping == "max_fill_ec":
            measured = error if beside is None else error + beside(j, target)
            residual = residual - sign * measured * (r * b**j)
        targets.insert(0, target)
        programmed.insert(0, target + error)
    return xp.stack(targets), xp.stack(programmed)


def quantise(values: Any, span: float) -> Any:
    """Round to 9-bit integers with sign: clip(rint(255 v / span), -255, 255).

    Parameters
    ----------
    values
        Floating-point array, any shape.
    span
        The value that becomes 255, same units.
    """
    xp = array_api_compat.array_namespace(values)
    return xp.clip(xp.round(values * (MAX_WEIGHT / span)), -MAX_WEIGHT, MAX_WEIGHT)


def ternarise(weights: Any) -> Any:
    """Reduce weights to {-s, 0, s}: zero up to 0.7 mean |w|, else s, the mean magnitude of the others.

    Parameters
    ----------
    weights
        Floating-point array, any shape; one threshold and one scale for all of it.

    Returns
    -------
    array
        Ternary weights, same shape (Li, Zhang & Liu, "Ternary weight networks", arXiv:1605.04711).
    """
    xp = array_api_compat.array_namespace(weights)
    magnitude = xp.abs(weights)
    kept = xp.astype(magnitude > TERNARY_THRESHOLD * xp.mean(magnitude), weights.dtype)
    count = xp.clip(xp.sum(kept), 1, None)  # all weights zero: nothing is kept
    return xp.sign(weights) * kept * (xp.sum(magnitude * kept) / count)
