"""Learned step size quantisation (LSQ) of activations and weights.

Esser et al., "Learned step size quantization", arXiv:1902.08153: y = s round(clip(x / s, -Qn, Qp)), where the
step s learns from the task through its own straight-through gradient (their eq. 3), scaled by
1 / sqrt(n Qp). Here n counts the values of one sample for activations, and the weights of the layer for
weights. The step stays positive, starts at 2 mean|x| / sqrt(Qp) on the first batch, and lies, with the mark
that it has started, in the state that checkpoints save.
"""

from __future__ import annotations

import functools
import math
import numbers
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from nonideal.quantize.formats import smallest_scale

SMALLEST_STEP = 1e-8  # in units of what is quantised, which is of order one


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of a * b, without a temporary where the layouts allow."""
    if a.dtype == torch.float32 and a.is_contiguous() and b.is_contiguous():
        return a.view(-1).dot(b.view(-1))
    return (a * b).sum(dtype=torch.promote_types(a.dtype, torch.float32))


class _LearnedStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: int, high: int, factor: float) -> Tensor:
        scaled = x / step
        rounded = scaled.round().clamp_(low, high)
        ctx.save_for_backward(scaled, rounded)
        ctx.bounds = (low, high, factor)
        return rounded * step

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        scaled, rounded = ctx.saved_tensors
        low, high, factor = ctx.bounds
        masked = torch.ops.aten.hardtanh_backward(gradient, scaled, low, high)  # zero outside
        # d y / d s: round(v) - v inside, the bound itself outside.
        to_step = _dot(gradient, rounded) - _dot(masked, scaled)
        return masked, to_step * factor, None, None, None


class LSQ(nn.Module):
    """Quantiser with a learned step.

    Parameters
    ----------
    bits
        Width, 1 .. 16 (2 .. 16 if signed).
    signed
        False: 0 .. 2^N - 1, for activations after ReLU. True: -2^(N-1) .. 2^(N-1) - 1, for weights.

    Raises
    ------
    ValueError
        If the width is not allowed.
    """

    def __init__(self, bits: int, *, signed: bool = False) -> None:
        super().__init__()
        least = 2 if signed else 1
        if isinstance(bits, bool) or not isinstance(bits, numbers.Integral) or bits not in range(least, 17):
            raise ValueError(f"bits must be a whole number of {least} .. 16, got {bits!r}")
        self.bits, self.signed = int(bits), signed
        self.low, self.high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        self.step = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("started", torch.tensor(False))

    @torch.no_grad()
    def start(self, x: Tensor) -> LSQ:
        """Set the step from a first batch, or from the weights; returns itself.

        No step follows from a batch that is all zero or not finite: the next one is then the first.
        """
        step = 2 * x.detach().float().abs().mean() / math.sqrt(self.high)
        usable = (step > 0) & torch.isfinite(step)  # without a branch, which a trace could not follow
        self.step.copy_(torch.where(usable, step.clamp(min=SMALLEST_STEP), self.step))
        self.started.copy_(self.started | usable)
        return self

    def integers(self, x: Tensor) -> Tensor:
        """Rounded values in units of the step, as whole numbers in the type of `x`; no gradient."""
        # As `forward` takes it: an optimiser may have left it below zero.
        step = self.step.detach().clamp(min=self._smallest())
        return (x / step).round_().clamp_(self.low, self.high)

    def _smallest(self) -> float:
        return max(SMALLEST_STEP, smallest_scale(self.step.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Quantise; the first batch sets the step."""
        if not self.started:
            self.start(x)
        with torch.no_grad():
            self.step.clamp_(min=self._smallest())
        count = x.numel() if self.signed else math.prod(x.shape[1:])
        return _LearnedStep.apply(x, self.step, self.low, self.high, 1 / math.sqrt(count * self.high))

    def extra_repr(self) -> str:
        """Settings, as printed and as compared when a checkpoint is loaded."""
        return f"bits={self.bits}, signed={self.signed}"


def _quantise_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if not inputs:
        raise ValueError(f"a {type(layer).__name__} with quantised inputs takes its input first, not by name")
    return (layer.input_quantiser(inputs[0]), *inputs[1:])


def _check_sign(name: str, refuse: bool, quantiser: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Of the first batch alone: what is checked at every step is paid for at every step."""
    values = inputs[0]
    if not isinstance(values, Tensor) or quantiser.started or not bool((values < 0).any()):
        return
    remedy = "leave activation_bits out" if refuse else "do not quantise its inputs"
    said = (
        f"layer {name!r} has negative inputs, which unsigned activations of few bits "
        f"{'would ' * refuse}cut off: {remedy}, or put a ReLU before the layer"
    )
    if refuse:
        raise ValueError(said)
    warnings.warn(said, stacklevel=2)


def quantise_input(layer: nn.Module, bits: int, *, name: str = "", refuse_negative: bool = False) -> LSQ:
    """Quantise what goes into a layer, unsigned; returns the quantiser, ``layer.input_quantiser``.

    Parameters
    ----------
    layer
        Layer that is called with its input first.
    bits
        Width of the input's integers, as `LSQ`.
    name
        Of the layer, for messages; its class if empty.
    refuse_negative
        Raise a ValueError at the first batch if it has negative values, which are cut to zero; False warns.

    Raises
    ------
    ValueError
        If the layer has one already.
    """
    if hasattr(layer, "input_quantiser"):
        raise ValueError(f"{layer} quantises its input already")
    layer.input_quantiser = LSQ(bits)
    named = name or type(layer).__name__
    layer.input_quantiser.register_forward_pre_hook(functools.partial(_check_sign, named, refuse_negative))
    layer.register_forward_pre_hook(_quantise_input)
    return layer.input_quantiser
