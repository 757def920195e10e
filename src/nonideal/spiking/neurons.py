"""Leaky integrate-and-fire neurons: snnTorch's, set to the equations used here, and a fused loop over time.

With input current X, membrane potential V before and H after charging, at each step (Biswas et al. 2025,
arXiv:2503.01297, Eqs. 8 to 10):

    H[t] = V[t - 1] + beta (X[t] - (V[t - 1] - V_reset))     charge
    S[t] = 1 if H[t] >= V_th else 0                          fire
    V[t] = V_reset if S[t] else H[t]                         hard reset

The gradient of S with respect to H is that of the arctan surrogate (Fang et al., ICCV 2021), as in snnTorch;
it flows through the reset too.
"""

from __future__ import annotations

import math
from typing import Any

import snntorch
import torch
from snntorch import surrogate
from torch import Tensor

ALPHA = 2.0  # width of the surrogate, the default of snnTorch and SpikingJelly


class _Fire(surrogate.ATan):
    """Heaviside step that fires at the threshold too, where snnTorch's fires above it only."""

    @staticmethod
    def forward(ctx, above: Tensor, alpha: float) -> Tensor:
        ctx.save_for_backward(above)
        ctx.alpha = alpha
        return (above >= 0).to(above.dtype)


def fire(above: Tensor) -> Tensor:
    """Spikes of potentials above the threshold, with the gradient of the arctan surrogate."""
    return _Fire.apply(above, ALPHA)


class _Integrate(torch.autograd.Function):
    """All steps of a layer at once; the potential is counted from V_reset."""

    @staticmethod
    def forward(ctx, current: Tensor, steps: int, beta: float, threshold: float) -> Tensor:
        constant = current.shape[0] == 1
        charged = current.new_empty((steps, *current.shape[1:]))
        spikes = torch.empty_like(charged)
        potential = torch.zeros_like(current[0])
        for t in range(steps):
            torch.lerp(potential, current[0 if constant else t], beta, out=charged[t])
            torch.ge(charged[t], threshold, out=spikes[t])
            torch.addcmul(charged[t], charged[t], spikes[t], value=-1, out=potential)
        # No comparison holds for what is not a number: such a neuron would be silent, and its network's loss
        # finite. A potential that is none stays none, so the last one tells, and spoils the last spike.
        spikes[-1].masked_fill_(potential.isnan(), math.nan)
        ctx.save_for_backward(charged, spikes)
        ctx.constant, ctx.beta, ctx.threshold = constant, beta, threshold
        return spikes

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        charged, spikes = ctx.saved_tensors
        steepness, beta = math.pi / 2 * ALPHA, ctx.beta
        # Gradient with respect to V after step t, and to H at step t.
        after, total = torch.zeros_like(charged[0]), torch.zeros_like(charged[0])
        result = None if ctx.constant else torch.empty_like(charged)
        slope = torch.empty_like(charged[0])
        for t in reversed(range(len(charged))):
            torch.sub(charged[t], ctx.threshold, out=slope).mul_(steepness).square_().add_(1.0)
            through = torch.addcmul(gradient[t], after, charged[t], value=-1).mul_(ALPHA / 2).div_(slope)
            through.addcmul_(after, spikes[t], value=-1).add_(after)
            torch.mul(through, 1 - beta, out=after)
            if ctx.constant:
                total += through
            else:
                torch.mul(through, beta, out=result[t])
        return (total.mul_(beta)[None] if ctx.constant else result), None, None, None


class LIF(snntorch.Leaky):
    """Leaky integrate-and-fire neurons over a whole sequence.

    The neuron is snnTorch's `Leaky` with reset to zero in the same step: `step` is its single step, `forward`
    computes all steps in one function with a hand-written gradient, which is faster and keeps less.

    Parameters
    ----------
    steps
        T, number of time steps.
    beta
        Share of the difference to the input that the potential moves in a step, 0 to 1.
    v_threshold, v_reset
        V_th and V_reset, in units of the potential; V_reset lies below V_th.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    def __init__(
        self, steps: int, *, beta: float = 0.25, v_threshold: float = 1.0, v_reset: float = 0.0
    ) -> None:
        if steps < 1 or not 0 < beta <= 1 or not v_reset < v_threshold:
            raise ValueError(
                f"a neuron needs steps >= 1, 0 < beta <= 1 and v_reset < v_threshold, "
                f"got steps {steps}, beta {beta}, v_reset {v_reset}, v_threshold {v_threshold}"
            )
        # The equations depend on V - V_reset alone, which the library's neuron resets to zero.
        super().__init__(
            1 - beta,
            threshold=v_threshold - v_reset,
            spike_grad=fire,
            reset_mechanism="zero",
            reset_delay=False,
        )
        # The library keeps every neuron ever made in a list; nothing here uses it.
        snntorch.SpikingNeuron.instances.remove(self)
        self.steps, self.share, self.gap = steps, beta, v_threshold - v_reset

    def _load_from_state_dict(
        self,
        state: dict[str, Any],
        prefix: str,
        metadata: dict[str, Any],
        strict: bool,
        missing: list[str],
        unexpected: list[str],
        errors: list[str],
    ) -> None:
        # `forward` has its constants as numbers, the library's neuron has them in its state: keep them equal.
        for name, own in (("beta", self.beta), ("threshold", self.threshold)):
            loaded = state.get(prefix + name)
            if loaded is not None and not torch.equal(loaded.to(own), own):
                errors.append(
                    f"{prefix}{name}: the state is of a neuron with {float(loaded):g}, this one has "
                    f"{float(own):g}; make it with the beta and v_threshold of that one"
                )
        super()._load_from_state_dict(state, prefix, metadata, strict, missing, unexpected, errors)

    def forward(self, current: Tensor) -> Tensor:
        """Spikes [T, n, ...] of a current [T, n, ...], or of one constant in time [1, n, ...].

        A neuron whose current was not finite has not a number as its last spike, so that the loss shows it.
        """
        if current.shape[0] not in (1, self.steps):
            raise ValueError(f"the current has {current.shape[0]} steps, expected 1 or {self.steps}")
        return _Integrate.apply(current, self.steps, self.share, self.gap)

    def step(self, current: Tensor, potential: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes and potential (counted from V_reset) [n, ...] after one step of the library's neuron."""
        return super().forward(self.share * current, potential)

    def extra_repr(self) -> str:
        """Settings of the neuron."""
        return f"steps={self.steps}, beta={self.share}, threshold={self.gap}"
