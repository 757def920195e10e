"""Fixed grids for weights: a named set of integer levels, and the way to the nearest one and back.

A weight tensor w is stored as codes and one scale (per tensor or per output channel),

    w ~ scale * level[code],

where `level` lists the format's values in integer units, ascending, and the code is the index into that
list. Levels are integers for every format, so that an integer engine computes with exactly the values the
network was trained with.

A value halfway between two levels goes to the upper one, in every format. Values beyond the last level
saturate.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# NormalFloat4: 16 quantiles of the normal distribution scaled to [-1, 1], with an exact zero.
# Dettmers et al., "QLoRA", arXiv:2305.14314, appendix E.
NF4_QUANTILES = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
NF4_UNIT = 127  # integer units per 1.0: the levels fill a table of int8
SMALLEST_SCALE = 1e-12  # of weights that are all zero, where the type holds it; see `smallest_scale`


@dataclass(frozen=True)
class Format:
    """A set of levels.

    Parameters
    ----------
    name
        Name in `FORMATS`.
    levels
        Values in integer units, strictly ascending, at least two.

    Raises
    ------
    ValueError
        If the levels are not strictly ascending.
    """

    name: str
    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.levels) < 2 or any(a >= b for a, b in zip(self.levels, self.levels[1:], strict=False)):
            raise ValueError(f"format {self.name!r}: levels must be strictly ascending, got {self.levels}")

    @property
    def bits(self) -> float:
        """Information per weight, in bit: log2 of the number of levels (1.58 for ternary)."""
        return math.log2(len(self.levels))

    @property
    def largest(self) -> int:
        """Largest magnitude, in integer units."""
        return max(abs(self.levels[0]), abs(self.levels[-1]))

    @functools.cached_property
    def step(self) -> int | None:
        """Distance of neighbouring levels in integer units; None if it is not the same everywhere."""
        steps = {b - a for a, b in zip(self.levels, self.levels[1:], strict=False)}
        return steps.pop() if len(steps) == 1 else None

    def nearest(self, x: Tensor) -> Tensor:
        """Round to the nearest level.

        Parameters
        ----------
        x
            Values in integer units, any shape, floating point.

        Returns
        -------
        Tensor
            Levels, same shape and type as `x`; not a number where `x` is none.
        """
        # Midpoints of integer levels are multiples of one half, so the level depends on floor(2x) alone. All
        # three branches use only exact operations (floor, doubling, halving of integers): a value next to
        # a midpoint is never pushed over it, as floor(x + 0.5) would do with 0.49999997.
        low, high = self.levels[0], self.levels[-1]
        if self.step == 2 and low % 2:  # levels are odd, midpoints are even
            return x.floor().mul_(0.5).floor_().mul_(2.0).add_(1.0).clamp_(low, high)
        halves = (x * 2.0).floor_()
        if self.step == 1:
            # Not by adding 1, which bfloat16 counts to 256 only; adding 0 takes the sign off a zero.
            return halves.mul_(0.5).ceil_().add_(0.0).clamp_(low, high)
        # As integers before they are moved to 1, 2, ...: bfloat16 counts to 256 only.
        index = halves.clamp_(2 * low, 2 * high).nan_to_num_(0).to(torch.int32).sub_(2 * low - 1)
        index.masked_fill_(x.isnan(), 0)
        return _by_halves(self, x.device, x.dtype).index_select(0, index.reshape(-1)).view(x.shape)

    def encode(self, weight: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        """Code of the nearest level.

        Parameters
        ----------
        weight
            Weights, any shape, floating point.
        scale
            Weight units per integer unit, positive; a number or a tensor that broadcasts.

        Returns
        -------
        Tensor
            Codes 0 .. len(levels) - 1, shape of `weight`; uint8, or int32 for more than 256 levels.

        Raises
        ------
        ValueError
            If a weight or the scale is not finite, or the scale is not positive.
        """
        scale = torch.as_tensor(scale, dtype=weight.dtype, device=weight.device)
        if not bool(torch.isfinite(weight).all()):
            raise ValueError(f"format {self.name!r}: weights must be finite; did the training diverge?")
        if not bool(torch.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError(f"format {self.name!r}: the scale must be positive and finite, got {scale}")
        levels = _levels(self, weight.device, torch.float64)  # half precision does not tell all apart
        codes = torch.searchsorted(levels, self.nearest(weight / scale).double())
        return codes.to(torch.uint8 if len(self.levels) <= 256 else torch.int32)

    def decode(
        self, codes: Tensor, scale: Tensor | float = 1.0, *, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Weights of given codes: scale * level[code].

        Raises
        ------
        ValueError
            If a code is not an integer of 0 .. len(levels) - 1.
        """
        if codes.is_floating_point() or codes.dtype == torch.bool:
            raise ValueError(f"format {self.name!r}: codes must be integers, got {codes.dtype}")
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < len(self.levels):
            found = f"{int(codes.min())} .. {int(codes.max())}"
            raise ValueError(f"format {self.name!r} has codes 0 .. {len(self.levels) - 1}, found {found}")
        return _levels(self, codes.device, dtype)[codes.long()] * scale


