"""Integer inference: the one definition that Python, the C engine and the emulated firmware share.

A network is a list of integer matrices. With x the int8 input of a layer and W its levels,

    y = W x                                            accumulators, 32 bits,
    m = max(y), s = bit length of (m >> 7)             (s = 0 where m is below 128),
    x' = 0 where y < 0, else min(127, (y + ((1 << s) >> 1)) >> s)    input of the next layer (ShiftNorm).

The class is the index of the last layer's largest accumulator; the first maximum wins. There is no bias and
no scale: a factor on a layer changes neither the sign nor the order of anything, so one scale per tensor
drops out. ShiftNorm stands in for the root mean square normalisation of the training, as in BitNetMCU
(https://github.com/cpldcpu/BitNetMCU), here with the rounding spelt out.

Convolutions may come before the matrices (`nonideal.mcu.convolutions`); their features take the place of
the first accumulators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from nonideal.layers import UNIT_MASK, QuantLinear
from nonideal.mcu.convolutions import FEATURES, PIXELS, TAPS, Convolutions
from nonideal.models.cnn import Cnn
from nonideal.models.fc import FullyConnected
from nonideal.quantize.formats import FORMATS, get_format

INPUT_BITS = 8
INPUT_LARGEST = 2 ** (INPUT_BITS - 1) - 1  # largest magnitude of an image and of an activation
INPUT_LOWEST = -(2 ** (INPUT_BITS - 1))  # no image of ours has it; the engine accepts it
ACCUMULATOR_LARGEST = 2**31 - 1  # the engine accumulates in int32
# How a network of another class comes to the engine.
OTHERS = (
    "copy the weights of fully connected layers without biases into an fc of these sizes "
    "(nonideal.models.build('fc', weight_format='float', ...)) and put it on a format "
    "(nonideal.models.post_training_quantise), or give their integers, as IntegerNetwork((IntegerLayer(...), "
    "...)) of nonideal.mcu.integer"
)


@dataclass(frozen=True)
class IntegerLayer:
    """Fully connected layer in integers.

    Parameters
    ----------
    weight_format
        Name in `nonideal.quantize.formats.FORMATS`.
    weights
        Levels, int16 [outputs, inputs].
    scale
        Weight units per integer unit, for information; inference does not use it.

    Raises
    ------
    ValueError
        If a weight is no level of the format, or the matrix is empty or not two-dimensional.
    """

    weight_format: str
    weights: np.ndarray
    scale: float = 1.0

    def __post_init__(self) -> None:
        levels = get_format(self.weight_format).levels
        if self.weights.ndim != 2 or not self.weights.size or self.weights.dtype != np.int16:
            raise ValueError(
                f"integer weights must be int16 [outputs, inputs], "
                f"got {self.weights.dtype} {list(self.weights.shape)}"
            )
        strange = ~np.isin(self.weights, levels)
        if strange.any():
            raise ValueError(
                f"weight {self.weights[strange][0]} is no level of format {self.weight_format!r}: {levels}"
            )

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.weights.shape[0]

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.weights.shape[1]

    @property
    def codes(self) -> np.ndarray:
        """Index of each weight in the format's list of levels, uint8 [outputs, inputs]."""
        return np.searchsorted(get_format(self.weight_format).levels, self.weights).astype(np.uint8)

    def bound(self, *, lowest: int, highest: int) -> int:
        """Largest magnitude that an accumulator can reach with inputs in lowest .. highest."""
        weights = self.weights.astype(np.int64)
        positive, negative = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
        top = positive * highest + negative * lowest
        bottom = positive * lowest + negative * highest
        return int(max(top.max(), -bottom.min()))

    def accumulate(self, x: np.ndarray) -> np.ndarray:
        """Accumulators int32 [n, outputs] of int8 inputs [n, inputs].

        Raises
        ------
        ValueError
            If the inputs are not int8 [n, inputs].
        """
        if x.dtype != np.int8 or x.ndim != 2 or x.shape[1] != self.inputs:
            raise ValueError(f"inputs must be int8 [n, {self.inputs}], got {x.dtype} {list(x.shape)}")
        return _product(x, self.weights)


