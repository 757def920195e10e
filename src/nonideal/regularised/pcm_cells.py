"""Multipliers on phase-change memory: a device a bit, whose deviations come from the device model.

The chip's cells are measured at t0, and the network is fitted to them as in the study of variability
(`nonideal.variability`). Read noise, and a drift that differs from device to device, come later and are
known to nobody. Compared are levels of fixed powers of two and learned multipliers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from nonideal import variability
from nonideal.pcm.device import T0_S
from nonideal.regularised import cell_study, job, networks, study

LEVELS = ("fixed", "multiplier")  # methods of quantisation-aware training that the networks come from
METHODS = (*variability.UNTRAINED, *variability.METHODS)


def cells(
    run: job.Run, model: nn.Module, bits: int, time_s: float, repetition: int, *, read: bool = True
) -> dict[str, Tensor]:
    """Factors of every layer's cells on a repetition's chip at a time."""
    seed = run.child(repetition)
    return {
        name: variability.draw_pcm(shape, bits, time_s, seed=seed, layer=name, read=read)
        for name, shape in networks.shapes(model).items()
    }


def fitted(
    run: job.Run,
    states: Mapping[tuple[int, int], job.State],
    levels: str,
    method: str,
    bits: int,
    repetition: int,
) -> nn.Module:
    """Network of a repetition after its method; its quantisers say which codes are written."""
    model = study.trained(run, states, bits, repetition, levels)
    if method == "unaware":
        ideal = {name: variability.ideal(shape, bits) for name, shape in networks.shapes(model).items()}
        return networks.exchange(model, lambda name, q: variability.VariableQuantiser(q, ideal[name])).eval()
    measured = cells(run, model, bits, T0_S, repetition, read=False)
    networks.exchange(model, lambda name, q: variability.VariableQuantiser(q, measured[name]))
    if method in variability.METHODS:
        config = run.config["pcm"]
        study.fine_tune(run, model, f"{method}-{bits}", repetition, config, method == "regularised")
    return model.eval()


def with_pcm(
    run: job.Run, states: Mapping[tuple[int, int], job.State], levels: str
) -> Iterator[dict[str, Any]]:
    """Every method and time for one kind of levels: rows of table ``regularised_pcm``.

    Parameters
    ----------
    run
        Job.
    states
        Networks trained with these levels, by width and repetition.
    levels
        One of `LEVELS`.
    """
    config = run.config["pcm"]
    for bits in config["bits"]:
        for repetition in range(run.config["seeds"]):
            for method in METHODS:
                model = fitted(run, states, levels, method, bits, repetition)
                for time_s in config["times_s"]:
                    now = cells(run, model, bits, time_s, repetition)
                    held = cell_study.on_other_chip(model, {name: (low, None) for name, low in now.items()})
                    row = run.labels(repetition) | {"levels": levels, "method": method, "bits": bits}
                    yield row | {"time_s": float(time_s)} | run.measure(held)
