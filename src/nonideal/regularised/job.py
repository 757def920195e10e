"""A job of the study: its data, its settings, and how all its runs are trained and measured.

Training sees neither the test images nor, if `holdout` is above 0, the held-out training images, on which
settings are chosen. The last epoch counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from nonideal import data, rng
from nonideal.models.registry import build
from nonideal.preprocessing import Tensors, moments, prepare, preprocess
from nonideal.regularised import networks
from nonideal.regularised.penalty import Penalty
from nonideal.training import Settings, evaluate, train
from nonideal.training.checkpoint import folder_of
from nonideal.training.evaluation import CONVOLUTION_BATCH

State = dict[str, Tensor]


@dataclass(frozen=True)
class Examples:
    """Data of a study.

    Parameters
    ----------
    tensors
        Training images; its test images are the held-out ones, or the test images if none are held out.
    test_images, test_labels
        Looked at once, after the last epoch.
    classes
        Number of classes.
    """

    tensors: Tensors
    test_images: Tensor
    test_labels: Tensor
    classes: int


def examples(config: Mapping[str, Any], folder: str | os.PathLike[str], *, seed: int) -> Examples:
    """Prepared data set, normalised by the moments of what is trained on.

    Raises
    ------
    ValueError
        If there are fewer training images than the configuration asks for.
    """
    whole = data.load(folder)
    total, wanted = len(whole.train_labels), max(1, config["train_images"])
    if config["holdout"] + wanted > total:
        raise ValueError(
            f"regularised.holdout = {config['holdout']} and regularised.train_images = "
            f"{config['train_images']}: {whole.name} has {total} training images; lower one of them, or set "
            "train_images to 0 for all that are not held out"
        )
    part = data.hold_out(whole, config["holdout"], seed=seed) if config["holdout"] else whole
    if config["train_images"]:
        part = data.subset(part, train=config["train_images"], seed=seed)
    mean, std = moments(torch.from_numpy(part.train_images))
    normalised = {"size": whole.train_images.shape[-1], "mean": mean, "std": std}
    return with_test_images(prepare(part, **normalised), whole, normalised)


def with_test_images(tensors: Tensors, whole: data.Dataset, normalised: Mapping[str, Any]) -> Examples:
    """Data of a study: prepared images for training, and the test images of the whole data set.

    Parameters
    ----------
    tensors
        What training looks at.
    whole
        Data set whose test images count.
    normalised
        Arguments of `preprocess`, the same as for `tensors`.
    """
    images = preprocess(torch.from_numpy(whole.test_images), **normalised)
    labels = torch.from_numpy(whole.test_labels)
    return Examples(tensors, images, labels, len(whole.class_names))


@dataclass(frozen=True)
class Run:
    """What all runs of a job share; networks of another kind are studied by a subclass.

    Parameters
    ----------
    config
        Section ``regularised`` of the configuration.
    examples
        Data.
    seed
        Seed of the workflow's run.
    folder
        Of the checkpoints.
    """

    config: Mapping[str, Any]
    examples: Examples
    seed: int
    folder: Path

    @classmethod
    def start(
        cls,
        config: Mapping[str, Any],
        arrays: str | os.PathLike[str],
        *,
        seed: int,
        progress: str | os.PathLike[str],
        fingerprint: str,
    ) -> Self:
        """Open a job.

        Parameters
        ----------
        config
            Section of the configuration, in the form that `prepared` takes.
        arrays
            Prepared data set.
        seed
            Seed of the workflow's run.
        progress
            Folder for checkpoints; an interrupted job resumes from them, bit for bit.
        fingerprint
            What the checkpoints depend on (code, settings, seed, data); others are discarded.
        """
        settings, found = cls.prepared(config, arrays, seed=seed)
        return cls(settings, found, seed, folder_of(progress, fingerprint))

    @classmethod
    def prepared(
        cls, config: Mapping[str, Any], arrays: str | os.PathLike[str], *, seed: int
    ) -> tuple[Mapping[str, Any], Examples]:
        """Settings and data of a job, from section ``regularised`` of the configuration and a data set."""
        return config, examples(config, arrays, seed=seed)

    def child(self, repetition: int) -> int:
        """Seed of a repetition."""
        return rng.child_seed(self.seed, "regularised", repetition)

    def network(self, repetition: int) -> nn.Module:
        """Untrained network of a repetition."""
        return build(
            self.config["model"],
            generator=rng.torch_stream(self.child(repetition), "init"),
            channels=self.examples.test_images.shape[1],
            classes=self.examples.classes,
            width=self.config["width"],
        )

    def activation_bits(self, bits: int) -> int | None:
        """Bits of the inputs of a network's quantised layers, as many as of a weight; None for float."""
        return bits

    def settings(self, epochs: int, lr: float) -> Settings:
        """Settings of the training loop."""
        config = self.config
        return Settings(
            epochs=epochs,
            lr=lr,
            batch_size=config["batch_size"],
            optimiser="sgd",
            augmentation=config["augmentation"],
            precision=config["precision"],
            channels_last=config["precision"] == "bfloat16",
            threads=config["threads"],
            device=config["device"],
        )

    def train(
        self,
        model: nn.Module,
        name: str,
        repetition: int,
        settings: Settings,
        *,
        regulariser: Penalty | None = None,
        quantiser_lr: float = 0.0,
        decay: float = 0.0,
        hooks: tuple = (),
    ) -> dict[str, float]:
        """Train, and measure on the test images after the last epoch."""
        limits = {}
        if regulariser is not None:
            regulariser.check(model, settings)
            limits = regulariser.largest_rates(model, settings)
        history = train(
            model,
            self.examples.tensors,
            settings,
            seed=self.child(repetition),
            checkpoint=self.folder / f"{name}-{repetition}.pt",
            regulariser=regulariser,
            hooks=hooks,
            parameter_groups=networks.parameter_groups(
                settings.lr,
                quantiser_lr,
                weight_decay=decay,
                # Networks in full precision have no quantisers.
                quantiser_decay=self.config.get("quantiser_weight_decay", 0.0),
                limits=limits,
            ),
            progress=False,
        )
        measured = self.measure(model) | {"validation_accuracy": float(history["test_accuracy"].iloc[-1])}
        print(
            f"{name}, repetition {repetition + 1}: {measured['test_accuracy']:.2%} after {settings.epochs} "
            f"epochs of {history['seconds'].mean():.2f} s",
            flush=True,
        )
        return measured

    def measure(self, model: nn.Module) -> dict[str, float]:
        """Loss and accuracy on the test images."""
        images, labels = self.examples.test_images, self.examples.test_labels
        device = next(model.parameters()).device
        found = evaluate(
            model, images.to(device), labels.to(device), batch=CONVOLUTION_BATCH,
            precision=self.config["precision"],
        )  # fmt: skip
        return {"test_loss": found.loss, "test_accuracy": found.accuracy}

    def labels(self, repetition: int) -> dict[str, Any]:
        """Columns common to all tables."""
        return {"dataset": self.config["dataset"], "model": self.config["model"], "seed": repetition}
