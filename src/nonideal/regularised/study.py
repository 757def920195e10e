"""Experiments: networks in full precision, quantised, on faulty cells and on variable cells.

Every repetition has its own full-precision network, and all methods of a repetition start from it with the
same batches, so that differences are paired. Training sees neither the test images nor, if `holdout` is
above 0, the held-out training images, on which settings are chosen. The last epoch counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from nonideal import data, faults, rng, variability
from nonideal.files import atomic
from nonideal.models.registry import build
from nonideal.preprocessing import Tensors, moments, prepare
from nonideal.quantize import attach
from nonideal.regularised import networks
from nonideal.regularised.penalty import (
    FLOAT_FORWARD,
    QUANTISER_LR,
    STRAIGHT_THROUGH,
    Course,
    Penalty,
)
from nonideal.training import Settings, evaluate, train
from nonideal.training.checkpoint import folder_of

State = dict[str, Tensor]
CONVOLUTION_BATCH = 250  # images of an evaluation; more do not fit a processor's cache


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
    """Prepared data set, normalised by the moments of what is trained on."""
    whole = data.load(folder)
    part = data.hold_out(whole, config["holdout"], seed=seed) if config["holdout"] else whole
    if config["train_images"]:
        part = data.subset(part, train=config["train_images"], seed=seed)
    mean, std = moments(torch.from_numpy(part.train_images))
    settings = {"size": whole.train_images.shape[-1], "mean": mean, "std": std}
    full = (
        part if part is whole else replace(part, test_images=whole.test_images, test_labels=whole.test_labels)
    )
    last = prepare(full, **settings)
    return Examples(prepare(part, **settings), last.test_images, last.test_labels, len(whole.class_names))


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
                quantiser_decay=self.config["quantiser_weight_decay"],
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


def start(
    config: Mapping[str, Any],
    arrays: str | os.PathLike[str],
    *,
    seed: int,
    progress: str | os.PathLike[str],
    fingerprint: str,
) -> Run:
    """Open a job.

    Parameters
    ----------
    config
        Section ``regularised`` of the configuration.
    arrays
        Prepared data set.
    seed
        Seed of the workflow's run.
    progress
        Folder for checkpoints; an interrupted job resumes from them, bit for bit.
    fingerprint
        What the checkpoints depend on (code, settings, seed, data); others are discarded.
    """
    return Run(config, examples(config, arrays, seed=seed), seed, folder_of(progress, fingerprint))


def save(states: Mapping[Any, State], path: str | os.PathLike[str]) -> None:
    """Write the states of several networks into one file."""
    with atomic(path) as temporary:
        torch.save(dict(states), temporary)


def load(path: str | os.PathLike[str]) -> dict[Any, State]:
    """Read what `save` wrote; no code in the file is executed."""
    return torch.load(path, map_location="cpu", weights_only=True)


def state_of(model: nn.Module) -> State:
    """State on the CPU."""
    return {key: value.cpu() for key, value in model.state_dict().items()}


def full_precision(run: Run) -> Iterator[tuple[int, State, dict[str, Any]]]:
    """Train the full-precision network of every repetition: repetition, state, row of table qat."""
    config = run.config["float"]
    for repetition in range(run.config["seeds"]):
        model = run.network(repetition)
        settings = run.settings(config["epochs"], config["learning_rate"])
        found = run.train(model, "float", repetition, settings, decay=config["weight_decay"])
        yield repetition, state_of(model), run.labels(repetition) | {"method": "float", "bits": 32} | found


def quantised(run: Run, repetition: int, method: str, bits: int, state: State | None = None) -> nn.Module:
    """Network of a repetition with its quantisers; `state` is that of a full-precision network."""
    model = run.network(repetition)
    if state is not None:
        model.load_state_dict(state)
    return networks.quantise(
        model, method, bits, activation_bits=run.activation_bits(bits), policy=run.config["layers"]
    )


def qat(
    run: Run, floats: Mapping[int, State], method: str
) -> Iterator[tuple[int, int, State, dict[str, Any]]]:
    """Quantisation-aware training of one method at every width.

    Yields
    ------
    tuple
        Width, repetition, state, row of table ``regularised_qat``.
    """
    config = run.config["qat"]
    straight = networks.METHODS[method][1]
    first, last = STRAIGHT_THROUGH if straight else FLOAT_FORWARD
    for bits in config["bits"]:
        for repetition, state in floats.items():
            model = quantised(run, repetition, method, bits, state)
            settings = run.settings(config["epochs"], config["learning_rate"])
            penalty = Penalty(Course(first, last, settings.epochs, config["ramp"]), run.config["alpha"])
            found = run.train(
                model,
                f"{method}-{bits}",
                repetition,
                settings,
                regulariser=None if method == "lsq" else penalty,
                quantiser_lr=QUANTISER_LR[straight] * config["quantiser_lr_factor"],
            )
            row = run.labels(repetition) | {"method": method, "bits": bits} | found
            yield bits, repetition, state_of(model), row


def trained(
    run: Run,
    states: Mapping[tuple[int, int], State],
    bits: int,
    repetition: int,
    method: str = "multiplier",
) -> nn.Module:
    """Network that faults and variability start from, trained with a float forward pass."""
    model = quantised(run, repetition, method, bits)
    model.load_state_dict(states[bits, repetition])
    return model


def fine_tune(
    run: Run,
    model: nn.Module,
    name: str,
    repetition: int,
    config: Mapping[str, Any],
    regularised: bool = True,
) -> dict[str, float]:
    """Train a network for its faults or its variable cells, with the penalty or with remaps alone."""
    settings = run.settings(config["epochs"], config["learning_rate"])
    first, last = FLOAT_FORWARD if regularised else (0.0, 0.0)
    return run.train(
        model,
        name,
        repetition,
        settings,
        regulariser=Penalty(Course(first, last, settings.epochs, config["ramp"]), run.config["alpha"]),
        quantiser_lr=QUANTISER_LR[False] * run.config["qat"]["quantiser_lr_factor"],
        hooks=(networks.Remap(config["remap_epochs"]),),
    )


def fault_maps(
    run: Run, model: nn.Module, bits: int, rate: float, p_stuck1: float, repetition: int
) -> dict[str, faults.FaultMap]:
    """Fault map of every layer of a repetition's array."""
    return {
        name: faults.draw(shape, bits, rate, p_stuck1=p_stuck1, seed=run.child(repetition), layer=name)
        for name, shape in networks.shapes(model).items()
    }


