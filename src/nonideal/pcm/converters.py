"""Converters around the crossbars of a deployed network: DACs before the rows, ADCs behind the columns.

A converter of b bits is a uniform mid-tread quantiser: codes from -(2^(b-1) - 1) to 2^(b-1) - 1, the largest
code at the range, and what lies beyond the range saturates. This is the model of aihwkit (Rasch et al. 2021,
arXiv:2104.02184): `inp_bound` and `out_bound` are the ranges there, and the resolutions `inp_res` and
`out_res` are 1 / (2^b - 2), the step as a fraction of the whole range.

Ranges are measured with the calibration batch: the largest magnitude, or a quantile of the magnitudes, as in
aihwkit's calibration of input ranges. One DAC range serves a layer, and all its rows; it is what the layer
sees in the quantised network. Every slice lies on an array with an ADC range of its own, what its columns
give on that chip right after programming, at t0 and without read noise. aihwkit keeps `out_bound` fixed
instead, as hardware without a programmable gain has to. Ranges stay as they are afterwards: drift moves the
outputs into fewer codes.

Codes of slices are weighted by significance and added digitally, so an ADC needs every slice's own product:
n slices cost n times the products of ideal converters. The two devices of a differential pair share a
column, and their difference is converted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def largest_code(bits: int) -> int:
    """Largest code of a converter of `bits` bits; the smallest is its negative."""
    return 2 ** (bits - 1) - 1


def convert(values: Tensor, span: Tensor, bits: int) -> Tensor:
    """Values as a converter passes them on.

    Parameters
    ----------
    values
        Any shape.
    span
        Range of the converter, the magnitude of its largest code, in the units of the values; broadcast.
        A range of zero lets nothing through.
    bits
        Bits of the converter.

    Returns
    -------
    Tensor
        Nearest code times step; ties go to the even code.
    """
    return convert_(values.clone(), span, bits)


def convert_(values: Tensor, span: Tensor, bits: int) -> Tensor:
    """`convert` in place: new megabytes for every slice would cost more than its product."""
    limit = largest_code(bits)
    step = span / limit
    gain = torch.where(step > 0, 1 / step, torch.zeros_like(step))
    # hardtanh_ is a clamp_ that works on all chips at once under vmap.
    return functional.hardtanh_(values.mul_(gain).round_(), -limit, limit).mul_(step)


def measured_span(values: Tensor, quantile: float) -> Tensor:
    """Range of a converter that sees these values.

    Parameters
    ----------
    values
        (converters, values).
    quantile
        Share of the magnitudes that is to lie within the range, above 0 and up to 1.

    Returns
    -------
    Tensor
        (converters,).
    """
    magnitudes = values.abs()
    if quantile == 1:
        return magnitudes.amax(dim=1)
    rank = max(1, math.ceil(quantile * magnitudes.shape[1]))
    return magnitudes.kthvalue(rank, dim=1).values


def products(layer: nn.Module, inputs: Tensor, weights: Tensor) -> Tensor:
    """Products of the same inputs with the weights of several chips.

    Parameters
    ----------
    layer
        nn.Linear or nn.Conv2d that says how; its weights and bias are not used.
    inputs
        Inputs of the layer.
    weights
        (chips, *weights).

    Returns
    -------
    Tensor
        As the layer's output, with chips * outputs channels.
    """
    # The chips share the inputs: their outputs are the channels of one product.
    if isinstance(layer, nn.Linear):
        return functional.linear(inputs, weights.flatten(0, 1))
    if layer.groups == 1:
        return layer._conv_forward(inputs, weights.flatten(0, 1), None)
    return torch.cat([layer._conv_forward(inputs, weight, None) for weight in weights], dim=-3)


def along_channels(layer: nn.Module, values: Tensor) -> Tensor:
    """View of one value a channel, (channels,), that broadcasts against the outputs of the layer."""
    return values if isinstance(layer, nn.Linear) else values.view(-1, 1, 1)


def channel_sums(layer: nn.Module, outputs: Tensor) -> Tensor:
    """Sums of `products` over everything but channels, (channels,)."""
    if isinstance(layer, nn.Linear):
        return outputs.flatten(0, -2).sum(0)
    return outputs.sum((1, 2) if outputs.ndim == 3 else (0, 2, 3))  # of one image, or of a batch


def output_spans(layer: nn.Module, inputs: Sequence[Tensor], slices: Tensor, quantile: float) -> Tensor:
    """Ranges of ADCs that see all outputs of the layer for the given inputs.

    Parameters
    ----------
    layer
        As in `products`.
    inputs
        Inputs of every call of the layer.
    slices
        (slices, chips, *weights).
    quantile
        As in `measured_span`.

    Returns
    -------
    Tensor
        (slices, chips).
    """
    axis, place = (-1, -2) if isinstance(layer, nn.Linear) else (-3, -4)
    spans = []
    for weights in slices:  # one by one: all outputs together would need much memory
        outputs = [
            products(layer, values, weights).unflatten(axis, (len(weights), -1)).movedim(place, 0).flatten(1)
            for values in inputs
        ]
        spans.append(measured_span(torch.cat(outputs, dim=1), quantile))
    return torch.stack(spans)


class ConvertedLayer(nn.Module):
    """A layer between converters; stands in the network for the layer itself.

    Parameters
    ----------
    layer
        nn.Linear or nn.Conv2d; its bias is the digital shift of the outputs. Its forward hooks go around the
        converters, and are given the layer itself, with the weights of the digital copy.
    dac_bits, dac_span
        Converter of the inputs and its range; None is ideal.
    adc_bits
        Bits of the converters of the outputs; None is ideal.

    Attributes
    ----------
    weight
        Effective weights of each array of one chip, (arrays, *weights).
    scale
        Digital factor on each output, (outputs,).
    span
        Range of the converters behind each array, (arrays,).
    """

    def __init__(
        self, layer: nn.Module, *, dac_bits: int | None, dac_span: Tensor | None, adc_bits: int | None
    ) -> None:
        super().__init__()
        self.layer, self.dac_bits, self.adc_bits = layer, dac_bits, adc_bits
        self.register_buffer("dac_span", dac_span)
        # A chip's own take their place when the network is read.
        self.register_buffer("weight", layer.weight[None])
        self.register_buffer("scale", torch.ones_like(layer.bias))
        self.register_buffer("span", torch.ones_like(layer.bias[:1]))
        self._take_hooks(layer)

    def _take_hooks(self, layer: nn.Module) -> None:
        """Quantisers of activations are hooks, and the layer itself is not called any more."""
        for key, hook in layer._forward_pre_hooks.items():
            self.register_forward_pre_hook(
                partial(_on_layer, hook, layer), with_kwargs=key in layer._forward_pre_hooks_with_kwargs
            )
        for key, hook in layer._forward_hooks.items():
            self.register_forward_hook(
                partial(_on_layer, hook, layer),
                with_kwargs=key in layer._forward_hooks_with_kwargs,
                always_call=key in layer._forward_hooks_always_called,
            )

    def forward(self, input: Tensor) -> Tensor:
        """Outputs of the layer on one chip; the argument is named as the layer's own."""
        if self.dac_bits is not None:
            input = convert(input, self.dac_span, self.dac_bits)
        outputs = None
        for weight, span in zip(self.weight.unbind(), self.span.unbind(), strict=True):
            column = products(self.layer, input, weight[None])
            if self.adc_bits is not None:
                convert_(column, span, self.adc_bits)
            outputs = column if outputs is None else outputs.add_(column)
        scale, shift = (along_channels(self.layer, values) for values in (self.scale, self.layer.bias))
        return outputs.mul_(scale).add_(shift)


def _on_layer(hook: Callable[..., Any], layer: nn.Module, _: nn.Module, *given: Any) -> Any:
    """Call a hook with the layer that it was registered on; a function of the module, so that it pickles."""
    return hook(layer, *given)


def insert(model: nn.Module, layers: dict[nn.Module, ConvertedLayer]) -> nn.Module:
    """Replace layers wherever the model holds them; returns the model, or what replaces it as a whole."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child in layers:
                parent._modules[name] = layers[child]
    return layers.get(model, model)
