"""Whether a network can be fine-tuned on the images, tried before any work is done."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from nonideal import training
from nonideal.commands import UsageError
from nonideal.quantize import attach

SINGLE = "Expected more than 1 value per channel"  # what PyTorch's batch normalisation says of one image


def check(model: nn.Module, tensors: training.Tensors, settings: training.Settings) -> None:
    """Refuse a network with quantisers that the training loop cannot train; it is not changed.

    Parameters
    ----------
    model
        Network with quantisers attached.
    tensors
        Data set.
    settings
        Of the run.

    Raises
    ------
    UsageError
        If no quantised weight can change, or the smallest batch of an epoch cannot be trained on.
    """
    if not any(weight.requires_grad for weight in attach.original(model).values()):
        raise UsageError(
            "the weights of all quantised layers are frozen (requires_grad is False): unfreeze them in the "
            "network, or leave --data out to put them on levels without training"
        )
    count, largest = len(tensors.train_labels), settings.batch_size
    size = smallest_batch(count, settings)
    try:
        found = _output(model, tensors.train_images[torch.arange(size) % count])
    except Exception as error:  # the user's network can raise anything
        if size == 1 and SINGLE in str(error):
            batch = (
                f"leaves a last batch of one image of {count}"
                if largest > 1
                else "makes batches of one image"
            )
            raise UsageError(
                f"--batch-size {largest}: {batch}, which batch normalisation cannot train on; choose another"
            ) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"in training mode the network refuses a batch of {size} ({reason}); it must take what it takes "
            "in evaluation mode"
        ) from error
    classes = int(tensors.train_labels.max()) + 1
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != size or found.shape[1] < classes:
        given = list(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise UsageError(
            f"in training mode the network's output for a batch of {size} is {given}; it must be "
            f"[{size}, classes] with at least {classes} classes, as in evaluation mode (for other losses "
            "call nonideal.harden from a loop of your own)"
        )


def smallest_batch(count: int, settings: training.Settings) -> int:
    """Images of the smallest batch of an epoch, augmented copies included; see `training.batches`."""
    copies = settings.augmented_copies if settings.augmentation == "affine" else 0
    share = settings.batch_size // (1 + copies)
    return (count % share or share) * (1 + copies)


@torch.no_grad()
def _output(model: nn.Module, images: Tensor) -> object:
    """What a copy of the network gives in training mode; the streams of its dropout stay where they are."""
    with torch.random.fork_rng(devices=[]):
        return copy.deepcopy(model).train()(images)
