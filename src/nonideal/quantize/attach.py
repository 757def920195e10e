"""Quantisers on the weights of any layer, as PyTorch parametrisations.

`attach` puts a quantiser in front of a layer's weight: from then on `layer.weight` is what the quantiser
makes of the float weight, which stays trainable as `layer.parametrizations.weight.original`. Dense,
convolutional and spiking layers alike need no change.

A checkpoint holds what the quantiser learned or chose (scales, levels, steps), but neither its format, width
and other settings nor `frozen`: load it into the same network with the same quantisers attached, and set
`frozen` again. The training loop of this project compares the printed settings when it resumes.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from nonideal.quantize.attachable import check_made, check_weight, warn_of_forward
from nonideal.quantize.clipping import EVERY_STEP, choose_scale, default_clipping
from nonideal.quantize.formats import divisor, fake_quantise, finite, get_format

Select = Callable[[str, nn.Module], bool]
Factory = Callable[[str, nn.Module], nn.Module]
NORMALISATIONS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
NOT_WEIGHTED = (*NORMALISATIONS, nn.Embedding, nn.EmbeddingBag)


class FormatQuantiser(nn.Module):
    """A weight format with its scale, in front of a weight.

    Parameters
    ----------
    weight
        Float weight [out, ...] that the first scale is chosen for.
    weight_format
        Name in `nonideal.quantize.formats.FORMATS`.
    clipping
        Choice of the scale, see `nonideal.quantize.clipping`; None takes the format's default.
    quantscale
        Parameter of the clipping ``proportional``.
    per_channel
        One scale per slice of the first axis instead of one per tensor: the output channel, of transposed
        convolutions the input channel.

    Attributes
    ----------
    scale
        Weight units per integer unit, a buffer.
    frozen
        True stops the scale from following the weight. `nonideal.training.train` sets it when an epoch
        begins, by `Settings.freeze_scale`.

    Raises
    ------
    ValueError
        If a setting is unknown or does not suit the format.
    """

    scale: Tensor

    def __init__(
        self,
        weight: Tensor,
        weight_format: str,
        *,
        clipping: str | None = None,
        quantscale: float | None = None,
        per_channel: bool = False,
    ) -> None:
        super().__init__()
        self.format = get_format(weight_format)
        self.clipping = default_clipping(self.format) if clipping is None else clipping
        self.quantscale, self.per_channel = quantscale, per_channel
        self.frozen = False
        self.register_buffer("scale", self._choose(weight))

    def _choose(self, weight: Tensor) -> Tensor:
        return choose_scale(
            weight, self.format, self.clipping, per_channel=self.per_channel, quantscale=self.quantscale
        )

    def update_scale(self, weight: Tensor) -> None:
        """Choose the scale anew for a weight, unless it is frozen."""
        if not self.frozen:
            self.scale.copy_(self._choose(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """Weight on the grid; the gradient passes straight through."""
        if self.training and self.clipping in EVERY_STEP:
            self.update_scale(weight)
        return fake_quantise(weight, self.scale, self.format)

    def integers(self, weight: Tensor) -> Tensor:
        """Levels of a float weight in integer units, int32, shape of `weight`; a ValueError if not finite."""
        return self.format.nearest(finite(weight) / divisor(self.scale)).to(torch.int32)

    def extra_repr(self) -> str:
        """Settings, as printed and as compared when a checkpoint is loaded."""
        parts = [self.format.name, f"clipping={self.clipping}", f"per_channel={self.per_channel}"]
        return ", ".join(parts + ([] if self.quantscale is None else [f"quantscale={self.quantscale}"]))


def weighted(name: str, layer: nn.Module) -> bool:
    """Whether a layer multiplies by one weight matrix or filter: what `attach` selects by default.

    Tables that are looked up (embeddings) and layers with several matrices (LSTM, attention) are none.

    Raises
    ------
    ValueError
        If the layer is lazy and has seen no batch yet, so that its weight has no shape.
    """
    weight = getattr(layer, "weight", None)
    if is_lazy(weight):
        raise ValueError(
            f"layer {name!r}: the weight of a {type(layer).__name__} has no shape before its first batch; "
            "call the model once first"
        )
    return isinstance(weight, Tensor) and weight.ndim >= 2 and not isinstance(layer, NOT_WEIGHTED)


def inner(model: nn.Module) -> Select:
    """Selection of all weighted layers of a model but the first and the last that it runs.

    The order is that of a trace by torch.fx, or, where that does not show every layer, of their definition.

    Raises
    ------
    ValueError
        If nothing lies between the first and the last.
    """
    names = [name for name, layer in model.named_modules() if weighted(name, layer)]
    if len(names) < 3:
        raise ValueError(
            f"{type(model).__name__} has {len(names)} weighted layer{'s' * (len(names) != 1)}, and nothing "
            "between the first and the last, which stay in full precision; choose layers 'all' (--layers all)"
        )
    run = _in_order(model)
    names = [name for name in run if name in set(names)] if set(names) <= set(run) else names
    chosen = set(names[1:-1])
    return lambda name, layer: name in chosen


def _in_order(model: nn.Module) -> list[str]:
    """Names of the layers that a trace shows, in the order of their first call.

    A copy is traced: what a forward pass keeps in the model would be symbols of the trace.
    """
    try:
        graph = fx.Tracer().trace(copy.deepcopy(model))
    except Exception:  # tracing runs the model's own code, which may fail in any way on symbols
        return []
    return list(dict.fromkeys(node.target for node in graph.nodes if node.op == "call_module"))


def attach(model: nn.Module, factory: Factory, *, select: Select = weighted) -> list[str]:
    """Put a quantiser in front of the weight of every selected layer, in place.

    Parameters
    ----------
    model
        Network, or a single layer.
    factory
        Called with a layer's name and the layer; returns the module that maps weight to weight.
    select
        Called with a layer's name and the layer; which layers are meant.

    Returns
    -------
    list of str
        Names of the layers, in the model's order; a single layer has the empty name.

    Raises
    ------
    ValueError
        If no layer is selected, one has no single weight, its weight has a quantiser or another
        parametrisation already, or the factory gives no module, or one with a scale for two layers.

    Warns
    -----
    UserWarning
        If a layer's class computes in a way of its own, which may quantise the weight already.
    """
    chosen = [(name, layer) for name, layer in list(model.named_modules()) if select(name, layer)]
    if not chosen:
        raise ValueError(f"no layer of {type(model).__name__} is selected: there is nothing to quantise")
    for name, layer in chosen:
        if quantised(name, layer):
            raise ValueError(f"layer {name!r} has a quantiser already; detach it first")
        if parametrize.is_parametrized(layer, "weight"):
            makers = ", ".join(type(step).__name__ for step in layer.parametrizations.weight)
            raise ValueError(
                f"layer {name!r}: a parametrisation makes its weight ({makers}); make it permanent first, by "
                "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')"
            )
        check_weight(name, layer)
        warn_of_forward(name, layer)
    # All are made before one is attached: a refusal leaves the model as it was.
    made = []
    for name, layer in chosen:
        try:
            made.append(check_made(factory(name, layer), made))
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from error
    for (_, layer), quantiser in zip(chosen, made, strict=True):
        parametrize.register_parametrization(layer, "weight", quantiser)
        layer.parametrizations.weight.quantises = True  # tells it from a parametrisation of the user's
    return [name for name, _ in chosen]


def quantised(name: str, layer: nn.Module) -> bool:
    """Whether `attach` put a quantiser on a layer, as a selection; other parametrisations are none."""
    return parametrize.is_parametrized(layer, "weight") and getattr(
        layer.parametrizations.weight, "quantises", False
    )


def attached(model: nn.Module) -> dict[str, nn.Module]:
    """Quantisers of a model by the name of their layer, in the model's order."""
    return {name: layer.parametrizations.weight[0] for name, layer in _layers(model)}


