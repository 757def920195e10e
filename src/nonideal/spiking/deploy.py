"""One trained format in C: exported, run on this computer, and compared with Python spike by spike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from nonideal.mcu.build import FIRMWARE, host_library
from nonideal.spiking import convert, precision
from nonideal.spiking.export import export
from nonideal.spiking.host import SpikingEngine
from nonideal.spiking.verify import adversarial_inputs, verify

REPETITION = 0  # of the trained networks: one export a format


def run_format(
    config: Mapping[str, Any],
    weight_format: str,
    networks: Mapping[int, Mapping[str, torch.Tensor]],
    data: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    seed: int,
    firmware: Path = FIRMWARE,
) -> pd.DataFrame:
    """Export a trained network and verify the C engine on every test image and on adversarial inputs.

    Parameters
    ----------
    config
        Section ``spiking`` of the configuration the networks were trained with.
    weight_format
        Their format.
    networks
        States by repetition, after training with the quantiser; the first is used.
    data
        Folder of a prepared data set.
    folder
        For ``model.h``, ``model.npz`` and ``model.json``.
    seed
        Of the random inputs verified besides the test set.
    firmware
        Folder of the C sources.

    Returns
    -------
    pandas.DataFrame
        One row of table ``spiking_verified``.

    Raises
    ------
    nonideal.mcu.verify.MismatchError
        If one spike differs.
    """
    examples, classes = precision.tensors(data)
    model = precision.restore(config, weight_format, networks[REPETITION], examples, classes)
    network = convert.to_integers(model, weight_format)
    images = convert.grey_levels(examples.test_images)
    made = export(network, images)
    made.write(folder)
    engine = SpikingEngine(host_library(Path(folder) / "host", firmware=firmware))
    inputs = np.concatenate((images, adversarial_inputs(network, seed=seed)))
    print(f"{weight_format}: verifying every spike of {len(inputs)} inputs", flush=True)
    compared = verify(network, inputs, engine=engine)
    row = {
        "dataset": config["dataset"],
        "format": weight_format,
        "sizes": "-".join(map(str, network.sizes)),
        "steps": network.steps,
        "weight_bytes": made.weight_bytes,
        "test_accuracy": float((network.classify(images) == examples.test_labels.numpy()).mean()),
        "samples": len(inputs),
        "neuron_steps": compared,
    }
    return pd.DataFrame([row])
