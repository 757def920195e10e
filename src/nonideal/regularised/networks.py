"""Quantisers on networks: which layers, how they learn, and how they are exchanged."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nonideal.quantize import attach
from nonideal.quantize.learned import LearnedQuantiser
from nonideal.quantize.lsq import LSQ, quantise_input
from nonideal.training import Hook

POLICIES = ("inner", "all")  # which layers are quantised: all but the first and the last, or every one
# Mode of the levels, and whether the forward pass is straight through; LSQ learns its step from the task.
METHODS: dict[str, tuple[str, bool]] = {
    "fixed": ("fixed", False),
    "step": ("step", False),
    "multiplier": ("multiplier", False),
    "multiplier_ste": ("multiplier", True),
    "lsq": ("lsq", True),
}


class WeightLSQ(LSQ):
    """LSQ of weights, straight through, with the interface of the other weight quantisers."""

    def __init__(self, bits: int) -> None:
        super().__init__(bits, signed=True)


def selection(model: nn.Module, policy: str = "inner") -> Callable[[str, nn.Module], bool]:
    """Which layers a policy quantises.

    Raises
    ------
    ValueError
        If the policy is unknown.
    """
    if policy not in POLICIES:
        raise ValueError(f"layers must be one of {', '.join(POLICIES)}, got {policy!r}")
    return attach.inner(model) if policy == "inner" else attach.weighted


def quantise(
    model: nn.Module,
    method: str,
    bits: int,
    *,
    activation_bits: int | None = None,
    policy: str = "inner",
) -> nn.Module:
    """Put quantisers on the weights, and on the inputs, of a full-precision network, in place.

    Parameters
    ----------
    model
        Trained network, with inputs of its quantised layers that are not negative (after ReLU).
    method
        Key of `METHODS`.
    bits
        Bit cells of a weight.
    activation_bits
        Bits of the inputs of the quantised layers (LSQ); None for float.
    policy
        One of `POLICIES`.

    Returns
    -------
    nn.Module
        The model.

    Raises
    ------
    ValueError
        If the method or the policy is unknown.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    mode, straight = METHODS[method]

    def make(name: str, layer: nn.Module) -> nn.Module:  # numpydoc ignore=GL08
        if mode == "lsq":
            return WeightLSQ(bits).start(layer.weight)
        return LearnedQuantiser(bits, mode, straight_through=straight).initialise(layer.weight)

    select = selection(model, policy)
    names = attach.attach(model, make, select=select)
    if activation_bits is not None:
        for name in names:
            quantise_input(model.get_submodule(name), activation_bits, name=name)
    return model


def exchange(model: nn.Module, make: Callable[[str, nn.Module], nn.Module]) -> nn.Module:
    """Replace every quantiser by `make(layer's name, quantiser)`, in place; returns the model.

    The new one is in training or in evaluation mode as the old one was.
    """
    for name in attach.attached(model):
        layers = model.get_submodule(name).parametrizations.weight
        layers[0] = make(name, layers[0]).train(layers[0].training)
    return model


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Shape of the weight of every quantised layer."""
    return {name: weight.shape for name, weight in attach.original(model).items()}


def with_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Copy of a network, without quantisers, that computes with the given weights."""
    result = copy.deepcopy(model)
    for name, weight in weights.items():
        layer = result.get_submodule(name)
        attach.remove(layer, leave=False)
        with torch.no_grad():
            layer.weight.copy_(weight)
    return result


def parameter_groups(
    lr: float,
    quantiser_lr: float,
    *,
    weight_decay: float = 0.0,
    quantiser_decay: float = 0.0,
    limits: Mapping[str, float] | None = None,
) -> Callable[[nn.Module], list[dict[str, Any]]]:
    """Groups of the optimiser: r and c of the quantisers at their own rate, everything else at `lr`.

    Parameters
    ----------
    lr, quantiser_lr
        Learning rates at the start; both follow the schedule.
    weight_decay, quantiser_decay
        Of weights, and of r and c.
    limits
        Largest rate of r and c by layer, see `nonideal.regularised.penalty.Penalty.largest_rates`; layers
        that are not named have none.
    """

    def groups(model: nn.Module) -> list[dict[str, Any]]:  # numpydoc ignore=GL08
        found = attach.attached(model).items()
        quantisers = {name: q for name, q in found if isinstance(q, LearnedQuantiser)}
        known = {id(p) for q in quantisers.values() for p in (q.r, q.c)}
        rest = [p for p in model.parameters() if id(p) not in known and p.requires_grad]
        by_rate: dict[float, list[nn.Parameter]] = {}
        for name, quantiser in quantisers.items():
            rate = min(quantiser_lr, (limits or {}).get(name, math.inf))
            own = [p for p in (quantiser.r, quantiser.c) if p.requires_grad]
            if own:
                by_rate.setdefault(rate, []).extend(own)
        return [{"params": rest, "weight_decay": weight_decay}] + [
            {"params": own, "weight_decay": quantiser_decay, "lr_factor": rate / lr}
            for rate, own in by_rate.items()
        ]

    return groups


class Remap(Hook):
    """Write the network to its array every few epochs, and read back what it holds.

    Parameters
    ----------
    every
        Epochs between two remaps; the first comes after as many, the last is the evaluation's.

    Raises
    ------
    ValueError
        If `every` is below 1.
    """

    def __init__(self, every: int = 4) -> None:
        if every < 1:
            raise ValueError(f"epochs between two remaps must be at least 1, got {every!r}")
        self.every = every

    def before_epoch(self, model: nn.Module, epoch: int) -> None:
        """Remap all layers with cells that are not ideal; the optimiser's momentum is kept."""
        if epoch and epoch % self.every == 0:
            weights = attach.original(model)
            for name, quantiser in attach.attached(model).items():
                if hasattr(quantiser, "remap"):
                    quantiser.remap(weights[name])

    def __repr__(self) -> str:
        """Settings, as compared when a checkpoint is loaded."""
        return f"Remap(every={self.every})"
