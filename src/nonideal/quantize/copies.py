"""Copies of networks with quantisers on their weights."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils import parametrize


def copied(model: nn.Module) -> nn.Module:
    """Deep copy whose quantisers can be removed without touching the model's.

    PyTorch keeps the property ``weight`` of a parametrised layer on a class made for that layer. A plain
    deep copy shares the class, and removing the copy's parametrisation would take it from both.
    """
    result = copy.deepcopy(model)
    for module in result.modules():
        if parametrize.is_parametrized(module):
            shared = type(module)
            module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
    return result
