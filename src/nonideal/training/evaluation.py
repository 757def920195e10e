"""Loss and accuracy of a network."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

EVALUATION_BATCH = 2000  # images; bounds memory, more is not faster
# Activations of convolutions are larger than a processor's cache long before that.
CONVOLUTION_BATCH = 250


class Evaluation(NamedTuple):
    """Mean cross-entropy in nat, fraction of images classified correctly, logits [n, classes] or None."""

    loss: float
    accuracy: float
    logits: Tensor | None


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which a network computes in the precision of `Settings`, where the device has it."""
    enabled = precision == "bfloat16" and has_bfloat16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


@functools.cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16; emulated, it is much slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # What PyTorch's own compiler asks; where oneDNN is absent there is no such operator.
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def device_of(name: str) -> torch.device:
    """Device of that name; ``auto`` is a GPU if there is one.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device {name!r} is not known; use 'auto', 'cpu' or 'cuda'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r}: PyTorch finds no CUDA device here; use 'auto' or 'cpu'")
    return device


@contextlib.contextmanager
def threads_set(count: int) -> Iterator[None]:
    """Context in which PyTorch uses so many CPU threads: sums, and with them last digits, depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    logits: bool = False,
    batch: int = EVALUATION_BATCH,
    precision: str = "float32",
) -> Evaluation:
    """Loss and accuracy of a network, in evaluation mode; that of every layer is restored afterwards.

    Parameters
    ----------
    model
        Network on the device of `images`.
    images, labels
        [n, c, h, w] and int64 [n].
    logits
        Return the logits as well.
    batch
        Images at once.
    precision
        ``float32`` or ``bfloat16``, of the network's products.

    Raises
    ------
    ValueError
        If there are no images.
    """
    if not len(images):
        raise ValueError("there are no images to evaluate the network on")
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with autocast(images.device, precision):
            outputs = torch.cat([model(part) for part in images.split(batch)]).float()
    finally:
        for module, training in modes:
            module.training = training
    loss = functional.cross_entropy(outputs, labels).item()
    accuracy = (outputs.argmax(dim=1) == labels).double().mean().item()
    with torch.inference_mode(False):  # a copy made here may take part in a loss
        return Evaluation(loss, accuracy, outputs.clone() if logits else None)
