"""The study of stuck and variable cells, on the weights of a dense spiking network.

Quantisers, maps, mitigations and course are those of `nonideal.regularised`; here is what a spiking
network changes. It starts from the float networks of the study of precision. Every layer is quantised, since
a network with one hidden layer has none between the first and the last. No input of a layer is quantised: it
is spikes, which have one bit, or the image.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from nonideal import rng
from nonideal.regularised import analysis, job, study
from nonideal.spiking import precision

MODEL = "spiking_mlp"


class SpikingRun(job.Run):
    """What all runs of a job share, for spiking networks."""

    @classmethod
    def prepared(
        cls, config: Mapping[str, Any], arrays: str | os.PathLike[str], *, seed: int
    ) -> tuple[Mapping[str, Any], job.Examples]:
        """Settings and data of a job, from section ``spiking`` with its section ``regularised``."""
        tensors, classes = precision.tensors(arrays)
        examples = job.Examples(tensors, tensors.test_images, tensors.test_labels, classes)
        return settings_of(config), examples

    def child(self, repetition: int) -> int:
        """Seed of a repetition."""
        return rng.child_seed(self.seed, "spiking", repetition, "regularised")

    def network(self, repetition: int) -> nn.Module:
        """Untrained network; its weights are those of a float network in the end."""
        return precision.network(
            self.config, self.examples.tensors, self.examples.classes, seed=self.child(repetition)
        )

    def activation_bits(self, bits: int) -> int | None:
        """None: the inputs of a layer are spikes, or the image."""
        return None


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Section ``spiking`` in the form of the section ``regularised``."""
    shared = {key: config[key] for key in ("dataset", "widths", "steps", "batch_size", "threads", "device")}
    fixed = {
        "model": MODEL,
        "layers": "all",
        "augmentation": "none",
        "precision": "float32",
        "quantiser_weight_decay": 0.0,
    }
    return shared | fixed | config["regularised"]


def with_multipliers(
    run: SpikingRun, networks: precision.Networks
) -> tuple[dict[tuple[int, int], job.State], pd.DataFrame]:
    """Train the float networks further with learned multipliers: what faults and variability start from.

    Parameters
    ----------
    run
        The job.
    networks
        Float networks by repetition; the first ``seeds`` of them are used.

    Returns
    -------
    states : dict
        State of each network by width and repetition.
    rows : pandas.DataFrame
        Rows of table ``spiking_regularised``, those of the float networks included.
    """
    floats = {repetition: networks[repetition] for repetition in range(run.config["seeds"])}
    states, rows = {}, []
    for repetition, state in floats.items():
        model = run.network(repetition)
        model.load_state_dict(state)
        row = run.labels(repetition) | {"method": "float", "bits": analysis.FULL_PRECISION}
        rows.append(row | run.measure(model) | {"validation_accuracy": np.nan})
    for bits, repetition, state, row in study.qat(run, floats, "multiplier"):
        states[bits, repetition] = state
        rows.append(row)
    return states, pd.DataFrame(rows)
