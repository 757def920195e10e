"""The one training loop, for every track.

The data set lies on the device as one tensor. An epoch is every training image once as it is, and once more
for each augmented copy; each batch holds the same share of both. All random numbers of epoch k come from
streams named by the seed and k, drawn on the CPU, so that a resumed run continues exactly and no state of a
generator needs saving.

Threads and bits: how many threads PyTorch uses decides how sums are divided, and with it the last bits of
every result. `Settings.threads` therefore belongs to the settings of a run and not to the machine: with the
same value a run gives the same bits on any number of cores of the same kind of processor. Other processors
(and GPUs) round differently.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from nonideal import augment
from nonideal.augment import Tensors, prepare
from nonideal.files import atomic
from nonideal.models import post_training_quantise, quant_layers
from nonideal.rng import torch_stream

# What a study needs around a training run can be had from here.
__all__ = [
    "Evaluation",
    "Regulariser",
    "Settings",
    "Tensors",
    "evaluate",
    "post_training_quantise",
    "prepare",
    "train",
]

OPTIMISERS = ("adam", "sgd")
SCHEDULES = ("cosine", "step", "constant")
EVALUATION_BATCH = 2000  # images; bounds memory, more is not faster
CHECKPOINT_VERSION = 1

Regulariser = Callable[[nn.Module, int], Tensor]


@dataclass(frozen=True)
class Settings:
    """Settings of a training run.

    Parameters
    ----------
    epochs
        Number of epochs.
    batch_size
        Images a step, clean and augmented together; a multiple of 1 + `augmented_copies`.
    optimiser
        ``adam`` or ``sgd``.
    lr
        Learning rate at the start.
    momentum
        Of ``sgd``; without use for ``adam``.
    weight_decay
        Coefficient of the L2 term.
    schedule
        ``cosine`` (to zero, per step), ``step`` (times `step_factor` every `step_epochs`) or ``constant``.
    step_epochs, step_factor
        See ``step``.
    augmented_copies
        Affinely transformed copies of the training set in each epoch; 0 switches augmentation off.
    degrees, translate, scale_range
        Ranges of the transformation, see `nonideal.augment.Affine`.
    freeze_scale
        Fraction of the epochs after which the weight scales stay as they are.
    threads
        CPU threads; part of the settings because it decides the last bits.
    device
        ``auto`` (CUDA if there is any), ``cpu`` or ``cuda``.

    Raises
    ------
    ValueError
        If a value is out of its range; the message names it.
    """

    epochs: int = 20
    batch_size: int = 128
    optimiser: str = "adam"
    lr: float = 3e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    step_epochs: int = 10
    step_factor: float = 0.1
    augmented_copies: int = 1
    degrees: float = 10.0
    translate: float = 0.1
    scale_range: tuple[float, float] = (0.9, 1.1)
    freeze_scale: float = 1.0
    threads: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale_range", tuple(self.scale_range))  # a list when read from YAML
        for key, values in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES)):
            if getattr(self, key) not in values:
                raise ValueError(f"{key} must be one of {', '.join(values)}, got {getattr(self, key)!r}")
        for key in ("epochs", "batch_size", "step_epochs", "threads"):
            if not isinstance(getattr(self, key), int) or getattr(self, key) < 1:
                raise ValueError(f"{key} must be a whole number of at least 1, got {getattr(self, key)!r}")
        if not isinstance(self.augmented_copies, int) or self.augmented_copies < 0:
            raise ValueError(f"augmented_copies must be a whole number from 0, got {self.augmented_copies!r}")
        if self.batch_size % (1 + self.augmented_copies):
            raise ValueError(
                f"batch_size must be a multiple of 1 + augmented_copies = {1 + self.augmented_copies}, "
                f"got {self.batch_size}"
            )
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be positive, got {self.lr!r}")
        for key in ("momentum", "weight_decay"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"{key} must lie in [0, 1), got {getattr(self, key)!r}")
        for key in ("step_factor", "freeze_scale"):
            if not 0 < getattr(self, key) <= 1:
                raise ValueError(f"{key} must lie in (0, 1], got {getattr(self, key)!r}")
        self.affine()

    def affine(self) -> augment.Affine:
        """Ranges of the augmentation."""
        return augment.Affine(self.degrees, self.translate, self.scale_range)

    def rate(self, epoch: int, progress: float = 0.0) -> float:
        """Learning rate after `epoch` whole epochs and the fraction `progress` of the next."""
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * (epoch + progress) / self.epochs))
        if self.schedule == "step":
            return self.lr * self.step_factor ** (epoch // self.step_epochs)
        return self.lr


class Evaluation(NamedTuple):
    """Mean cross-entropy in nat, fraction of images classified correctly, logits [n, classes] or None."""

    loss: float
    accuracy: float
    logits: Tensor | None


@torch.inference_mode()
def evaluate(model: nn.Module, images: Tensor, labels: Tensor, *, logits: bool = False) -> Evaluation:
    """Loss and accuracy of a network, in evaluation mode; the mode is restored afterwards.

    Parameters
    ----------
    model
        Network on the device of `images`.
    images, labels
        [n, c, h, w] and int64 [n].
    logits
        Return the logits as well.
    """
    was_training = model.training
    model.eval()
    try:
        outputs = torch.cat([model(part) for part in images.split(EVALUATION_BATCH)])
    finally:
        model.train(was_training)
    loss = functional.cross_entropy(outputs, labels).item()
    accuracy = (outputs.argmax(dim=1) == labels).double().mean().item()
    return Evaluation(loss, accuracy, outputs.clone() if logits else None)


def train(
    model: nn.Module,
    tensors: Tensors,
    settings: Settings,
    *,
    seed: int,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    regulariser: Regulariser | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a network in place.

    Parameters
    ----------
    model
        Network; it is moved to the device of `settings` and left there, in evaluation mode.
    tensors
        Data set.
    settings
        Settings of the run.
    seed
        Names the random streams of shuffling and augmentation.
    checkpoint
        File to save to and to resume from, if it exists. None keeps no checkpoint.
    checkpoint_every
        Epochs between two checkpoints; the last epoch is always saved.
    regulariser
        Called with the model and the epoch at every step; its value is added to the loss. It is not part of
        the checkpoint, so a resumed run must be given the same one.
    progress
        Show a progress bar.

    Returns
    -------
    pd.DataFrame
        One row per epoch: epoch (from 1), lr (at its start), train_loss and train_accuracy (over the steps
        of the epoch, augmented images included), test_loss, test_accuracy, seconds.

    Raises
    ------
    ValueError
        If the checkpoint is unreadable or was made by another run; the message names what differs.
    FloatingPointError
        If the loss is no longer finite.
    """
    device = _device(settings.device)
    with _threads(settings.threads):
        model.to(device)
        run = _Run(model, tensors.to(device), settings, seed, regulariser)
        identity = None
        if checkpoint is not None:
            identity = _identity(model, tensors, settings, seed)
            if Path(checkpoint).exists():
                run.load(checkpoint, identity)
        bar = tqdm(total=settings.epochs, initial=run.epoch, unit="epoch", disable=not progress)
        with bar:
            while run.epoch < settings.epochs:
                row = run.advance()
                bar.set_postfix(loss=f"{row['train_loss']:.4f}", test=f"{row['test_accuracy']:.2%}")
                bar.update()
                due = run.epoch % checkpoint_every == 0 or run.epoch == settings.epochs
                if checkpoint is not None and due:
                    run.save(checkpoint, identity)
    model.eval()
    return pd.DataFrame(run.history)