def original(model: nn.Module) -> dict[str, nn.Parameter]:
    """Float weights behind the quantisers, by the name of their layer."""
    return {name: layer.parametrizations.weight.original for name, layer in _layers(model)}


def detach(model: nn.Module, *, select: Select = lambda name, layer: True) -> nn.Module:
    """Remove parametrisations of weights in place; the weights keep their values. Returns the model.

    A weight that several layers shared becomes a weight of each: their quantisers differ.

    Parameters
    ----------
    model
        Network with attached quantisers, or without any.
    select
        Called with the name of a layer with a parametrised weight and the layer; which layers are meant.
        `quantised` leaves other parametrisations than quantisers where they are.
    """
    uses = Counter(id(values) for _, values in model.named_parameters(remove_duplicate=False))
    made = [(name, m) for name, m in model.named_modules() if parametrize.is_parametrized(m, "weight")]
    layers = [layer for name, layer in made if select(name, layer)]
    # Weight normalisation makes a weight of two tensors, and writes to neither of them here.
    single = [layer for layer in layers if hasattr(layer.parametrizations.weight, "original")]
    shared = [layer for layer in single if uses[id(layer.parametrizations.weight.original)] > 1]
    values = [layer.weight.detach().clone() for layer in shared]  # before one of them is written to
    for layer in layers:
        if layer not in shared:
            remove(layer, leave=True)
    for layer, value in zip(shared, values, strict=True):
        wanted = layer.parametrizations.weight.original.requires_grad
        remove(layer, leave=False)
        layer.weight = nn.Parameter(value, requires_grad=wanted)
    return model


def remove(layer: nn.Module, *, leave: bool) -> None:
    """Remove the quantiser of one layer in place.

    Parameters
    ----------
    layer
        Layer with a quantiser.
    leave
        Keep the quantised weight; False keeps the float one.
    """
    # PyTorch gives a layer with a parametrisation a class of its own, which copies of the layer share, and
    # takes the weight off that class: the layer that this one was copied from would lose its weight.
    shared = type(layer)
    layer.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=leave)


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, layer) for name, layer in model.named_modules() if quantised(name, layer))


def update_scales(model: nn.Module, *, frozen: bool | None = None) -> None:
    """Let every attached quantiser that has a scale choose it for its present float weight.

    Parameters
    ----------
    model
        Network with attached quantisers, or without any.
    frozen
        Set the quantisers' `frozen` to this instead of choosing scales.
    """
    for _, layer in _layers(model):
        quantiser = layer.parametrizations.weight[0]
        if not hasattr(quantiser, "update_scale"):
            continue
        if frozen is None:
            quantiser.update_scale(layer.parametrizations.weight.original)
        else:
            quantiser.frozen = frozen
