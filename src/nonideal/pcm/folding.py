"""Batch normalisation taken into the layer before it, for any network that torch.fx can trace.

Batch normalisation stays digital: it scales and shifts a layer's output after the crossbar. In evaluation
mode that scale and shift can be applied to the effective weights instead, once, which leaves the product and
saves a pass over the activations.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from nonideal.quantize import attach
from nonideal.quantize.attachable import computes_its_own

LAYERS = (nn.Linear, nn.Conv2d)
"""Layers whose weights lie on crossbars."""


@dataclass(frozen=True)
class Affine:
    """Digital part of a layer: its product times `scale`, plus `shift`; both (outputs,)."""

    scale: Tensor
    shift: Tensor


def plain(model: nn.Module) -> nn.Module:
    """Copy of a model in evaluation mode whose weights are plain tensors: parametrisations are applied.

    Raises
    ------
    ValueError
        If a hook makes a layer's weight anew at every call, or a weight is not finite, or of half precision.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, LAYERS):
            attach.check_weight(name, layer)
    model = attach.detach(copy.deepcopy(model).eval())
    for name, layer in model.named_modules():
        if isinstance(layer, LAYERS):
            _check_values(name, layer.weight)
    return model.requires_grad_(False)


def _check_values(name: str, weight: Tensor) -> None:
    if weight.dtype in (torch.float16, torch.bfloat16):
        raise ValueError(
            f"layer {name!r} has weights of {weight.dtype}, too coarse for chips; call model.float()"
        )
    if not bool(torch.isfinite(weight).all()):
        raise ValueError(f"layer {name!r} has weights that are not finite; did the training diverge?")


def digital_layers(model: nn.Module) -> dict[str, str]:
    """Kind of every layer with a matrix of weights that is not deployed and stays digital, by name."""
    return {
        name: type(module).__name__
        for name, module in model.named_modules()
        if not isinstance(module, (*LAYERS, *attach.NORMALISATIONS))
        and any(values.ndim > 1 for values in module.parameters(recurse=False))
    }


def crossbar_layers(model: nn.Module, digital: Collection[str] = ()) -> dict[str, nn.Module]:
    """Layers to be deployed, by name, in the order they were added; those named in `digital` are left out.

    Raises
    ------
    ValueError
        If there is none, `digital` names a layer that there is not, or a layer computes something of its own.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LAYERS)}
    if unknown := [name for name in digital if name not in layers]:
        raise ValueError(
            f"no nn.Linear or nn.Conv2d layer is called {', '.join(map(repr, unknown))}, to stay digital; "
            f"there are {', '.join(layers) or 'none'}"
        )
    layers = {name: module for name, module in layers.items() if name not in set(digital)}
    if not layers:
        raise ValueError(
            f"{type(model).__name__} has no nn.Linear or nn.Conv2d layer to deploy; a network of layers of "
            "nonideal.layers (fc, cnn) becomes one by nonideal.models.ordinary(model)"
        )
    for name, layer in layers.items():
        _check_product(name, layer)
    return layers


def _check_product(name: str, layer: nn.Module) -> None:
    """Refuse a subclass that does more than the product: chips and folded scales know its weight alone."""
    if computes_its_own(layer):
        kind = "Linear" if isinstance(layer, nn.Linear) else "Conv2d"
        raise ValueError(
            f"layer {name!r} ({type(layer).__name__}) has a forward of its own, and crossbars know the plain "
            f"product of nn.{kind} alone: detach or fuse its quantiser, so that it becomes an nn.{kind} with "
            "the weight that it multiplies by, or name it in digital"
        )


def fold(model: nn.Module, *, flat: Collection[str] = (), digital: Collection[str] = ()) -> dict[str, Affine]:
    """Replace every batch normalisation that follows a layer directly by an identity, in place.

    Parameters
    ----------
    model
        Plain copy, in evaluation mode; layers keep their weights, and lose their bias to the affine part.
    flat
        Names of nn.Linear layers whose output is known to be [n, outputs]. Others keep the normalisation that
        follows: that of [n, length, outputs] is along the length.
    digital
        Names of layers that are not deployed.

    Returns
    -------
    dict
        Digital part of every layer of `crossbar_layers`. A model that cannot be traced keeps its batch
        normalisations.
    """
    layers = crossbar_layers(model, digital)
    affine = {}
    for name, layer in layers.items():
        zero = layer.weight.new_zeros(layer.weight.shape[0])
        affine[name] = Affine(torch.ones_like(zero), zero if layer.bias is None else layer.bias.detach())
    foldable = {name: layer for name, layer in layers.items() if isinstance(layer, nn.Conv2d) or name in flat}
    for name, place in _followers(model, foldable).items():
        norm = model.get_submodule(place)
        scale = (norm.running_var + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = (affine[name].shift - norm.running_mean) * scale
        affine[name] = Affine(scale, shift if norm.bias is None else shift + norm.bias)
        parent, _, child = place.rpartition(".")
        setattr(model.get_submodule(parent), child, nn.Identity())
    for name, layer in layers.items():
        layer.bias = nn.Parameter(affine[name].shift.clone(), requires_grad=False)
    return affine


def used_outside(model: nn.Module, layers: Collection[str]) -> set[str]:
    """Which of these layers have a weight or bias that the model uses without calling the layer.

    Of a model that cannot be traced nothing is known.
    """
    graph = _graph(model)
    used = {node.target for node in graph.nodes if node.op == "get_attr"} if graph else set()
    return {name for name in layers if used & {f"{name}.weight", f"{name}.bias"}}


def _graph(model: nn.Module) -> fx.Graph | None:
    try:
        return fx.Tracer().trace(model)
    except Exception:  # tracing runs the model's own code, which may fail in any way on symbols
        return None


def _followers(model: nn.Module, layers: dict[str, nn.Module]) -> dict[str, str]:
    """Name of the batch normalisation that alone uses a layer's output, by the layer's name."""
    graph = _graph(model)
    if graph is None:
        return {}
    calls: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls[node.target] = calls.get(node.target, 0) + 1
    # In the weight the normalisation would reach whoever else uses it, and hooks would see other outputs.
    own = set(layers) - used_outside(model, layers)
    found = {}
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(
            model.get_submodule(node.target), nn.modules.batchnorm._BatchNorm
        ):
            continue
        before = node.args[0] if node.args else node.kwargs.get("input")
        alone = isinstance(before, fx.Node) and before.op == "call_module" and len(before.users) == 1
        once = alone and calls[node.target] == 1 and calls.get(before.target) == 1
        if not once or before.target not in own:
            continue
        layer, norm = model.get_submodule(before.target), model.get_submodule(node.target)
        hooked = layer._forward_hooks or norm._forward_hooks or norm._forward_pre_hooks
        if norm.track_running_stats and not hooked:
            found[before.target] = node.target
    return found
