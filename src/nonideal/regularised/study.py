"""Experiments without hardware: networks in full precision, quantised, and fine-tuned.

Every repetition has its own full-precision network, and all methods of a repetition start from it with the
same batches, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from nonideal import tensorfile
from nonideal.regularised import networks
from nonideal.regularised.job import Run, State
from nonideal.regularised.penalty import (
    FLOAT_FORWARD,
    QUANTISER_LR,
    STRAIGHT_THROUGH_LAMBDA,
    Course,
    Penalty,
)


def full_precision(run: Run) -> Iterator[tuple[int, State, dict[str, Any]]]:
    """Train the full-precision network of every repetition: repetition, state, row of table qat."""
    config = run.config["float"]
    for repetition in range(run.config["seeds"]):
        model = run.network(repetition)
        settings = run.settings(config["epochs"], config["learning_rate"])
        found = run.train(model, "float", repetition, settings, decay=config["weight_decay"])
        yield (
            repetition,
            tensorfile.state_of(model),
            run.labels(repetition) | {"method": "float", "bits": 32} | found,
        )


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
    first, last = STRAIGHT_THROUGH_LAMBDA if straight else FLOAT_FORWARD
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
            yield bits, repetition, tensorfile.state_of(model), row


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
    """Train a network for its faults or its variable cells, with the penalty or without."""
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
