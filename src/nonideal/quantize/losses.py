"""Penalty that draws weights to their levels (Biswas et al. 2025, arXiv:2503.01297, eqs 6, 7, 11, 12).

The term of layer l is alpha_l sum_i |w_i - Q(w_i)|^2. Which level a weight is drawn to is a search that has
no gradient; the square that follows is one fused function of weights and levels. Eqs (7), (11) and (12)
differ in the search alone: among all levels, among the levels a faulty cell can hold, among the levels of
this weight's own cells.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from nonideal.quantize.learned import LearnedQuantiser, qp

ALPHAS = ("paper", "mean", "sqrt")


def alpha(count: int, bits: float, option: str = "paper") -> float:
    """Factor of a layer's penalty.

    Parameters
    ----------
    count
        Weights of the layer n.
    bits
        Width of its weights N.
    option
        ``paper``: 1 / sqrt(n Qp), Qp = (2^N - 1) / 2. ``mean``: 1 / n. ``sqrt``: 1 / sqrt(n).

    Raises
    ------
    ValueError
        If the option is unknown.
    """
    if option not in ALPHAS:
        raise ValueError(f"alpha must be one of {', '.join(ALPHAS)}, got {option!r}")
    return {"paper": 1 / math.sqrt(count * qp(bits)), "mean": 1 / count, "sqrt": 1 / math.sqrt(count)}[option]


class _SquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, levels: Tensor, codes: Tensor) -> Tensor:
        error = weight.reshape(-1) - levels[codes.reshape(-1)]
        ctx.save_for_backward(error, codes)
        ctx.shape, ctx.count = weight.shape, len(levels)
        return error.dot(error)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        error, codes = ctx.saved_tensors
        to_weight = to_levels = None
        if ctx.needs_input_grad[0]:
            to_weight = (error * (2 * gradient)).view(ctx.shape)
        if ctx.needs_input_grad[1]:
            sums = torch.bincount(codes.reshape(-1), weights=error, minlength=ctx.count)
            to_levels = sums.to(error.dtype).mul_(-2 * gradient)
        return to_weight, to_levels, None


def squared_error(weight: Tensor, levels: Tensor, codes: Tensor) -> Tensor:
    """Sum of |w_i - levels[codes_i]|^2, with gradients to weights and levels.

    Parameters
    ----------
    weight
        Any shape.
    levels
        [m].
    codes
        int32 or int64, shape of `weight`.
    """
    return _SquaredError.apply(weight, levels, codes)


def penalty(weight: Tensor, quantiser: nn.Module) -> Tensor:
    """Sum over the weights of the squared distance to what the quantiser makes of them, eq. (7).

    Parameters
    ----------
    weight
        Float weights behind the quantiser (``layer.parametrizations.weight.original``).
    quantiser
        One that has its own ``penalty`` (faults, variability), a `LearnedQuantiser`, or any other
        parametrisation of weights, such as a fixed format: its output is then taken as constant.
    """
    if hasattr(quantiser, "penalty"):
        return quantiser.penalty(weight)
    if isinstance(quantiser, LearnedQuantiser):
        return squared_error(weight, quantiser.levels(), quantiser.encode(weight))
    with torch.no_grad():
        target = quantiser(weight)
    return (weight - target).square().sum()
