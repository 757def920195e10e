"""Experiments on stuck and on variable cells, from networks trained with a float forward pass.

A repetition has its own array: all methods of a repetition meet the same map of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from torch import Tensor, nn

from nonideal import faults, rng, variability
from nonideal.quantize import attach
from nonideal.regularised import networks, study
from nonideal.regularised.job import Run, State


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

    Without faults all modes with a penalty are one, trained once.
    """
    config = run.config["faults"]
    for rate in config["rates"]:
        for mode in faults.MODES if rate else (faults.BY_PENALTY[-1], faults.STRAIGHT_THROUGH):
            for repetition in range(run.config["seeds"]):
                model = study.trained(run, states, bits, repetition)
                maps = fault_maps(run, model, bits, rate, p_stuck1, repetition)
                networks.exchange(
                    model, lambda name, q, maps=maps, mode=mode: faults.FaultyQuantiser(q, maps[name], mode)
                )
                penalised = mode in faults.BY_PENALTY
                found = study.fine_tune(run, model, f"{mode}-{rate}", repetition, config, penalised)
                row = run.labels(repetition) | {
                    "bits": bits,
                    "p_stuck1": float(p_stuck1),
                    "rate": float(rate),
                }
                for named in faults.BY_PENALTY if penalised and not rate else (mode,):
                    yield row | {"mode": named} | found


def stored_maps(
    run: Run, states: Mapping[tuple[int, int], State], bits: int, p_stuck1: float
) -> pd.DataFrame:
    """Map file of the first repetition at the highest rate; the maps of lower rates are parts of it."""
    model = study.trained(run, states, bits, 0)
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
                model = study.trained(run, states, bits, repetition)
                maps = factor_maps(run, model, bits, sigma, repetition)
                networks.exchange(
                    model,
                    lambda name, q, maps=maps: variability.VariableQuantiser(
                        q, maps[name][0], high=maps[name][1]
                    ),
                )
                found = study.fine_tune(
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
