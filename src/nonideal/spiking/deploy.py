"""Trained formats in C: exported, run on this computer, and compared with Python spike by spike."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from nonideal.mcu.build import host_library
from nonideal.spiking import convert, precision
from nonideal.spiking.export import export
from nonideal.spiking.host import SpikingEngine
from nonideal.spiking.verify import adversarial_inputs, verify

REPETITION = 0  # of the trained networks: one export a format


def run_formats(
    config: Mapping[str, Any],
    networks: Mapping[str, Mapping[int, Mapping[str, torch.Tensor]]],
    data: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    seed: int,
) -> pd.DataFrame:
    """Export a trained network of every format, and verify the C engine on every test and adversarial input.

    Parameters
    ----------
    config
        Section ``spiking`` of the configuration the networks were trained with.
    networks
        By format and repetition, states after training with the quantiser; the first repetition is used.
    data
        Folder of a prepared data set.
    folder
        For ``model.h``, ``model.npz`` and ``model.json`` of every format, in ``<format>/c``.
    seed
        Of the random inputs verified besides the test set.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``spiking_verified``, one a format.

    Raises
    ------
    nonideal.mcu.verify.MismatchError
        If one spike differs.
    """
    examples, classes = precision.tensors(data)
    images = convert.grey_levels(examples.test_images)
    rows = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        engine = SpikingEngine(host_library(scratch))
        for weight_format, trained in networks.items():
            model = precision.restore(config, weight_format, trained[REPETITION], examples, classes)
            network = convert.to_integers(model, weight_format)
            made = export(network, images)
            made.write(Path(folder) / weight_format / "c")
            inputs = np.concatenate((images, adversarial_inputs(network, seed=seed)))
            print(f"{weight_format}: verifying every spike of {len(inputs)} inputs", flush=True)
            rows.append(
                {
                    "dataset": config["dataset"],
                    "format": weight_format,
                    "sizes": "-".join(map(str, network.sizes)),
                    "steps": network.steps,
                    "weight_bytes": made.weight_bytes,
                    "test_accuracy": float((network.classify(images) == examples.test_labels.numpy()).mean()),
                    "samples": len(inputs),
                    "neuron_steps": verify(network, inputs, engine=engine),
                }
            )
    return pd.DataFrame(rows)