@functools.lru_cache(maxsize=64)
def _levels(fmt: Format, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Levels [n] of a format."""
    with torch.inference_mode(False):  # a table first made during evaluation serves training too
        return torch.tensor(fmt.levels, device=device, dtype=dtype)


@functools.lru_cache(maxsize=64)
def _by_halves(fmt: Format, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Not a number, then the nearest level to every multiple of one half from the first level to the last."""
    with torch.inference_mode(False):
        levels = _levels(fmt, device, dtype)
        exact = torch.tensor(fmt.levels, device=device, dtype=torch.float64)
        halves = (
            torch.arange(2 * fmt.levels[0], 2 * fmt.levels[-1] + 1, device=device, dtype=torch.float64) / 2
        )
        nearest = levels[torch.bucketize(halves, (exact[1:] + exact[:-1]) / 2, right=True)]
        return functional.pad(nearest, (1, 0), value=math.nan)


def _registry(*formats: Format) -> dict[str, Format]:
    return {fmt.name: fmt for fmt in formats}


FORMATS: dict[str, Format] = _registry(
    Format("binary", (-1, 1)),
    Format("ternary", (-1, 0, 1)),
    Format("2bitsym", (-3, -1, 1, 3)),
    Format("4bitsym", tuple(range(-15, 16, 2))),
    Format("4bit", tuple(range(-8, 8))),
    Format("8bit", tuple(range(-128, 128))),
    # Sign and three bits of exponent, no mantissa, no zero.
    Format("fp130", tuple(sorted(sign * 2**e for sign in (-1, 1) for e in range(8)))),
    Format("nf4", tuple(round(NF4_UNIT * quantile) for quantile in NF4_QUANTILES)),
)


def get_format(name: str) -> Format:
    """Format of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists the names.
    """
    if name not in FORMATS:
        raise ValueError(f"weight format {name!r} is not known; formats are {', '.join(FORMATS)}")
    return FORMATS[name]


def smallest_scale(dtype: torch.dtype) -> float:
    """Scale of weights that are all zero: positive in that type, so that dividing by it is defined."""
    limits = torch.finfo(dtype)
    return max(SMALLEST_SCALE, limits.smallest_normal * limits.eps)  # the smallest number there is


def divisor(scale: Tensor) -> Tensor:
    """Scale to divide by; float16 rounds to zero what float32 held above it (`SMALLEST_SCALE`)."""
    return scale.clamp(min=smallest_scale(scale.dtype)) if scale.dtype == torch.float16 else scale


def at_least_single(values: Tensor) -> Tensor:
    """Values, in single precision if in half, where squares of small errors vanish and long sums overflow."""
    half = values.is_floating_point() and values.dtype.itemsize < 4
    return values.float() if half else values


def finite(weight: Tensor) -> Tensor:
    """Weights without gradient, to be made integers, which have no place for what is not finite.

    Raises
    ------
    ValueError
        If one is not finite.
    """
    if not bool(torch.isfinite(weight).all()):
        raise ValueError("a layer has weights that are not finite; did the training diverge?")
    return weight.detach()


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, scale: Tensor, fmt: Format) -> Tensor:
        scale = divisor(scale)
        return fmt.nearest(weight / scale).mul_(scale)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None


def fake_quantise(weight: Tensor, scale: Tensor, fmt: Format) -> Tensor:
    """Replace weights by their quantised values; pass the gradient straight through.

    The gradient of the result is handed to `weight` unchanged, also where the weight saturates
    (straight-through estimator: Bengio et al., arXiv:1308.3432). `scale` receives no gradient.

    Parameters
    ----------
    weight
        Weights, any shape.
    scale
        Weight units per integer unit; broadcasts against `weight`.
    fmt
        Grid.

    Returns
    -------
    Tensor
        scale * nearest level of weight / scale.
    """
    return _StraightThrough.apply(weight, scale, fmt)
