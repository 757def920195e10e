"""Ternary weight networks: levels -1, 0, 1 with a threshold on the magnitude (Li & Liu, arXiv:1605.04711).

Weights within 0.7 times the mean magnitude become zero, the others plus or minus one scale, the mean
magnitude of those others (Eqs. 3 to 6 there). The format ``ternary`` of `nonideal.quantize.formats` differs:
it rounds to the nearest level, which puts the threshold at half the scale.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nonideal.quantize.formats import FORMATS, at_least_single, finite

NAME = "twn"
THRESHOLD = 0.7  # over mean |w|, arXiv:1605.04711, Eq. 6
SMALLEST_SCALE = 1e-12  # keeps the division by the scale defined when all weights are zero


class _Ternarise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, scale: Tensor, threshold: Tensor) -> Tensor:
        ternary = torch.where(weight.abs() > threshold, weight.sign() * scale, torch.zeros_like(weight))
        return ternary.masked_fill_(weight.isnan(), torch.nan)  # as with every format

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None


class TernaryQuantiser(nn.Module):
    """Ternary weights in front of a weight, for `nonideal.quantize.attach`.

    Parameters
    ----------
    weight
        Float weight that the first scale is chosen for.

    Attributes
    ----------
    scale
        Weight units per level, a buffer.
    threshold
        Largest magnitude that becomes zero, a buffer.
    frozen
        True stops both from following the weight. `nonideal.training.train` sets it when an epoch begins, by
        `Settings.freeze_scale`.
    """

    scale: Tensor
    threshold: Tensor
    format = FORMATS["ternary"]

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.frozen = False
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("threshold", torch.ones(()))
        self.update_scale(weight)

    @torch.no_grad()
    def update_scale(self, weight: Tensor) -> None:
        """Choose threshold and scale for a weight, unless they are frozen."""
        if self.frozen:
            return
        magnitude = at_least_single(weight.abs())
        self.threshold.copy_(THRESHOLD * magnitude.mean())
        beyond = magnitude > self.threshold
        mean = (magnitude * beyond).sum() / beyond.sum().clamp(min=1)
        self.scale.copy_(mean.clamp(min=SMALLEST_SCALE))

    def forward(self, weight: Tensor) -> Tensor:
        """Weight on the grid; the gradient passes straight through."""
        if self.training:
            self.update_scale(weight)
        return _Ternarise.apply(weight, self.scale, self.threshold)

    def integers(self, weight: Tensor) -> Tensor:
        """Levels of a float weight, int32, shape of `weight`; a ValueError if not finite."""
        weight = finite(weight)
        return torch.where(weight.abs() > self.threshold, weight.sign(), 0.0).to(torch.int32)
