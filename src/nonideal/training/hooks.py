"""What a study adds to the training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

# Called with the model and the epoch (from 0) at every step; its value is added to the loss.
Regulariser = Callable[[nn.Module, int], Tensor]

# Parameter groups of the optimiser, as PyTorch's; `lr_factor` multiplies the schedule's rate for a group.
ParameterGroups = Callable[[nn.Module], list[dict[str, Any]]]


class Hook:
    """Called by the training loop; subclasses override what they need.

    A hook holds no state that a resumed run would lack: random numbers come from named streams
    (`nonideal.rng`) of seed, epoch and step, everything else from the model's buffers. Its `repr` is compared
    when a checkpoint is loaded, so it should show the settings.
    """

    def before_epoch(self, model: nn.Module, epoch: int) -> None:
        """Before the first step of an epoch, counted from 0."""

    def before_step(self, model: nn.Module, epoch: int, step: int) -> None:
        """Before the forward pass of a step, counted from 0 in each epoch."""

    def after_step(self, model: nn.Module, epoch: int, step: int) -> None:
        """After the update of the weights."""

    def after_epoch(self, model: nn.Module, epoch: int) -> dict[str, float] | None:
        """After the last step, before the evaluation; what is returned joins the epoch's row."""

    def __repr__(self) -> str:
        """Name of the class: no address, which would differ from run to run."""
        return f"{type(self).__name__}()"