def _product(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # In double precision the product is exact: |y| <= 128 * 128 * inputs stays far below 2^53. It is 50 times
    # faster than NumPy's integer product, which no library accelerates.
    return (x.astype(np.float64) @ weights.T.astype(np.float64)).astype(np.int32)


def shift_norm(y: np.ndarray) -> np.ndarray:
    """Activations of the next layer, int8 0 .. 127, from accumulators int32 [n, outputs].

    Each sample is divided by the power of two that brings its largest accumulator to 127 or just below, with
    rounding half up; negative accumulators become zero.
    """
    wide = y.astype(np.int64)
    largest = np.maximum(wide.max(axis=1, keepdims=True), 0)
    # Bit length of a non-negative integer below 2^53: the exponent of its double.
    shift = np.frexp((largest >> 7).astype(np.float64))[1].astype(np.int64)
    rounded = (wide + ((1 << shift) >> 1)) >> shift
    return np.where(wide < 0, 0, np.minimum(INPUT_LARGEST, rounded)).astype(np.int8)


@dataclass(frozen=True)
class IntegerNetwork:
    """Fully connected network in integers, or a CNN: convolutions and a fully connected network.

    Parameters
    ----------
    layers
        Fully connected ones, from the input to the logits.
    convolutions
        Before them, in a CNN.

    Raises
    ------
    ValueError
        If there is no layer, or two neighbours do not fit together.
    """

    layers: tuple[IntegerLayer, ...]
    convolutions: Convolutions | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("a network needs at least one layer")
        if self.convolutions is not None and self.layers[0].inputs != FEATURES * self.convolutions.channels:
            raise ValueError(
                f"layer 1 has {self.layers[0].inputs} inputs, {self.convolutions.channels} channels of "
                f"convolutions have {FEATURES * self.convolutions.channels} features"
            )
        for index in range(1, len(self.layers)):
            before, after = self.layers[index - 1].outputs, self.layers[index].inputs
            if before != after:
                raise ValueError(f"layer {index + 1} has {after} inputs, layer {index} has {before} outputs")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Pixels or inputs, hidden widths, classes; features of convolutions are not among them."""
        inputs = self.layers[0].inputs if self.convolutions is None else PIXELS
        return (inputs, *(layer.outputs for layer in self.layers))

    def accumulators(self, images: np.ndarray) -> list[np.ndarray]:
        """Accumulators of every fully connected layer, int32 [n, outputs] each; the last are the logits.

        Parameters
        ----------
        images
            int8 [n, inputs], see `quantise_images`.
        """
        x = images if self.convolutions is None else shift_norm(self.features(images))
        results = []
        for layer in self.layers:
            results.append(layer.accumulate(x))
            x = shift_norm(results[-1])
        return results

    def features(self, images: np.ndarray) -> np.ndarray:
        """Features int32 [n, 4 * channels] of the convolutions, before ShiftNorm.

        Raises
        ------
        ValueError
            If there are no convolutions.
        """
        if self.convolutions is None:
            raise ValueError("a fully connected network has no features")
        return self.convolutions.features(self.convolutions.accumulators(images)[-1])

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits int32 [n, classes]."""
        return self.accumulators(images)[-1]

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Class of each image, int64 [n]; the first maximum wins."""
        return self.logits(images).argmax(axis=1)


def quantise_images(images: np.ndarray | torch.Tensor) -> np.ndarray:
    """Round images to int8 as the first layer does in training: max|x| of an image becomes 127.

    Parameters
    ----------
    images
        Floating point [n, ...], as the network was trained on. Computed in single precision, halves to even.

    Returns
    -------
    numpy.ndarray
        int8 [n, pixels].

    Raises
    ------
    ValueError
        If there is no image or a value is not finite.
    """
    x = torch.as_tensor(images).detach().cpu().to(torch.float32)
    if x.ndim < 2 or not x.numel():
        raise ValueError(f"images must be [n, ...] and not empty, got {list(x.shape)}")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("images must be finite")
    x = x.flatten(1)
    step = x.abs().amax(dim=1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny).div_(INPUT_LARGEST)
    return (x / step).round_().clamp_(-INPUT_LARGEST, INPUT_LARGEST).to(torch.int8).numpy()


def from_model(model: nn.Module) -> IntegerNetwork:
    """Integers of a trained network.

    Parameters
    ----------
    model
        `nonideal.models.FullyConnected` or `Cnn`, its layers on grids, one scale per tensor, 8-bit
        activations.

    Raises
    ------
    ValueError
        If the model or a layer is of another kind; the message names the layer and what is wrong.
    """
    if not isinstance(model, FullyConnected | Cnn):
        raise ValueError(
            f"the engine runs networks of classes FullyConnected and Cnn, got {type(model).__name__}; "
            f"{OTHERS}"
        )
    layers = tuple(_integer_layer(layer, f"layer {k}") for k, layer in enumerate(model.layers, 1))
    return IntegerNetwork(layers, _integer_convolutions(model) if isinstance(model, Cnn) else None)


def _integer_convolutions(model: Cnn) -> Convolutions:
    filters = [bank.integer_weight().cpu().numpy().reshape(-1, TAPS) for bank in model.convolutions]
    scales = [float(bank.scale) for bank in model.convolutions]
    return Convolutions(np.stack(filters).astype(np.int16), model.shifts, (scales[0], scales[1], scales[2]))


def _integer_layer(layer: QuantLinear, name: str) -> IntegerLayer:
    if layer.weight_format not in FORMATS:
        raise ValueError(
            f"{name}: weight format {layer.weight_format!r} has no integer weights; the engine knows "
            f"{', '.join(FORMATS)}; train on one of them or use post_training_quantise"
        )
    if hasattr(layer, UNIT_MASK):
        raise ValueError(
            f"{name}: has pruned neurons, which would come back; leave them out first, by "
            "nonideal.pruning.shrink(model)"
        )
    if layer.activation_bits != INPUT_BITS:
        raise ValueError(
            f"{name}: activation_bits is {layer.activation_bits}, the engine computes with {INPUT_BITS}"
        )
    if layer.scale.numel() != 1:
        raise ValueError(
            f"{name}: has one scale per output channel; the engine has no multiplier to apply them, "
            f"so train with per_channel=False"
        )
    weights = layer.integer_weight().cpu().numpy().astype(np.int16)
    return IntegerLayer(layer.weight_format, weights, float(layer.scale))
