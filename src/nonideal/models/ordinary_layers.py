"""Networks of this project's quantised layers as networks of PyTorch's own, which chips can hold.

>>> from nonideal.models import ordinary
>>> from nonideal.pcm.deploy import deploy                     # doctest: +SKIP
>>> deploy(ordinary(model), "max_fill", base=1, n_slices=4, chips=3, seed=1)   # doctest: +SKIP
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from nonideal.layers import UNIT_MASK, QuantLinear, normalise_quantise


class Normalised(nn.Module):
    """The digital part of a quantised layer: normalisation and rounding of its input.

    Parameters
    ----------
    bits
        Of the activations; None for float.
    """

    def __init__(self, bits: int | None) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, x: Tensor) -> Tensor:
        """X [n, in] of the same shape."""
        return normalise_quantise(x, self.bits)


def ordinary(model: nn.Module) -> nn.Module:
    """Copy whose quantised fully connected layers are `torch.nn.Linear` with the weights on their grid.

    Parameters
    ----------
    model
        Network with layers of `nonideal.layers.QuantLinear`, such as ``fc`` and ``cnn``, or any other.

    Returns
    -------
    nn.Module
        Copy in evaluation mode that computes the same; each such layer is a sequence of its digital part
        (`Normalised`) and an `nn.Linear`. Other layers are as they were.

    Examples
    --------
    >>> from nonideal.models import build
    >>> from nonideal.rng import torch_stream
    >>> model = ordinary(build("fc", widths=(4,), generator=torch_stream(0, "init")))
    >>> sum(isinstance(layer, nn.Linear) for layer in model.modules())
    2
    """
    result = copy.deepcopy(model).eval()
    for name, layer in list(result.named_modules()):
        if isinstance(layer, QuantLinear):
            outputs, inputs = layer.weight.shape
            linear = nn.Linear(
                inputs, outputs, bias=False, device=layer.weight.device, dtype=layer.weight.dtype
            )
            with torch.no_grad():
                linear.weight.copy_(layer.effective_weight())
                if hasattr(layer, UNIT_MASK):
                    linear.weight.mul_(getattr(layer, UNIT_MASK)[:, None])
            parent, _, child = name.rpartition(".")
            setattr(
                result.get_submodule(parent), child, nn.Sequential(Normalised(layer.activation_bits), linear)
            )
    return result


def ordinary_names(model: nn.Module) -> dict[str, str]:
    """Names of the quantised fully connected layers, and of the `nn.Linear` that `ordinary` makes of each."""
    return {name: f"{name}.1" for name, layer in model.named_modules() if isinstance(layer, QuantLinear)}
