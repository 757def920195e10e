"""Whether a quantiser can be put in front of a layer's weight, said before one is."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize


def check_weight(name: str, layer: nn.Module) -> None:
    """Refuse a layer without a weight or with an empty one, or whose weight a hook makes at every call.

    Raises
    ------
    ValueError
        Naming the layer and what to do.
    """
    if not isinstance(getattr(layer, "weight", None), Tensor):
        raise ValueError(
            f"layer {name!r}: a {type(layer).__name__} has no single weight; leave it out of the selection, "
            "or make it of layers with one each, such as nn.Linear"
        )
    if not layer.weight.numel():
        raise ValueError(
            f"layer {name!r}: its weight {list(layer.weight.shape)} has no values; leave it out of the "
            "selection"
        )
    if "weight" not in layer._parameters and not parametrize.is_parametrized(layer, "weight"):
        raise ValueError(
            f"layer {name!r}: a hook makes its weight at every call; make it permanent first, by "
            "torch.nn.utils.prune.remove(layer, 'weight'), remove_weight_norm or remove_spectral_norm"
        )


def check_made(quantiser: object, before: Sequence[nn.Module]) -> nn.Module:
    """Refuse what a factory gives if it is no module, or another layer's whose scale follows that weight.

    Parameters
    ----------
    quantiser
        What the factory gave.
    before
        What it gave for the layers before.

    Returns
    -------
    nn.Module
        The quantiser.

    Raises
    ------
    ValueError
        Naming what it gave.
    """
    if not isinstance(quantiser, nn.Module):
        raise ValueError(
            f"the factory gave {quantiser!r}; it must return a torch.nn.Module that maps weight to weight"
        )
    if hasattr(quantiser, "update_scale") and any(quantiser is one for one in before):
        raise ValueError(
            f"the factory gave the {type(quantiser).__name__} of another layer, whose scale follows that "
            "layer's weight; it must make one for each layer"
        )
    return quantiser


def computes_its_own(layer: nn.Module) -> bool:
    """Whether a linear or convolutional layer does more than PyTorch's, as a BitLinear does.

    A parametrised layer has a class of its own as well, but the forward of its base.
    """
    if not isinstance(layer, nn.Linear | _ConvNd):
        return False
    home = _home(layer)
    methods = [key for key in ("forward", "_conv_forward") if hasattr(home, key)]
    return any(key in vars(layer) or getattr(type(layer), key) is not getattr(home, key) for key in methods)


def _home(layer: nn.Module) -> type[nn.Module]:
    return next(kind for kind in type(layer).__mro__ if kind.__module__.startswith("torch.nn.modules."))


def warn_of_forward(name: str, layer: nn.Module) -> None:
    """Warn of a layer that computes in a way of its own: its weight would perhaps be quantised twice."""
    if computes_its_own(layer):
        warnings.warn(
            f"layer {name!r}: {type(layer).__name__} has a forward of its own; if that quantises the weight, "
            f"the weight is now quantised twice: take an nn.{_home(layer).__name__} instead, or leave the "
            "layer out",
            stacklevel=3,
        )
