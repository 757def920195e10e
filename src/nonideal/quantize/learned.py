"""Learned levels: a weight of N bit cells stands for the sum of the multipliers of its set bits.

The levels of a layer are

    W_levels = {<r, S> + c}

(Biswas et al. 2025, arXiv:2503.01297, eqs 2-5), in one of three modes:

==============  ==============================  =================================
mode            S                               learned
==============  ==============================  =================================
``fixed``       0 .. 2^N - 1                    nothing
``step``        0 .. 2^N - 1                    one step r, the offset c
``multiplier``  {0, 1}^N, bit k of the code     N multipliers r_k, the offset c
==============  ==============================  =================================

Choices the paper leaves open: the step starts at 2 mean|w| / sqrt(Qp) with Qp = (2^N - 1) / 2 (the paper's
printed Qp, 2^(N-1) - 1, is zero for one bit), multipliers are that step times powers of two, and c starts
where the levels lie symmetric about zero. A value halfway between two levels goes to the upper one, as for
the fixed formats (`nonideal.quantize.formats`).

A code is the integer whose bit k says whether cell k is set. With learned multipliers the order of the
levels need not be that of the codes.
"""

from __future__ import annotations

import functools
import math
import numbers
from typing import Any

import torch
from torch import Tensor, nn

MODES = ("fixed", "step", "multiplier")
WIDTHS = range(1, 9)  # bit cells of a weight; a code fits a byte


def qp(bits: float) -> float:
    """Half the range of the codes, (2^N - 1) / 2, where the paper prints 2^(N-1) - 1 for signed data."""
    return (2**bits - 1) / 2


@functools.lru_cache(maxsize=64)
def code_bits(bits: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bits of every code, [2^N, N]; column k has the significance 2^k."""
    with torch.inference_mode(False):  # a table first made during evaluation serves training too
        codes = torch.arange(2**bits, device=device)
        return (codes[:, None] >> torch.arange(bits, device=device) & 1).to(dtype)


def nearest_sorted(values: Tensor, levels: Tensor) -> Tensor:
    """Position of the nearest level.

    Parameters
    ----------
    values
        Any shape.
    levels
        Ascending [m].

    Returns
    -------
    Tensor
        int32 positions, shape of `values`; halfway goes up (eq. 1: t_i <= x belongs to the upper level).
    """
    thresholds = (levels[1:] + levels[:-1]) / 2
    if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
        # In the order of the memory, which the result keeps: no copy, and no warning of one.
        moved = torch.bucketize(values.permute(0, 2, 3, 1), thresholds, right=True, out_int32=True)
        return moved.permute(0, 3, 1, 2)
    return torch.bucketize(values, thresholds, right=True, out_int32=True)


class _PassThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, quantised: Tensor) -> Tensor:
        return quantised

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def pass_through(weight: Tensor, quantised: Tensor) -> Tensor:
    """Exactly `quantised`; its gradient reaches `weight` unchanged (straight-through estimator)."""
    return _PassThrough.apply(weight, quantised)


class LearnedQuantiser(nn.Module):
    """Quantiser of one layer, to be attached as a parametrisation of its weight.

    Parameters
    ----------
    bits
        Bit cells of a weight N, 1 .. 8.
    mode
        ``fixed``, ``step`` or ``multiplier``.
    straight_through
        True (the paper's second variant): the layer computes with quantised weights in training, and the
        gradient passes straight through to the float weights. False (the first variant): in training the
        layer computes with float weights, which the penalty draws to the levels. In evaluation both compute
        with quantised weights.

    Attributes
    ----------
    r
        Step [1] or multipliers [N].
    c
        Offset [].

    Raises
    ------
    ValueError
        If `bits` or `mode` is not allowed.

    Notes
    -----
    r and c learn from the penalty alone in both variants: what passes straight through reaches the weights
    only. The paper scales lambda and the rate of r in opposite directions between its variants, which keeps
    the pace of r the same exactly when r learns from the penalty.
    """

    def __init__(self, bits: int, mode: str = "multiplier", *, straight_through: bool = False) -> None:
        super().__init__()
        if isinstance(bits, bool) or not isinstance(bits, numbers.Integral) or bits not in WIDTHS:
            raise ValueError(f"bits must be a whole number of {WIDTHS[0]} .. {WIDTHS[-1]}, got {bits!r}")
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.bits, self.mode, self.straight_through = int(bits), mode, straight_through
        powers = 2.0 ** torch.arange(bits) if mode == "multiplier" else torch.ones(1)
        self.r = nn.Parameter(powers, requires_grad=mode != "fixed")
        self.c = nn.Parameter(torch.tensor(-qp(bits)), requires_grad=mode != "fixed")

    @torch.no_grad()
    def initialise(self, weight: Tensor) -> LearnedQuantiser:
        """Set r and c, with device and type, from the weights of a full-precision layer; returns itself.

        Raises
        ------
        ValueError
            If the weights are all zero or not finite: no step follows from them.
        """
        step = 2 * weight.detach().abs().mean().item() / math.sqrt(qp(self.bits))
        if not (math.isfinite(step) and step > 0):
            raise ValueError(f"no step follows from weights whose mean magnitude gives {step}")
        powers = 2.0 ** torch.arange(self.bits) if self.mode == "multiplier" else torch.ones(1)
        self.to(weight.device, weight.dtype)
        self.r.copy_(powers * step)
        self.c.fill_(-qp(self.bits) * step)
        return self

    def multipliers(self) -> Tensor:
        """Value of each bit cell [N], in units of the weights; differentiable."""
        if self.mode == "multiplier":
            return self.r
        return self.r * 2.0 ** torch.arange(self.bits, device=self.r.device)

    def levels(self) -> Tensor:
        """Level of every code [2^N], in units of the weights; differentiable."""
        if self.mode == "multiplier":
            # Weights stay in their precision; autocast would round this product.
            with torch.autocast(self.r.device.type, enabled=False):
                return code_bits(self.bits, self.r.device, self.r.dtype) @ self.r + self.c
        return torch.arange(2**self.bits, device=self.r.device, dtype=self.r.dtype) * self.r + self.c

    @torch.no_grad()
    def encode(self, weight: Tensor) -> Tensor:
        """Code of the nearest level, int32, shape of `weight`."""
        if self.mode != "multiplier":  # uniform: rounding, without a search
            codes = ((weight - self.c) / self.r).add_(0.5).floor_()
            # What is not a number gets a code that exists; the penalty of its weight is none either.
            return codes.nan_to_num_(0).clamp_(0, 2**self.bits - 1).to(torch.int32)
        ascending, order = self.levels().sort(stable=True)
        position = nearest_sorted(weight, ascending)
        return order.to(torch.int32)[position]

    def quantise(self, weight: Tensor) -> Tensor:
        """Nearest levels of the weights; no gradient."""
        return self.levels().detach()[self.encode(weight)]

    def forward(self, weight: Tensor) -> Tensor:
        """Weights the layer computes with."""
        if self.training and not self.straight_through:
            return weight
        return pass_through(weight, self.quantise(weight))

    def extra_repr(self) -> str:
        """Settings, as printed and as compared when a checkpoint is loaded."""
        return f"bits={self.bits}, mode={self.mode}, straight_through={self.straight_through}"
