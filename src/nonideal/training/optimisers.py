"""Optimisers of the training loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from nonideal.training.settings import Settings

# Steps of the size Adam takes, whatever the shape of the matrix: one learning rate for all parameters.
ADAM_STEPS = "match_rms_adamw"
MATRIX_AXES = (2, 4)  # of a matrix, and of a convolution's filters


def optimiser(parameters: Iterable[Any], settings: Settings) -> torch.optim.Optimizer | Muon:
    """Optimiser of a run.

    Parameters
    ----------
    parameters
        Parameters or groups of them, as PyTorch's optimisers take them.
    settings
        Settings of the run.
    """
    # The fused kernels do a whole update in one call; at these sizes a step costs calls, not arithmetic.
    decay = settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=decay,
            fused=True,
        )
    if settings.optimiser == "muon":
        return Muon(parameters, lr=settings.lr, weight_decay=decay)
    return torch.optim.Adam(parameters, lr=settings.lr, weight_decay=decay, fused=True)


class Muon:
    """Matrices and filters by orthogonalised momentum, all other parameters by AdamW, as one optimiser.

    A convolution's filters are a matrix with one row for each output (Jordan et al.). `torch.optim.Muon`
    takes matrices alone, so it is given views of the filters. Its orthogonalisation computes in bfloat16.

    Parameters
    ----------
    parameters
        Parameters, or groups of them with settings of their own (``lr_factor``, ``weight_decay``).
    lr, weight_decay
        Of both; the decay is decoupled.
    """

    def __init__(self, parameters: Iterable[Any], *, lr: float, weight_decay: float) -> None:
        given = list(parameters)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        # Listed once: a generator would be empty when it is asked again.
        groups = [group | {"params": _listed(group["params"])} for group in groups]
        common = {"lr": lr, "weight_decay": weight_decay}
        self._parts: list[torch.optim.Optimizer] = []
        self._matrices: list[tuple[Tensor, Tensor]] = []  # parameters, and their views in Muon
        if matrices := _with(groups, matrices=True):
            for group in matrices:
                views = [nn.Parameter(_matrix(value.data, value)) for value in group["params"]]
                self._matrices += zip(group["params"], views, strict=True)
                group["params"] = views
            self._parts.append(torch.optim.Muon(matrices, adjust_lr_fn=ADAM_STEPS, **common))
        if others := _with(groups, matrices=False):
            self._parts.append(torch.optim.AdamW(others, fused=True, **common))

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of both."""
        return [group for part in self._parts for group in part.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self._parts:
            part.zero_grad()
        for parameter, _ in self._matrices:
            parameter.grad = None

    def step(self) -> None:
        """Take a step along the gradients."""
        for parameter, view in self._matrices:
            view.data = _matrix(parameter.data, parameter)  # again: it may have been given other memory
            view.grad = None if parameter.grad is None else _matrix(parameter.grad, parameter)
        for part in self._parts:
            part.step()
        for parameter, view in self._matrices:
            if view.data_ptr() != parameter.data_ptr():  # a copy: no view shows this layout as a matrix
                parameter.data.copy_(view.data.view(parameter.shape))

    def state_dict(self) -> dict[str, Any]:
        """State of both, for a checkpoint."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        for part, found in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(found)


def _with(groups: list[dict[str, Any]], *, matrices: bool) -> list[dict[str, Any]]:
    """Groups with their matrices and filters, or with all that is none; empty ones are left out."""
    chosen = [
        group | {"params": [value for value in group["params"] if (value.ndim in MATRIX_AXES) == matrices]}
        for group in groups
    ]
    return [group for group in chosen if group["params"]]


def _listed(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def _matrix(values: Tensor, parameter: Tensor) -> Tensor:
    """Values of a parameter or of its gradient as a matrix, a view of the memory where its layout allows it.

    The order of the columns is that of the parameter's memory; orthogonalisation does not depend on it.
    """
    if parameter.ndim == 4 and parameter.is_contiguous(memory_format=torch.channels_last):
        values = values.permute(0, 2, 3, 1)
    return values.flatten(1)
