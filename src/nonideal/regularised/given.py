"""What `nonideal.harden` is given: settings and networks it refuses, and maps of cells, drawn or read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nonideal import faults as stuck
from nonideal import variability as variable
from nonideal.quantize import attach
from nonideal.quantize.learned import MODES
from nonideal.quantize.losses import ALPHAS
from nonideal.quantize.lsq import LSQ
from nonideal.regularised.networks import shapes

COUNTS = {"epochs": 1, "remap_epochs": 1, "seed": 0}  # settings that are whole numbers, and the least of each
CHOICES = {"quantiser": MODES, "alpha": ALPHAS, "mode": stuck.MODES}


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings of `nonideal.harden` that are not allowed, by their names.

    Raises
    ------
    ValueError
        Naming the setting, its value and what is allowed.
    """
    if settings["faults"] is not None and settings["variability"] is not None:
        raise ValueError("give faults or variability, not both: a cell that is stuck has no factor")
    for name, allowed in CHOICES.items():
        if settings[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {settings[name]!r}")
    for name, least in COUNTS.items():
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    for name in ("faults", "variability"):
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, Real | str | os.PathLike | Mapping | None):
            raise ValueError(f"{name} must be a number, a map's file or maps by layer, got {value!r}")
    if settings["activation_bits"] is not None:
        try:
            LSQ(settings["activation_bits"])
        except ValueError as error:
            raise ValueError(f"activation_bits: {error}") from None


def check_weights(model: nn.Module) -> None:
    """Refuse a network whose weights are not float32, have no values, or are not finite.

    Raises
    ------
    ValueError
        Naming the weight.
    """
    if wrong := sorted({str(value.dtype) for value in model.parameters()} - {"torch.float32"}):
        raise ValueError(f"the network has weights of {', '.join(wrong)}; call model.float() first")
    for name, value in model.named_parameters():
        if value.is_meta:
            raise ValueError(f"the network's {name!r} has no values (device meta); load its weights first")
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"the network's {name!r} holds values that are not finite; did its training diverge?"
            )


def check_shared(model: nn.Module) -> None:
    """Refuse quantised weights that another layer has too: its cells differ, a state_dict would hold one.

    Raises
    ------
    ValueError
        Naming the layers.
    """
    weights = {id(weight) for weight in attach.original(model).values()}
    owners: dict[int, str] = {}
    for name, module in model.named_modules():  # a layer with two names is one layer
        layer = f".{name}".partition(".parametrizations.")[0][1:] or type(model).__name__
        for value in module._parameters.values():
            if id(value) in weights and owners.setdefault(id(value), layer) != layer:
                raise ValueError(
                    f"layers {owners[id(value)]!r} and {layer!r} share one weight, but each has cells of its "
                    "own on a chip: give the second a copy, "
                    "layer.weight = torch.nn.Parameter(layer.weight.detach().clone())"
                )


def check_inputs(model: nn.Module) -> None:
    """Refuse quantised layers whose inputs are quantised already, or cannot be.

    Raises
    ------
    ValueError
        Naming the layers.
    """
    names = list(attach.attached(model))
    if taken := [name for name in names if hasattr(model.get_submodule(name), "input_quantiser")]:
        raise ValueError(f"the inputs of {_listed(taken)} are quantised already")
    attention = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    projections = {id(module.out_proj) for module in attention}
    if inside := [name for name in names if id(model.get_submodule(name)) in projections]:
        raise ValueError(
            f"the inputs of {_listed(inside)} cannot be quantised: attention takes the weight and does not "
            "call the layer; leave activation_bits out"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def fault_maps(
    model: nn.Module, given: object, bits: int, p_stuck1: float, seed: int
) -> Mapping[str, stuck.FaultMap]:
    """Stuck cells of every quantised layer: given by layer, read from a file, or drawn at a rate.

    Raises
    ------
    ValueError
        If a map does not fit, or the rate is no probability.
    """
    if isinstance(given, Mapping):
        return _fitting(given, model, stuck.FaultMap, lambda shape: shape)
    if isinstance(given, str | os.PathLike):
        return stuck.read_map(given, shapes(model), bits)
    return {
        name: stuck.draw(shape, bits, given, p_stuck1=p_stuck1, seed=seed, layer=name)
        for name, shape in shapes(model).items()
    }


def factors(model: nn.Module, given: object, bits: int, seed: int) -> Mapping[str, Tensor]:
    """Factors of the cells of every quantised layer; as `fault_maps`, drawn with a standard deviation.

    Raises
    ------
    ValueError
        If a map does not fit, or the standard deviation is negative.
    """
    if isinstance(given, Mapping):
        return _fitting(given, model, Tensor, lambda shape: (*shape, bits))
    if isinstance(given, str | os.PathLike):
        return variable.read_map(given, shapes(model), bits)
    return {
        name: variable.draw(shape, bits, given, seed=seed, layer=name)
        for name, shape in shapes(model).items()
    }


def _fitting(
    given: Mapping[str, Any], model: nn.Module, kind: type, expected: Callable[[torch.Size], Sequence[int]]
) -> Mapping[str, Any]:
    """Refuse maps that leave a quantised layer out, name another, or have another shape than `expected`."""
    layers = shapes(model)
    if missing := sorted(set(layers) - set(given)):
        raise ValueError(f"no map is given for the quantised layers {', '.join(missing)}")
    if unknown := sorted(set(given) - set(layers)):
        raise ValueError(
            f"maps are given for {', '.join(unknown)}; the quantised layers are {', '.join(layers)}"
        )
    for name, shape in layers.items():
        if not isinstance(given[name], kind):
            raise ValueError(f"the map of layer {name!r} must be a {kind.__name__}, got {given[name]!r}")
        values = given[name].stuck0 if isinstance(given[name], stuck.FaultMap) else given[name]
        found, fitting = tuple(values.shape), tuple(expected(shape))
        if found != fitting:
            raise ValueError(f"the map of layer {name!r} has the shape {found}, not {fitting}")
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"the map of layer {name!r} holds values that are not finite")
    return given
