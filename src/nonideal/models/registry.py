"""Every network by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import nn

from nonideal.models.airbench import airbench
from nonideal.models.cnn import cnn
from nonideal.models.fc import fc
from nonideal.models.large import resnet18, resnet50, vgg13
from nonideal.models.resnet import resnet8, resnet20, resnet32
from nonideal.models.spiking import spiking_cnn, spiking_mlp, spiking_resnet19, spiking_vgg11
from nonideal.models.vgg import vgg_narrow

MODELS: dict[str, Callable[..., nn.Module]] = {
    "airbench": airbench,
    "cnn": cnn,
    "fc": fc,
    "resnet8": resnet8,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "vgg_narrow": vgg_narrow,
    "spiking_mlp": spiking_mlp,
    "spiking_cnn": spiking_cnn,
    "spiking_vgg11": spiking_vgg11,
    "spiking_resnet19": spiking_resnet19,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "vgg13": vgg13,
}


def build(name: str, *, generator: torch.Generator, **settings) -> nn.Module:
    """Make the network of that name.

    Parameters
    ----------
    name
        Key of `MODELS`.
    generator
        For the initial weights.
    **settings
        Keyword arguments of the network's function.

    Returns
    -------
    nn.Module
        On the CPU, in training mode.

    Raises
    ------
    ValueError
        If the name or a setting is unknown; the message lists the known ones.

    Examples
    --------
    >>> from nonideal.rng import torch_stream
    >>> model = build("fc", weight_format="ternary", generator=torch_stream(0, "init"))
    >>> sum(weight.numel() for weight in model.parameters())
    25216
    """
    if name not in MODELS:
        raise ValueError(f"model {name!r} is not known; models are {', '.join(MODELS)}")
    known = [key for key in inspect.signature(MODELS[name]).parameters if key != "generator"]
    for key in settings:
        if key not in known:
            raise ValueError(f"model {name!r} has no setting {key!r}; its settings are {', '.join(known)}")
    return MODELS[name](generator=generator, **settings)