def with_faults(
    run: Run, states: Mapping[tuple[int, int], State], bits: int, p_stuck1: float
) -> Iterator[dict[str, Any]]:
    """Fault-aware training of every mode and rate: rows of table ``regularised_faults``.

    Without faults all modes are one, trained once.
    """
    config = run.config["faults"]
    for rate in config["rates"]:
        for mode in faults.MODES if rate else faults.MODES[-1:]:
            for repetition in range(run.config["seeds"]):
                model = trained(run, states, bits, repetition)
                maps = fault_maps(run, model, bits, rate, p_stuck1, repetition)
                networks.exchange(
                    model, lambda name, q, maps=maps, mode=mode: faults.FaultyQuantiser(q, maps[name], mode)
                )
                found = fine_tune(run, model, f"{mode}-{rate}", repetition, config)
                row = run.labels(repetition) | {
                    "bits": bits,
                    "p_stuck1": float(p_stuck1),
                    "rate": float(rate),
                }
                for named in (mode,) if rate else faults.MODES:
                    yield row | {"mode": named} | found


def stored_maps(
    run: Run, states: Mapping[tuple[int, int], State], bits: int, p_stuck1: float
) -> pd.DataFrame:
    """Map file of the first repetition at the highest rate; the maps of lower rates are parts of it."""
    model = trained(run, states, bits, 0)
    return faults.to_frame(fault_maps(run, model, bits, max(run.config["faults"]["rates"]), p_stuck1, 0))


def factor_maps(
    run: Run, model: nn.Module, bits: int, sigma: float, repetition: int, *, unseen: bool = False
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Low- and high-state factors of every layer of a repetition's chip, or of one it never saw."""
    config = run.config["variability"]
    seed = rng.child_seed(run.child(repetition), "unseen") if unseen else run.child(repetition)
    states = ("low", "high") if config["high_state"] else ("low",)
    maps = {}
    for name, shape in networks.shapes(model).items():
        drawn = [
            variability.draw(
                shape, bits, sigma, seed=seed, layer=name, distribution=config["distribution"], state=state
            )
            for state in states
        ]
        maps[name] = (drawn[0], drawn[1] if config["high_state"] else None)
    return maps


def with_variability(
    run: Run, states: Mapping[tuple[int, int], State], method: str
) -> Iterator[dict[str, Any]]:
    """Variability-aware training of one method at every sigma: rows of table ``regularised_variability``."""
    config = run.config["variability"]
    for bits in config["bits"]:
        for sigma in config["sigmas"]:
            for repetition in range(run.config["seeds"]):
                model = trained(run, states, bits, repetition)
                maps = factor_maps(run, model, bits, sigma, repetition)
                networks.exchange(
                    model,
                    lambda name, q, maps=maps: variability.VariableQuantiser(
                        q, maps[name][0], high=maps[name][1]
                    ),
                )
                found = fine_tune(
                    run, model, f"{method}-{bits}-{sigma}", repetition, config, method == "regularised"
                )
                row = run.labels(repetition) | {"bits": bits, "sigma": float(sigma)}
                yield row | {"method": method} | found
                if method == "regularised":
                    other = factor_maps(run, model, bits, sigma, repetition, unseen=True)
                    moved = run.measure(on_other_chip(model, other))
                    yield row | {"method": "unseen_map", "validation_accuracy": None} | moved


def on_other_chip(model: nn.Module, maps: Mapping[str, tuple[Tensor, Tensor | None]]) -> nn.Module:
    """Network whose codes, chosen for one chip, were written to another."""
    weights, quantisers = attach.original(model), attach.attached(model)
    held = {}
    for name, (low, high) in maps.items():
        quantiser, device = quantisers[name], weights[name].device
        codes = quantiser.encode(weights[name].detach())
        held[name] = quantiser.held(codes, low.to(device), None if high is None else high.to(device))
    return networks.with_weights(model, held)
