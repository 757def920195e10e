"""Sharpness-aware minimisation: the gradient is taken at the worst weights nearby (arXiv:2010.01412)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm


@contextlib.contextmanager
def ascended(model: nn.Module, radius: float) -> Iterator[None]:
    """Context in which the weights lie one step of this length up their gradient (Foret et al., equation 2).

    Afterwards they are what they were, bit for bit. Within, running statistics of batch normalisation stay as
    they are: they belong to the weights of the step.

    Parameters
    ----------
    model
        Network with gradients. With a gradient of zero there is no direction, and nothing moves.
    radius
        2-norm of the step over all parameters together, in the units of the weights.
    """
    moved = [value for value in model.parameters() if value.grad is not None]
    before = [value.detach().clone() for value in moved]
    gradients = [value.grad for value in moved]
    norms = [
        module for module in model.modules() if isinstance(module, BatchNorm) and module.track_running_stats
    ]
    with torch.no_grad():
        length = torch.nn.utils.get_total_norm(gradients)
        factor = torch.where(length > 0, radius / length, 0.0)
        torch._foreach_add_(moved, torch._foreach_mul(gradients, factor))
    for module in norms:
        module.track_running_stats = False
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(moved, before)
        for module in norms:
            module.track_running_stats = True