class _Run:
    """State of a run between two epochs."""

    def __init__(
        self,
        model: nn.Module,
        tensors: Tensors,
        settings: Settings,
        seed: int,
        regulariser: Regulariser | None,
    ) -> None:
        self.model, self.tensors, self.settings, self.seed = model, tensors, settings, seed
        self.regulariser = regulariser
        self.optimiser = _optimiser(model, settings)
        self.epoch = 0
        self.history: list[dict[str, float]] = []

    def advance(self) -> dict[str, float]:
        """Train one epoch, evaluate, and append to the history."""
        start = time.perf_counter()
        frozen = self.epoch >= self.settings.freeze_scale * self.settings.epochs
        for layer in quant_layers(self.model):
            layer.frozen = frozen
        loss, accuracy = self._steps()
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the training loss is {loss} in epoch {self.epoch + 1}: "
                f"lower lr (now {self.settings.lr}) or change the clipping"
            )
        for layer in quant_layers(self.model):
            layer.update_scale()
        test = evaluate(self.model, self.tensors.test_images, self.tensors.test_labels)
        row = {
            "epoch": self.epoch + 1,
            "lr": self.settings.rate(self.epoch),
            "train_loss": loss,
            "train_accuracy": accuracy,
            "test_loss": test.loss,
            "test_accuracy": test.accuracy,
            "seconds": time.perf_counter() - start,
        }
        self.epoch += 1
        self.history.append(row)
        return row

    def _steps(self) -> tuple[float, float]:
        """All steps of an epoch; mean loss and accuracy over its images."""
        self.model.train()
        total = torch.zeros((), device=self.tensors.background.device, dtype=torch.float64)
        correct = torch.zeros((), device=self.tensors.background.device, dtype=torch.int64)
        count = 0
        for fraction, images, labels in self._batches():
            for group in self.optimiser.param_groups:
                group["lr"] = self.settings.rate(self.epoch, fraction)
            logits = self.model(images)
            loss = functional.cross_entropy(logits, labels)
            objective = loss if self.regulariser is None else loss + self.regulariser(self.model, self.epoch)
            self.optimiser.zero_grad(set_to_none=True)
            objective.backward()
            self.optimiser.step()
            # No .item() here: on a GPU it would wait for the step to end.
            total += loss.detach() * len(labels)
            correct += (logits.detach().argmax(dim=1) == labels).sum()
            count += len(labels)
        return total.item() / count, correct.item() / count

    def _batches(self) -> Iterator[tuple[float, Tensor, Tensor]]:
        """Batches of the epoch, with the fraction of the epoch that precedes them."""
        images, labels, background = (
            self.tensors.train_images, self.tensors.train_labels, self.tensors.background
        )  # fmt: skip
        copies, count = self.settings.augmented_copies, len(images)
        generator = torch_stream(self.seed, "training", "epoch", self.epoch)
        # One order of the set for the clean images and one for each copy: [1 + copies, n].
        order = torch.stack([torch.randperm(count, generator=generator) for _ in range(1 + copies)])
        matrices = self.settings.affine().matrices(copies * count, generator=generator)
        order, matrices = order.to(images.device), matrices.view(copies, count, 2, 3).to(images.device)
        share = self.settings.batch_size // (1 + copies)
        for start in range(0, count, share):
            index = order[:, start : start + share]
            batch = images[index[0]]
            if copies:
                moved = augment.transform(
                    images[index[1:].flatten()], matrices[:, start : start + share].flatten(0, 1), background
                )
                batch = torch.cat((batch, moved))
            yield start / count, batch, labels[index.flatten()]

    def save(self, path: str | os.PathLike[str], identity: dict) -> None:
        """Write a checkpoint."""
        state = {
            "identity": identity,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": self.history,
        }
        with atomic(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: str | os.PathLike[str], identity: dict) -> None:
        """Continue from a checkpoint of the same run."""
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            found = state["identity"]
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a checkpoint of this program ({error}); delete it") from error
        for key in identity:
            if found.get(key) != identity[key]:
                raise ValueError(
                    f"checkpoint {path} belongs to another run: {key} is {found.get(key)!r} there "
                    f"and {identity[key]!r} here; delete the file or restore the setting"
                )
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.history = state["history"]
        self.epoch = len(self.history)


def _identity(model: nn.Module, tensors: Tensors, settings: Settings, seed: int) -> dict:
    """What must agree between a checkpoint and the run that resumes from it."""
    identity = {"version": CHECKPOINT_VERSION, "seed": int(seed)} | asdict(settings)
    identity["device"] = _device(settings.device).type
    return identity | {"model": str(model), "data": tensors.digest()}


def _optimiser(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    # The fused kernels do a whole update in one call; at these sizes a step costs calls, not arithmetic.
    parameters, decay = model.parameters(), settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=decay, fused=True
        )
    return torch.optim.Adam(parameters, lr=settings.lr, weight_decay=decay, fused=True)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r}: PyTorch finds no CUDA device here; use 'auto' or 'cpu'")
    return device


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
