"""Post-training quantisation: float networks put on a grid after training."""

from __future__ import annotations

import copy

import torch
from torch import nn

from nonideal.layers import check_activation_bits, quant_layers


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
        If the network has no quantised layer, or one that is not float, or a setting is out of range.
    """
    check_activation_bits(activation_bits)
    result = copy.deepcopy(model)
    layers = quant_layers(result)
    found = sorted({layer.weight_format for layer in layers})
    if not found:
        raise ValueError(
            f"post-training quantisation starts from layers of nonideal.layers, found none in "
            f"{type(model).__name__}; for other layers attach(model, lambda name, layer: FormatQuantiser("
            f"layer.weight, {weight_format!r}, clipping={clipping!r})) and detach(model), both of "
            "nonideal.quantize.attach"
        )
    if found != ["float"]:
        raise ValueError(
            f"post-training quantisation starts from layers of weight_format 'float', found {found}"
        )
    for layer in layers:
        layer.set_format(weight_format, clipping=clipping, per_channel=per_channel)
        layer.activation_bits = activation_bits
        layer.frozen = True
        with torch.no_grad():
            layer.weight.copy_(layer.effective_weight())
    return result.eval()
