"""Initial weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def uniform(*tensors: Tensor, fan_in: int, generator: torch.Generator) -> None:
    """Draw tensors anew in place, one after the other, uniform within +-1/sqrt(fan-in).

    Parameters
    ----------
    *tensors
        Weights and, of layers that have them, biases.
    fan_in
        Inputs of one output of the layer.
    generator
        What the values are drawn from.
    """
    bound = 1 / math.sqrt(fan_in)
    for tensor in tensors:
        nn.init.uniform_(tensor, -bound, bound, generator=generator)
