"""Layers with quantised weights and activations; one family for every track.

A layer computes, on a sample x,

    y = W_q Q(x / rms(x)),

where rms is taken over the sample (root mean square normalisation: Zhang & Sennrich, arXiv:1910.07467), Q
rounds to symmetric integers whose largest is the sample's largest magnitude, and W_q are the weights on the
format's grid. There is no bias and no learned gain, so that the layer maps to integer arithmetic and to
crossbars without further terms: a factor on x or W changes nothing but the scale of y.

Subclasses of `QuantLayer` differ in one method, `operate`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nonideal import initial
from nonideal.quantize.clipping import EVERY_STEP, choose_scale, default_clipping
from nonideal.quantize.formats import Format, at_least_single, divisor, fake_quantise, finite, get_format

NORM_EPSILON = 1e-8  # added to the mean square of a sample; inputs are of order one
ACTIVATION_BITS = range(2, 17)
UNIT_MASK = "unit_mask"  # buffer of a layer with pruned neurons: 1 for those that are kept, [out]


class _NormaliseQuantise(torch.autograd.Function):
    """x / rms(x), rounded to `bits` symmetric integers per sample; straight-through for the rounding."""

    @staticmethod
    def forward(ctx, x: Tensor, bits: int | None) -> Tensor:
        axes = tuple(range(1, x.ndim))
        mean_square = torch.linalg.vector_norm(x, dim=axes, keepdim=True).square_()
        mean_square.div_(math.prod(x.shape[1:]))
        inverse = mean_square.add_(NORM_EPSILON).rsqrt_()  # [n, 1, ...]
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(x, inverse)
        if bits is None:
            return x * inverse
        largest = 2 ** (bits - 1) - 1
        step = x.abs().amax(dim=axes, keepdim=True).clamp_(min=torch.finfo(x.dtype).tiny).div_(largest)
        return (x / step).round_().mul_(step.mul_(inverse))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None
        x, inverse = ctx.saved_tensors
        y = x * inverse
        along = (gradient * y).mean(dim=tuple(range(1, x.ndim)), keepdim=True)
        return (gradient - y.mul_(along)).mul_(inverse), None


def normalise_quantise(x: Tensor, bits: int | None) -> Tensor:
    """Divide each sample by its root mean square and round it to symmetric integers.

    Parameters
    ----------
    x
        Activations [n, ...].
    bits
        Width of the integers, sign included; the largest magnitude of a sample becomes 2^(bits - 1) - 1.
        None leaves the values unrounded.

    Returns
    -------
    Tensor
        Normalised activations, shape and type of `x`. The gradient is that of the normalisation alone.
    """
    return _NormaliseQuantise.apply(at_least_single(x), bits).to(x.dtype)


def check_activation_bits(bits: int | None) -> None:
    """Refuse a width of activations that no layer has.

    Raises
    ------
    ValueError
        If it is neither None nor 2 .. 16.
    """
    if bits is not None and bits not in ACTIVATION_BITS:
        raise ValueError(f"activation_bits must be 2 .. 16, or None for float, got {bits!r}")


class QuantLayer(nn.Module):
    """What all quantised layers share: the weights, their grid and scale, the treatment of the input.

    Parameters
    ----------
    shape
        Shape of the weights [out, in, ...].
    weight_format
        Name in `nonideal.quantize.formats.FORMATS`, or ``float`` for unquantised weights.
    activation_bits
        Bits of the input activations, 2 .. 16; None for float.
    clipping
        Choice of the scale, see `nonideal.quantize.clipping`; None takes the format's default.
    quantscale
        Parameter of the clipping ``proportional``; None takes the format's default.
    per_channel
        One scale per output channel instead of one per tensor.
    generator
        For the initial weights: uniform within +-1/sqrt(fan-in).

    Attributes
    ----------
    weight
        Float weights [out, in, ...], in training.
    scale
        Weight units per integer unit, [] or [out, 1, ...]; a buffer, so it is saved with the weights. Absent
        for ``float``.
    frozen
        True stops `forward` from updating the scale during training. `nonideal.training.train` sets it
        when an epoch begins, by `Settings.freeze_scale`.

    Raises
    ------
    ValueError
        If a setting is unknown or out of range, or the shape has no room for a weight.
    """

    scale: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        weight_format: str = "float",
        activation_bits: int | None = 8,
        clipping: str | None = None,
        quantscale: float | None = None,
        per_channel: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if not math.prod(shape):
            raise ValueError(f"a layer needs one input and one output or more, got weights {list(shape)}")
        check_activation_bits(activation_bits)
        self.weight = nn.Parameter(torch.empty(shape))
        initial.uniform(self.weight, fan_in=math.prod(shape[1:]), generator=generator)
        self.activation_bits = activation_bits
        self.frozen = False
        self.set_format(weight_format, clipping=clipping, quantscale=quantscale, per_channel=per_channel)

    def set_format(
        self,
        weight_format: str,
        *,
        clipping: str | None = None,
        quantscale: float | None = None,
        per_channel: bool = False,
    ) -> None:
        """Put the weights on another grid and choose its scale; parameters and errors as for the class.

        A refusal leaves the layer as it was.
        """
        grid: Format | None = None
        if weight_format == "float":
            if clipping is not None or quantscale is not None:
                raise ValueError("weight_format 'float' has no scale; leave clipping and quantscale unset")
            self._buffers.pop("scale", None)
        else:
            grid = get_format(weight_format)
            clipping = default_clipping(grid) if clipping is None else clipping
            scale = choose_scale(self.weight, grid, clipping, per_channel=per_channel, quantscale=quantscale)
            self.register_buffer("scale", scale)
        self.weight_format, self.format, self.clipping = weight_format, grid, clipping
        self.quantscale, self.per_channel = quantscale, per_channel

    def update_scale(self) -> None:
        """Choose the scale anew for the present weights, unless the layer is float or frozen."""
        if self.format is not None and not self.frozen:
            options = {"per_channel": self.per_channel, "quantscale": self.quantscale}
            self.scale.copy_(choose_scale(self.weight, self.format, self.clipping, **options))

    def effective_weight(self) -> Tensor:
        """Weights the layer computes with, [out, in, ...]; gradients reach `weight` straight through."""
        if self.format is None:
            return self.weight
        return fake_quantise(self.weight, self.scale, self.format)

    def integer_weight(self) -> Tensor:
        """Levels of the weights in integer units, int16 [out, in, ...]; effective weight = scale * level.

        Raises
        ------
        ValueError
            If the layer is float, or a weight is not finite.
        """
        if self.format is None:
            raise ValueError("a layer with weight_format 'float' has no integer weights; quantise it first")
        return self.format.nearest(finite(self.weight) / divisor(self.scale)).to(torch.int16)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, quantise and operate; x [n, in, ...]."""
        if self.training and self.clipping in EVERY_STEP:
            self.update_scale()
        return self.operate(normalise_quantise(x, self.activation_bits), self.effective_weight())

    def operate(self, x: Tensor, weight: Tensor) -> Tensor:
        """Linear operation of the layer on prepared input and weights."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Settings of the layer, as printed and as compared when a checkpoint is loaded."""
        parts = [str(list(self.weight.shape)), self.weight_format, f"activation_bits={self.activation_bits}"]
        if self.format is not None:
            parts += [f"clipping={self.clipping}", f"per_channel={self.per_channel}"]
            parts += [] if self.quantscale is None else [f"quantscale={self.quantscale}"]
        return ", ".join(parts)


class QuantLinear(QuantLayer):
    """Fully connected layer without bias: [n, in] -> [n, out].

    Parameters
    ----------
    inputs, outputs
        Numbers of features.
    **settings
        As `QuantLayer`.
    """

    def __init__(self, inputs: int, outputs: int, **settings) -> None:
        super().__init__((outputs, inputs), **settings)

    def operate(self, x: Tensor, weight: Tensor) -> Tensor:
        """X [n, in] times weight [out, in] transposed."""
        return functional.linear(x, weight)


def quant_layers(model: nn.Module) -> list[QuantLayer]:
    """Quantised layers of a network, in the order they were added."""
    return [module for module in model.modules() if isinstance(module, QuantLayer)]
