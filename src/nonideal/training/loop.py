"""The training loop.

The data set lies on the device as one tensor; `nonideal.training.batches` says what an epoch is. No state of
a generator needs saving: a resumed run continues exactly.

Threads and bits: how many threads PyTorch uses decides how sums are divided, and with it the last bits of
every result. `Settings.threads` therefore belongs to the settings of a run and not to the machine: with the
same value a run gives the same bits on any number of cores of the same kind of processor. Other processors
(and GPUs) round differently.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from nonideal import augment
from nonideal.layers import quant_layers
from nonideal.preprocessing import Tensors
from nonideal.quantize import attach
from nonideal.training import checkpoint as checkpoints
from nonideal.training.batches import batches
from nonideal.training.distillation import Distillation
from nonideal.training.evaluation import (
    CONVOLUTION_BATCH,
    EVALUATION_BATCH,
    autocast,
    device_of,
    evaluate,
    has_bfloat16,
    threads_set,
)
from nonideal.training.hooks import Hook, ParameterGroups, Regulariser
from nonideal.training.optimisers import optimiser
from nonideal.training.settings import Settings
from nonideal.training.sharpness import ascended


def train(
    model: nn.Module,
    tensors: Tensors,
    settings: Settings,
    *,
    seed: int,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    regulariser: Regulariser | None = None,
    hooks: Sequence[Hook] = (),
    parameter_groups: ParameterGroups | None = None,
    distillation: Distillation | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a network in place.

    Parameters
    ----------
    model
        Network; it is moved to the device of `settings` and left there, in evaluation mode. With
        `Settings.average_decay` it ends with the averaged weights.
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
    hooks
        Called around epochs and steps, in this order.
    parameter_groups
        Called with the model; the optimiser's parameter groups. None trains all parameters alike.
    distillation
        What a teacher says, learned beside the labels. None learns from the labels alone.
    progress
        Show a progress bar.

    Returns
    -------
    pd.DataFrame
        One row per epoch: epoch (from 1), learning_rate (at its start), train_loss and train_accuracy (over
        the steps of the epoch, augmented images included), test_loss, test_accuracy (of the averaged network,
        if there is one), seconds, and what hooks return.

    Raises
    ------
    ValueError
        If the checkpoint is unreadable or was made by another run; the message names what differs. If weights
        are to be averaged and the network is quantised. If a teacher was asked about other images, or the
        augmentation is not that of its crops.
    FloatingPointError
        If the loss is no longer finite.
    """
    if checkpoint_every < 1:
        raise ValueError(f"checkpoint_every must be at least 1, got {checkpoint_every}")
    device = device_of(settings.device)
    if settings.precision == "bfloat16" and not has_bfloat16(device):
        tqdm.write("precision bfloat16: this processor does not compute in it; float32 instead", sys.stderr)
    with threads_set(settings.threads):
        model.to(device)
        if settings.channels_last:
            _channels_last(model)
        run = _Run(
            model, tensors.to(device), settings, seed, regulariser, hooks, parameter_groups, distillation
        )
        identity = {}
        if checkpoint is not None:
            identity = checkpoints.identity(model, tensors, settings, seed, device, hooks, distillation)
            if parameter_groups is not None:
                identity["groups"] = run.groups()
            if Path(checkpoint).exists():
                run.restore(checkpoints.load(checkpoint, identity))
        with tqdm(total=settings.epochs, initial=run.epoch, unit="epoch", disable=not progress) as bar:
            while run.epoch < settings.epochs:
                row = run.advance()
                shown = {"loss": f"{row['train_loss']:.4f}", "test": f"{row['test_accuracy']:.2%}"}
                bar.set_postfix(shown, refresh=False)  # `update` draws; twice would fill the log
                bar.update()
                due = run.epoch % checkpoint_every == 0 or run.epoch == settings.epochs
                if checkpoint is not None and due:
                    checkpoints.save(checkpoint, run.state() | {"identity": identity})
        run.finish()
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
        regulariser: Regulariser | None = None,
        hooks: Sequence[Hook] = (),
        parameter_groups: ParameterGroups | None = None,
        distillation: Distillation | None = None,
    ) -> None:
        self.model, self.tensors, self.settings, self.seed = model, tensors, settings, seed
        self.regulariser, self.hooks, self.distillation = regulariser, tuple(hooks), distillation
        groups = list(model.parameters()) if parameter_groups is None else parameter_groups(model)
        self.optimiser = optimiser(groups, settings)
        # Buffers as well: running statistics of batch normalisation belong to the weights they are of.
        self.average = None
        if settings.average_decay:
            if any(parametrize.is_parametrized(module) for module in model.modules()) or quant_layers(model):
                raise ValueError(
                    "average_decay is for networks without quantisers: their scales do not average"
                )
            average = get_ema_multi_avg_fn(settings.average_decay)
            self.average = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
        self.lessons = None if distillation is None else distillation.lessons_on(tensors, settings)
        self.epoch = 0
        self.history: list[dict[str, float]] = []

    def advance(self) -> dict[str, float]:
        """Train one epoch, evaluate, and append to the history."""
        start = time.perf_counter()
        self._freeze(self.epoch)
        for hook in self.hooks:
            hook.before_epoch(self.model, self.epoch)
        loss, accuracy = self._steps()
        self._check("training", loss, self.tensors.train_images)
        for layer in quant_layers(self.model):
            layer.update_scale()
        attach.update_scales(self.model)
        row = {
            "epoch": self.epoch + 1,
            "learning_rate": self.settings.rate(self.epoch),
            "train_loss": loss,
            "train_accuracy": accuracy,
        }
        for hook in self.hooks:
            row |= hook.after_epoch(self.model, self.epoch) or {}
        row |= self._test() | {"seconds": time.perf_counter() - start}
        # The loss of a step is that before it: only the test sees what the last one left.
        self._check("test", row["test_loss"], self.tensors.test_images)
        self.epoch += 1
        self.history.append(row)
        return row

    def _check(self, which: str, loss: float, images: Tensor) -> None:
        """Refuse a loss that is not finite, and say the remedy."""
        if math.isfinite(loss):
            return
        remedy = f"lower lr (now {self.settings.lr}) or change the clipping"
        if not bool(images.isfinite().all()):
            remedy = f"the {which} images hold values that are not finite"
        raise FloatingPointError(f"the {which} loss is {loss} in epoch {self.epoch + 1}: {remedy}")

    def _freeze(self, epoch: int) -> None:
        """Whether scales follow their weights in an epoch."""
        frozen = self.settings.reached(self.settings.freeze_scale, epoch)
        for layer in quant_layers(self.model):
            layer.frozen = frozen
        attach.update_scales(self.model, frozen=frozen)

    def _test(self) -> dict[str, float]:
        convolutional = self.settings.channels_last
        test = evaluate(
            self.model if self.average is None else self.average.module,
            self._laid_out(self.tensors.test_images),
            self.tensors.test_labels,
            batch=self.settings.evaluation_batch
            or (CONVOLUTION_BATCH if convolutional else EVALUATION_BATCH),
            precision=self.settings.precision,
        )
        return {"test_loss": test.loss, "test_accuracy": test.accuracy}

    def _laid_out(self, images: Tensor) -> Tensor:
        if self.settings.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def _steps(self) -> tuple[float, float]:
        """All steps of an epoch; mean loss and accuracy over its images."""
        self.model.train()
        device, settings = self.tensors.background.device, self.settings
        total = torch.zeros((), device=device, dtype=torch.float64)
        correct = torch.zeros((), device=device, dtype=torch.int64)
        count = 0
        # The last epoch is on whole images, however short the training.
        small = self.epoch < min(round(settings.small_share * settings.epochs), settings.epochs - 1)
        drawn = batches(self.tensors, settings, self.seed, self.epoch, self.lessons)
        for step, (fraction, images, labels, outputs) in enumerate(drawn):
            for group in self.optimiser.param_groups:
                group["lr"] = settings.rate(self.epoch, fraction) * group.get("lr_factor", 1.0)
            for hook in self.hooks:
                hook.before_step(self.model, self.epoch, step)
            if small:
                images = augment.resize(images, settings.small_pixels)
            seen = len(images)
            if settings.sharpness:
                seen = max(1, round(settings.sharpness_share * seen))
            logits = self._logits(images[:seen])
            self._backward(logits, labels[:seen], None if outputs is None else outputs[:seen])
            if settings.sharpness:
                with ascended(self.model, settings.sharpness):
                    self._backward(self._logits(images), labels, outputs)
            self.optimiser.step()
            for hook in self.hooks:
                hook.after_step(self.model, self.epoch, step)
            if self.average is not None:
                self.average.update_parameters(self.model)
            # No .item() here: on a GPU it would wait for the step to end.
            logits = logits.detach()
            total += functional.cross_entropy(logits, labels[:seen]) * seen
            correct += (logits.argmax(dim=1) == labels[:seen]).sum()
            count += seen
        return total.item() / count, correct.item() / count

    def _logits(self, images: Tensor) -> Tensor:
        with autocast(images.device, self.settings.precision):
            return self.model(self._laid_out(images)).float()

    def _backward(self, logits: Tensor, labels: Tensor, outputs: Tensor | None) -> None:
        """Gradient of the loss, smoothed, distilled and regularised as asked, in place of any other."""
        objective = functional.cross_entropy(logits, labels, label_smoothing=self.settings.label_smoothing)
        if outputs is not None:
            objective = self.distillation(logits, outputs, objective)
        if self.regulariser is not None:
            objective = objective + self.regulariser(self.model, self.epoch)
        self.optimiser.zero_grad()
        objective.backward()

    def state(self) -> dict:
        """What a checkpoint holds."""
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": self.history,
        }
        return state if self.average is None else state | {"average": self.average.state_dict()}

    def groups(self) -> str:
        """Settings of the optimiser's groups but the rate, which follows the schedule; and their sizes."""
        kept = [
            {key: value for key, value in group.items() if key not in ("params", "lr")}
            | {"parameters": sum(value.numel() for value in group["params"])}
            for group in self.optimiser.param_groups
        ]
        return repr(kept)

    def restore(self, state: dict) -> None:
        """Continue from the state of a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.history = state["history"]
        self.epoch = len(self.history)
        if self.epoch:  # layers are frozen when an epoch begins; a finished run begins none
            self._freeze(self.epoch - 1)

    def finish(self) -> None:
        """Put the averaged weights, if there are any, into the network."""
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())


@torch.no_grad()
def _channels_last(model: nn.Module) -> None:
    """Lay out filters, in place; `Module.to` would refuse factors of bit cells, which have an axis more."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
