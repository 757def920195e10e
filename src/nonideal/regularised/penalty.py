"""The penalty over a run: lambda(epoch) sum_l alpha_l sum_i |w_i - Q(w_i)|^2, and whether it is stable.

Two variants (Biswas et al. 2025, arXiv:2503.01297, section 4):

===  =====================================  ============================================  ================
     forward pass in training               lambda                                        rate of r and c
===  =====================================  ============================================  ================
V1   float weights                          100, in the end exponentially to 2000         1e-6
V2   quantised weights, straight through    0.1, in the end exponentially to 1.0          1e-3
===  =====================================  ============================================  ================

The paper's rise takes the last 20 of 200 epochs, or the last 10 of 20 for faults and variability; here it is
a fraction of the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nonideal.quantize import attach
from nonideal.quantize.learned import LearnedQuantiser
from nonideal.quantize.losses import alpha, penalty
from nonideal.training import Settings

FLOAT_FORWARD = (100.0, 2000.0)  # lambda at first and in the last epoch, variant 1
STRAIGHT_THROUGH_LAMBDA = (0.1, 1.0)  # the same, variant 2
QUANTISER_LR = {False: 1e-6, True: 1e-3}  # rate of r and c by whether the forward pass is straight through


class UnstableError(ValueError):
    """A penalty so strong that a step throws a weight beyond its level; the message names the layer."""


@dataclass(frozen=True)
class Course:
    """Course of lambda over a run.

    Parameters
    ----------
    first, last
        Lambda at first and in the last epoch, not negative; equal keeps it constant.
    epochs
        Epochs of the run.
    ramp
        Fraction of the run, at its end, over which lambda rises exponentially.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    first: float
    last: float
    epochs: int
    ramp: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last or (self.first == 0 and self.last > 0):
            raise ValueError(f"lambda rises from a positive value, or stays 0; got {self.first}, {self.last}")
        if not 0 < self.ramp <= 1 or self.epochs < 1:
            raise ValueError(f"ramp must lie in (0, 1] of at least one epoch, got {self.ramp}, {self.epochs}")

    def __call__(self, epoch: int) -> float:
        """Lambda in an epoch, counted from 0; beyond the last epoch it stays."""
        rising = max(1, round(self.ramp * self.epochs))
        done = min(epoch + 1 - (self.epochs - rising), rising)
        if done <= 0 or self.first == 0:
            return self.first
        return self.first * (self.last / self.first) ** (done / rising)


class Penalty:
    """Regulariser of the training loop: the penalty of all quantised layers.

    Parameters
    ----------
    course
        Lambda over the run.
    option
        Choice of alpha, see `nonideal.quantize.losses.alpha`.
    """

    def __init__(self, course: Course, option: str = "paper") -> None:
        self.course, self.option = course, option
        self._model: nn.Module | None = None

    def terms(self, model: nn.Module) -> list[tuple[str, Tensor, nn.Module, float]]:
        """Name, float weight, quantiser and alpha of every quantised layer."""
        quantisers = attach.attached(model)
        return [
            (name, weight, quantisers[name], alpha(weight.numel(), _width(quantisers[name]), self.option))
            for name, weight in attach.original(model).items()
        ]

    def __call__(self, model: nn.Module, epoch: int) -> Tensor | float:
        """Value to add to the loss."""
        strength = self.course(epoch)
        if strength == 0:
            return 0.0
        if self._model is not model:  # the walk over all modules costs as much as a small layer's penalty
            self._terms, self._model = self.terms(model), model
        return strength * sum(factor * penalty(weight, q) for _, weight, q, factor in self._terms)

    def check(self, model: nn.Module, settings: Settings) -> float:
        """Refuse a penalty that a gradient step overshoots: lr 2 lambda alpha must stay below 1.

        Returns
        -------
        float
            The largest lr 2 lambda alpha of any epoch and layer.

        Raises
        ------
        UnstableError
            Naming the layer with the largest value.
        """
        worst = max(settings.rate(epoch) * self.course(epoch) for epoch in range(settings.epochs))
        return self._refuse(model, worst)

    def check_rate(self, model: nn.Module, rate: float, epoch: int) -> float:
        """As `check`, for the learning rate of one epoch."""
        return self._refuse(model, rate * self.course(epoch))

    def _refuse(self, model: nn.Module, worst: float) -> float:
        name, factor = max(((n, f) for n, _, _, f in self.terms(model)), key=lambda term: term[1])
        if 2 * worst * factor >= 1:
            raise UnstableError(
                f"layer {name!r}: lr * 2 * lambda * alpha reaches {2 * worst * factor:.3g} and must stay "
                f"below 1 (alpha = {factor:.3g}): lower the learning rate {self._by(model)}"
            )
        return 2 * worst * factor

    def _by(self, model: nn.Module) -> str:
        """How far the learning rate must come down, and what else helps where it does."""
        below = f"below {self.largest_rate(model):.3g} (largest_rate())"
        return below if self.option == "mean" else f"{below}, or take alpha = 'mean'"

    def largest_rate(self, model: nn.Module) -> float:
        """Constant learning rate of the weights at which lr 2 lambda alpha reaches 1 somewhere."""
        factor = max((factor for *_, factor in self.terms(model)), default=0.0)
        strongest = factor * max(self.course(epoch) for epoch in range(self.course.epochs))
        return 1 / (2 * strongest) if strongest else math.inf

    def largest_rates(self, model: nn.Module, settings: Settings | None = None) -> dict[str, float]:
        """Learning rates of r and c above which the penalty alone makes them run away, by layer.

        For given codes S the penalty is quadratic in (r, c). With all levels equally in use its curvature is
        2 lambda alpha n times the mean of (S, 1)(S, 1)^T, whose largest eigenvalue is that of a learned step
        over 150 times that of multipliers at four bits. The rate returned is one over the largest curvature
        of the run, the schedule's course and lambda's taken together; without settings the rate stays as it
        is. Layers without learned levels are left out.
        """
        worst = max(
            (settings.rate(epoch) / settings.lr if settings else 1.0) * self.course(epoch)
            for epoch in range(self.course.epochs)
        )
        if worst == 0:
            return {}
        return {
            name: 1 / (2 * worst * factor * weight.numel() * _curvature(quantiser))
            for name, weight, quantiser, factor in self.terms(model)
            if isinstance(quantiser, LearnedQuantiser)
        }


def _curvature(quantiser: LearnedQuantiser) -> float:
    """Largest eigenvalue of the mean of (S, 1)(S, 1)^T over all codes."""
    codes = torch.arange(2**quantiser.bits)
    if quantiser.mode == "multiplier":
        signals = (codes[:, None] >> torch.arange(quantiser.bits)) & 1
    else:
        signals = codes[:, None]
    extended = torch.cat((signals, torch.ones(len(codes), 1)), dim=1).double()
    return torch.linalg.eigvalsh(extended.T @ extended / len(codes))[-1].item()


def _width(quantiser: nn.Module) -> float:
    """Bits of a weight, of learned levels or of a fixed format."""
    return quantiser.bits if hasattr(quantiser, "bits") else quantiser.format.bits
