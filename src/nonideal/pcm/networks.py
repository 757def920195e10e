"""Monte Carlo of networks on phase-change memory over a year (Le Gallo et al. 2022, Figs 5a and 5c).

A chip is programmed once for every configuration and read at every time. All configurations, times and
networks meet the same devices of chip k and the same test images, so that their differences are paired;
chip k is the same in any shard.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from nonideal import rng
from nonideal.pcm import network_training
from nonideal.pcm.deploy import deploy, logit_error, quantised
from nonideal.pcm.deployed import DeployedNetwork
from nonideal.pcm.device import T0_S
from nonideal.pcm.hardware import Hardware
from nonideal.training import evaluate
from nonideal.training.evaluation import CONVOLUTION_BATCH, device_of, threads_set

MONTH_S = 30 * 24 * 3600.0
"""One month of 30 days, seconds: the second time of Fig. 5c."""

FIVE = (("equal_fill", 1), ("max_fill", 1), ("max_fill_ec", 1), ("max_fill", 2), ("max_fill_ec", 2))
"""Mappings and bases of Fig. 5c."""

CONVERTERS = ("dac_bits", "adc_bits", "converter_quantile")
"""Keys of section ``networks.deployment`` that describe converters."""

GROUP = 5  # chips programmed at once; bounds memory


@dataclass(frozen=True)
class Plan:
    """One configuration, the times it is read at, in seconds, and the layers that stay digital."""

    mapping: str
    base: int
    n_slices: int
    times_s: tuple[float, ...]
    digital: tuple[str, ...] = ()


@dataclass(frozen=True)
class Images:
    """Test images that every chip classifies, their labels, and the calibration batch."""

    test: Tensor
    labels: Tensor
    calibration: Tensor


def plans(settings: Mapping[str, Any], network: str) -> tuple[Plan, ...]:
    """Configurations of one network, from section ``networks.deployment`` of the configuration.

    With one slice all mappings are the same, so that only max-fill is simulated there. All times are read
    where Fig. 5a or a crossover needs them: max-fill at base 1, and the largest number of slices.
    """
    slices = sorted(settings["n_slices"])
    every = times(settings)
    fewer = (T0_S, MONTH_S)
    if network != "noise_aware":
        shown = [("max_fill", n) for n in sorted({slices[0], slices[-1]})]
        shown += [("equal_fill", slices[-1])] if network == "ternary" else []
        return tuple(Plan(mapping, 1, n, every) for mapping, n in shown)
    found = []
    for n in slices:
        for mapping, base in FIVE if n > 1 else [("max_fill", 1)]:
            full = n == slices[-1] or (mapping, base) == ("max_fill", 1)
            found.append(Plan(mapping, base, n, every if full else fewer))
    return tuple(found)


def times(settings: Mapping[str, Any]) -> tuple[float, ...]:
    """Log-spaced times from t0 on, and one month, in seconds."""
    spaced = np.geomspace(T0_S, settings["last_s"], settings["points"]).tolist()
    return tuple(sorted({T0_S, MONTH_S, *spaced}))


def choose_images(config: Mapping[str, Any], data: str, *, seed: int) -> tuple[Images, int, int]:
    """Draw the test images and the calibration batch; also channels and classes of the data set."""
    examples, classes = network_training.tensors(data, config["pixels"])
    settings = config["deployment"]
    test = rng.stream(seed, "networks", "test images").permutation(len(examples.test_labels))
    train = rng.stream(seed, "networks", "calibration images").permutation(len(examples.train_labels))
    chosen = torch.from_numpy(np.sort(test[: settings["images"]]))
    calibration = examples.train_images[torch.from_numpy(train[: settings["calibration_images"]])]
    images = Images(examples.test_images[chosen], examples.test_labels[chosen], calibration)
    return images, examples.train_images.shape[1], classes


def restore(config: Mapping[str, Any], state: Mapping[str, Tensor], channels: int, classes: int) -> nn.Module:
    """Trained network from its state, in evaluation mode, on the device of the configuration."""
    model = network_training.architecture(config, channels, classes, seed=0)
    model.load_state_dict(state)
    return model.eval().to(device_of(config["device"]))


def simulate(
    model: nn.Module,
    plan: Plan,
    chips: Sequence[int],
    images: Images,
    reference: Tensor,
    *,
    seed: int,
    hardware: Hardware,
) -> Iterator[dict[str, Any]]:
    """Program some chips and read them at every time of the plan.

    Parameters
    ----------
    model
        Trained network.
    plan
        Configuration and times.
    chips
        Numbers of the chips.
    images
        What the chips classify.
    reference
        Logits of the quantised network, (images, classes).
    seed, hardware
        See `deploy.deploy`.

    Yields
    ------
    dict
        One row for each chip and time: time_s, chip, accuracy, logit_error.
    """
    network: DeployedNetwork = deploy(
        model, plan.mapping, plan.base, plan.n_slices, chips,
        seed=seed, calibration=images.calibration, hardware=hardware, digital=plan.digital,
    )  # fmt: skip
    for t in plan.times_s:
        logits = network(images.test, t=t)
        right = (logits.argmax(dim=2) == images.labels).double().mean(dim=1).tolist()
        errors = logit_error(logits, reference).tolist()
        for chip, accuracy, error in zip(chips, right, errors, strict=True):
            yield {"time_s": t, "chip": chip, "accuracy": accuracy, "logit_error": error}


def run(
    config: Mapping[str, Any],
    network: str,
    state: Mapping[str, Tensor],
    data: str,
    chips: range,
    *,
    seed: int,
) -> pd.DataFrame:
    """Simulate some chips of one network in all its configurations.

    Parameters
    ----------
    config
        Section ``networks`` of the configuration.
    network
        One of `network_training.NETWORKS`.
    state
        Its trained state.
    data
        Folder of a prepared data set.
    chips
        Numbers of the chips.
    seed
        Seed of the run.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``network_chips``.
    """
    with threads_set(config["threads"]):
        images, channels, classes = choose_images(config, data, seed=seed)
        model = restore(config, state, channels, classes)
        images = on_device(images, config)
        reference = reference_logits(model, images)
        hardware = converters_of(config["deployment"])
        rows = []
        with tqdm(total=len(chips) * len(plans(config["deployment"], network)), unit="chip") as bar:
            for first in range(chips.start, chips.stop, GROUP):
                group = range(first, min(first + GROUP, chips.stop))
                for plan in plans(config["deployment"], network):
                    named = {"mapping": plan.mapping, "base": plan.base, "n_slices": plan.n_slices}
                    found = simulate(model, plan, group, images, reference, seed=seed, hardware=hardware)
                    rows += [{"network": network} | named | row for row in found]
                    bar.update(len(group))
    return pd.DataFrame(rows)


def on_device(images: Images, config: Mapping[str, Any]) -> Images:
    """Images where networks are restored to."""
    device = device_of(config["device"])
    return Images(*(part.to(device) for part in (images.test, images.labels, images.calibration)))


def converters_of(settings: Mapping[str, Any]) -> Hardware:
    """Hardware of the published crossbar runs with the converters of section ``networks.deployment``."""
    return Hardware(**{key: settings[key] for key in CONVERTERS})


def reference_logits(model: nn.Module, images: Images, digital: Collection[str] = ()) -> Tensor:
    """Logits of the quantised network without any hardware error, (images, classes)."""
    copied = quantised(model, digital=digital)
    return evaluate(copied, images.test, images.labels, logits=True, batch=CONVOLUTION_BATCH).logits


def references(
    config: Mapping[str, Any], states: Mapping[str, Mapping[str, Tensor]], data: str, *, seed: int
) -> pd.DataFrame:
    """Accuracy of the networks before they meet the hardware: rows of table ``network_references``."""
    with threads_set(config["threads"]):
        images, channels, classes = choose_images(config, data, seed=seed)
        everything, _ = network_training.tensors(data, config["pixels"])
        rows = []
        for network, state in states.items():
            model = restore(config | {"device": "cpu"}, state, channels, classes)
            parts = {
                "accuracy": (model, images.test, images.labels),
                "accuracy_quantised": (quantised(model), images.test, images.labels),
                "accuracy_all_images": (model, everything.test_images, everything.test_labels),
            }
            row = {key: evaluate(*part, batch=CONVOLUTION_BATCH).accuracy for key, part in parts.items()}
            counts = {"images": len(images.labels), "all_images": len(everything.test_labels)}
            rows.append({"network": network, "dataset": config["dataset"]} | row | counts)
    return pd.DataFrame(rows)
