"""Structured pruning: whole hidden neurons removed while a fully connected network trains.

Formats without a zero cannot switch a weight off, but a layer can lose outputs. A removed neuron is held at
zero for the rest of the training, and `shrink` then leaves it out, so that the exported layers are smaller.
"""

from __future__ import annotations

import itertools
import math
import numbers

import torch
from torch import Tensor, nn

from nonideal.layers import UNIT_MASK, QuantLinear
from nonideal.models.fc import FullyConnected
from nonideal.training import Hook

ROUNDING = 1e-9


class PruneUnits(Hook):
    """Remove a share of every hidden layer's neurons when an epoch begins.

    The neurons with the smallest product of the norms of their incoming and outgoing weights go (the product
    is what survives rescaling one against the other). The masks are buffers of the model, so they travel in
    checkpoints; make the hook before training starts or resumes.

    Parameters
    ----------
    model
        Network to be trained.
    share
        Share of the neurons of each hidden layer to remove, 0 <= share < 1, rounded down.
    epoch
        Epoch, counted from 0, before which they go.

    Raises
    ------
    ValueError
        If the share is out of range, or the epoch is no whole number from 0.
    """

    def __init__(self, model: FullyConnected, share: float, epoch: int) -> None:
        if not 0 <= share < 1:
            raise ValueError(f"the share of neurons to prune must lie in [0, 1), got {share}")
        if isinstance(epoch, bool) or not isinstance(epoch, numbers.Integral) or epoch < 0:
            raise ValueError(f"the epoch to prune before must be a whole number from 0, got {epoch!r}")
        self.share, self.epoch = share, epoch
        for layer in hidden_layers(model):
            if not hasattr(layer, UNIT_MASK):
                layer.register_buffer(UNIT_MASK, torch.ones(len(layer.weight)))
                layer.register_forward_hook(_silence)

    def __repr__(self) -> str:
        return f"PruneUnits(share={self.share}, epoch={self.epoch})"

    def before_epoch(self, model: nn.Module, epoch: int) -> None:
        """Choose the neurons once, in the epoch given."""
        if epoch == self.epoch:
            for layer, following in zip(model.layers, model.layers[1:], strict=False):
                score = importance(layer.weight, following.weight)
                # 0.29 * 100 is 28.999999999999996.
                going = score.argsort()[: math.floor(self.share * len(score) + ROUNDING)]
                getattr(layer, UNIT_MASK)[going] = 0.0


def hidden_layers(model: FullyConnected) -> list[QuantLinear]:
    """All layers but the last."""
    return list(model.layers[:-1])


def importance(incoming: Tensor, outgoing: Tensor) -> Tensor:
    """Norm of a neuron's incoming weights [out, in] times that of its outgoing ones [next, out]: [out]."""
    return incoming.detach().norm(dim=1) * outgoing.detach().norm(dim=0)


def _silence(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output * getattr(layer, UNIT_MASK)


@torch.no_grad()
def shrink(model: FullyConnected) -> FullyConnected:
    """Smaller network without the pruned neurons, with the same logits up to rounding.

    Parameters
    ----------
    model
        Network that `PruneUnits` was applied to.

    Returns
    -------
    FullyConnected
        In evaluation mode, scales frozen. A layer that lost inputs normalises over fewer values; its weights
        and scale make up for the factor, so the integer levels stay as they are (samples whose activations
        all but vanish differ by the small constant in that norm).

    Raises
    ------
    ValueError
        If the network carries no masks.
    """
    if not all(hasattr(layer, UNIT_MASK) for layer in hidden_layers(model)):
        raise ValueError("the network has no masks of pruned neurons; train it with PruneUnits first")
    kept = [getattr(layer, UNIT_MASK).bool() for layer in hidden_layers(model)]
    first = model.layers[0]
    device = first.weight.device
    inputs = torch.ones(first.weight.shape[1], dtype=torch.bool, device=device)
    outputs = torch.ones(len(model.layers[-1].weight), dtype=torch.bool, device=device)
    ends = [inputs, *kept, outputs]
    result = FullyConnected(
        [int(end.sum()) for end in ends],
        weight_format=first.weight_format,
        activation_bits=first.activation_bits,
        clipping=first.clipping,
        quantscale=first.quantscale,
        per_channel=first.per_channel,
        generator=torch.Generator(),
    ).to(device)
    pairs = itertools.pairwise(ends)
    for layer, smaller, (before, after) in zip(model.layers, result.layers, pairs, strict=True):
        # Without the lost values, which were zero, x / rms shrinks by sqrt(n_new / n_old).
        factor = math.sqrt(len(before) / int(before.sum()))
        smaller.weight.copy_(layer.weight[after][:, before] * factor)
        smaller.frozen = True
        if layer.format is not None:
            scale = layer.scale[after] if layer.per_channel else layer.scale
            smaller.scale.copy_(scale * factor)
    return result.eval()
