"""Networks by name, and float networks put on a grid after training."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nonideal.layers import QuantLayer, QuantLinear


class FullyConnected(nn.Module):
    """Quantised fully connected layers with ReLU between them.

    Parameters
    ----------
    sizes
        Input pixels, hidden widths, classes.
    **settings
        As `nonideal.layers.QuantLayer`, the same for every layer.
    """

    def __init__(self, sizes: Sequence[int], **settings) -> None:
        super().__init__()
        self.layers = nn.ModuleList(QuantLinear(*pair, **settings) for pair in itertools.pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, c, h, w] or [n, pixels] to logits [n, classes]."""
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return self.layers[-1](x)


def fc(
    *,
    generator: torch.Generator,
    input_pixels: int = 256,
    widths: Sequence[int] = (64, 64, 64),
    classes: int = 10,
    weight_format: str = "4bitsym",
    activation_bits: int | None = 8,
    clipping: str | None = None,
    quantscale: float | None = None,
    per_channel: bool = False,
) -> FullyConnected:
    """Fully connected network.

    Parameters
    ----------
    generator
        For the initial weights.
    input_pixels
        Values per image, all channels together (256: 16x16 grey).
    widths
        Outputs of the hidden layers.
    classes
        Outputs of the last layer.
    weight_format, activation_bits, clipping, quantscale, per_channel
        As `nonideal.layers.QuantLayer`.

    Raises
    ------
    ValueError
        If a size is not positive, or a layer refuses its settings.
    """
    sizes = (input_pixels, *widths, classes)
    if any(size < 1 for size in sizes):
        raise ValueError(f"model 'fc': input_pixels, widths and classes must be positive, got {sizes}")
    return FullyConnected(
        sizes,
        weight_format=weight_format,
        activation_bits=activation_bits,
        clipping=clipping,
        quantscale=quantscale,
        per_channel=per_channel,
        generator=generator,
    )


MODELS: dict[str, Callable[..., nn.Module]] = {"fc": fc}


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


def quant_layers(model: nn.Module) -> list[QuantLayer]:
    """Quantised layers of a network, in the order they were added."""
    return [module for module in model.modules() if isinstance(module, QuantLayer)]


def post_training_quantise(
    model: nn.Module,
    weight_format: str,
    clipping: str = "mse",
    *,
    activation_bits: int | None = 8,
    per_channel: bool = False,
) -> nn.Module:
    """Put the weights of a float network on a grid, without training.

    Parameters
    ----------
    model
        Network whose quantised layers all have the weight format ``float``; it is not changed.
    weight_format, clipping, per_channel
        As `nonideal.layers.QuantLayer`.
    activation_bits
        Bits of the activations of the result; None for float.

    Returns
    -------
    nn.Module
        Copy in evaluation mode, frozen, its weights equal to scale * level.

    Raises
    ------
    ValueError
        If the network has no quantised layer, or one that is not float.
    """
    result = copy.deepcopy(model)
    layers = quant_layers(result)
    found = sorted({layer.weight_format for layer in layers})
    if found != ["float"]:
        raise ValueError(
            f"post-training quantisation starts from layers of weight_format 'float', found {found or 'none'}"
        )
    for layer in layers:
        layer.set_format(weight_format, clipping=clipping, per_channel=per_channel)
        layer.activation_bits = activation_bits
        layer.frozen = True
        with torch.no_grad():
            layer.weight.copy_(layer.effective_weight())
    return result.eval()
