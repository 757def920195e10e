"""Stuck bits in a microcontroller's flash: networks that know them and networks that do not.

Every repetition of a trained format is written to a flash with stuck bits of its own, in up to seven ways:

==================  =====================================================  =====================
method              what is written                                        trained for the map
==================  =====================================================  =====================
``unaware``         the code of every weight; the faults then act          no
``nearest``         the nearest level that the weight's bits can hold      no
``basic``           the code of every weight; the faults then act          by penalty
``passive``         as ``nearest``                                         by penalty
``active``          as ``basic``                                           by penalty
``active+passive``  as ``nearest``                                         by penalty
``trained``         as ``nearest``                                         straight through
==================  =====================================================  =====================

Training by penalty is that of `nonideal.faults`: float weights in the forward pass, a penalty that draws them
to levels (all of them, or those within reach), and remaps. ``trained`` goes on as the format was trained, but
computes with what the flash holds. All start from what the flash holds of the network; the levels of the
format and their scale stay as they were.

What is measured is the integer network that the flash holds: the export is written, the stuck bits act on its
packed words, the words are read back. A job fails if one weight differs from what training saw, or if the C
engine, given the damaged words, differs in one logit of one test image from the Python integers.

Only weights are damaged. The engine's table of row sums is that of the weights as the flash holds them: a
program is built after its flash was tested.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from nonideal import faults, recipe, rng, training
from nonideal.mcu import build, flash, host, limits
from nonideal.mcu.export import Export, export
from nonideal.mcu.integer import IntegerLayer, IntegerNetwork, from_model, quantise_images
from nonideal.mcu.verify import MismatchError, compare
from nonideal.quantize import attach
from nonideal.regularised.networks import Remap
from nonideal.regularised.penalty import FLOAT_FORWARD, Course, Penalty
from nonideal.training.checkpoint import folder_of

# What a method writes, as a mode of `nonideal.faults`.
UNTRAINED = {"unaware": "basic", "nearest": "passive"}
PENALISED = {"optimiser": "sgd", "weight_decay": 0}  # differs from the recipe of the format


@dataclass(frozen=True)
class Job:
    """One format and kernel.

    Parameters
    ----------
    config
        Section ``training`` of the configuration, with section ``flash`` under that key.
    weight_format, kernel
        What the bits of a stored code mean.
    examples
        Data set.
    engine
        The C engine on this computer.
    seed
        Of the workflow's run.
    folder
        Of the checkpoints.
    """

    config: Mapping[str, Any]
    weight_format: str
    kernel: str
    examples: training.Tensors
    engine: host.HostEngine
    seed: int
    folder: Path

    def export(self, network: IntegerNetwork) -> Export:
        """Network in the form that is written to flash."""
        return export(network, self.examples.test_images, kernel=self.kernel)


def start(
    config: Mapping[str, Any],
    weight_format: str,
    kernel: str,
    data: str | os.PathLike[str],
    *,
    seed: int,
    progress: str | os.PathLike[str],
    fingerprint: str,
) -> Job:
    """Open a job; parameters as for `Job`, `data` is the folder of a prepared data set.

    An interrupted job resumes from the checkpoints in `progress`, bit for bit; those of another fingerprint
    (code, settings, seed, data) are discarded.
    """
    folder = folder_of(progress, fingerprint)
    examples, _ = recipe.tensors(data, fine=config["augment_fine"])
    engine = host.HostEngine(build.host_library(folder))
    return Job(config, weight_format, kernel, examples, engine, seed, folder)


def stuck_bits(job: Job, network: IntegerNetwork, rate: float, repetition: int) -> faults.FaultMap:
    """Stuck bits of a repetition's flash, masks [bytes]; nested in the rate."""
    size = flash.starts(job.export(network).packed)[-1]
    child = rng.child_seed(job.seed, "flash", repetition)
    return flash.draw(size, rate, p_stuck1=job.config["flash"]["p_stuck1"], seed=child)


def with_faults(job: Job, model: nn.Module, maps: list[faults.FaultMap], method: str) -> nn.Module:
    """Put quantisers that know the stuck bits on a network trained on the format, in place.

    The layers' own grid, and its scale, go over to the quantisers.
    """
    place = iter(maps)
    mode = UNTRAINED.get(method, method)

    def make(name: str, layer: nn.Module) -> flash.FaultyFormat:  # numpydoc ignore=GL08
        made = flash.FaultyFormat(job.weight_format, job.kernel, layer.scale, next(place), mode)
        layer.set_format("float")
        return made

    attach.attach(model, make)
    return model


def written(job: Job, model: nn.Module, *, sound: bool = False) -> IntegerNetwork:
    """Integers that are written to flash; `sound`: those that would be, were no bit stuck."""
    layers, weights = [], attach.original(model)
    for name, quantiser in attach.attached(model).items():
        aware = quantiser.fault_mode in faults.AWARE and not sound
        encode = quantiser.encode_attainable if aware else quantiser.encode
        levels = quantiser.integers(encode(weights[name].detach()))
        layers.append(IntegerLayer(job.weight_format, levels.cpu().numpy(), float(quantiser.scale)))
    return IntegerNetwork(tuple(layers))


def measure(job: Job, model: nn.Module, stuck: faults.FaultMap) -> dict[str, Any]:
    """Write a network to flash, read it back and classify the test images.

    Raises
    ------
    MismatchError
        If the flash holds another weight than training saw, or C and Python differ in one logit.
    """
    images, labels = quantise_images(job.examples.test_images), job.examples.test_labels.numpy()
    made, sound = job.export(written(job, model)), written(job, model, sound=True)
    words, held = flash.damage(made, stuck)
    limits.check_engine(held, job.kernel)
    weights = attach.original(model)
    for layer, (name, quantiser) in zip(held.layers, attach.attached(model).items(), strict=True):
        seen = quantiser.integers(quantiser.written(weights[name].detach())).cpu().numpy()
        if not np.array_equal(layer.weights, seen):
            count = int((layer.weights != seen).sum())
            raise MismatchError(f"{name}: {count} of {seen.size} weights in flash are not those trained for")
    logits = held.logits(images)
    found, _ = job.engine.infer(held, images, kernel=job.kernel, packed=words)
    compare(f"host C, {job.kernel} kernel, damaged flash, logits", found, logits)
    pairs = zip(sound.layers, held.layers, strict=True)
    changed = sum(int((a.weights != b.weights).sum()) for a, b in pairs)
    size = sum(packed.words.nbytes for packed in made.packed)
    return {
        "sound_accuracy": float((sound.classify(images) == labels).mean()),
        "test_accuracy": float((logits.argmax(axis=1) == labels).mean()),
        "changed_weights": changed / sum(layer.weights.size for layer in held.layers),
        "weight_bytes": size,
        "verified_images": len(images),
    }


def fine_tune(job: Job, model: nn.Module, method: str, rate: float, repetition: int) -> None:
    """Train a network with stuck bits, in place, from what the flash holds of it."""
    config = job.config["flash"]
    if method == faults.STRAIGHT_THROUGH:  # the format's own recipe, its learning rate too
        tuned = job.config | {"epochs": config["epochs"]}
    else:
        tuned = recipe.variant(job.config, config, **PENALISED)
    settings = recipe.settings_of(tuned)
    with torch.no_grad():
        weights = attach.original(model)
        for layer, quantiser in attach.attached(model).items():
            weights[layer].copy_(quantiser.quantise(weights[layer]))
    penalty = None
    if method in faults.BY_PENALTY:
        penalty = Penalty(Course(*FLOAT_FORWARD, settings.epochs, config["ramp"]))
        penalty.check(model, settings)
    history = training.train(
        model,
        job.examples,
        settings,
        seed=rng.child_seed(job.seed, "flash", repetition),
        checkpoint=job.folder / f"{method}-{rate}-{repetition}.pt",
        regulariser=penalty,
        hooks=() if penalty is None else (Remap(config["remap_epochs"]),),
        progress=False,
    )
    model.cpu()
    print(
        f"{method}, {100 * rate:g} % stuck, repetition {repetition + 1}: "
        f"{history['seconds'].mean():.2f} s an epoch",
        flush=True,
    )


def run(job: Job, networks: Mapping[int, Mapping[str, torch.Tensor]]) -> Iterator[dict[str, Any]]:
    """Every method, rate and repetition: rows of table ``flash_faults``.

    Without faults methods that train alike are one, trained once.

    Parameters
    ----------
    job
        Format and kernel.
    networks
        States of the trained networks by repetition, from `nonideal.tensorfile.load_networks`.
    """
    config = job.config["flash"]
    for repetition, state in networks.items():
        for rate in config["rates"]:
            done: dict[str, dict[str, Any]] = {}
            for method in (*UNTRAINED, *config["modes"]):
                kind = method if rate else training_of(method)
                if kind not in done:
                    model = recipe.restore(job.config, job.weight_format, state)
                    network = from_model(model)
                    stuck = stuck_bits(job, network, rate, repetition)
                    model = with_faults(job, model, flash.cells(job.export(network), stuck), method)
                    if method not in UNTRAINED:
                        fine_tune(job, model, method, rate, repetition)
                    done[kind] = measure(job, model, stuck)
                yield labels(job, method, rate, repetition) | done[kind]


def training_of(method: str) -> str:
    """How a method trains, which is all that tells methods apart on a sound flash."""
    if method in UNTRAINED:
        return "none"
    return "penalty" if method in faults.BY_PENALTY else "straight through"


def stored_map(job: Job, networks: Mapping[int, Mapping[str, torch.Tensor]]) -> pd.DataFrame:
    """Map file of the first repetition's flash at the highest rate; maps of lower rates are parts of it."""
    repetition = min(networks)
    model = recipe.restore(job.config, job.weight_format, networks[repetition])
    network = from_model(model)
    stuck = stuck_bits(job, network, max(job.config["flash"]["rates"]), repetition)
    names = [name for name, layer in model.named_modules() if attach.weighted(name, layer)]
    return faults.to_frame(dict(zip(names, flash.cells(job.export(network), stuck), strict=True)))


def labels(job: Job, method: str, rate: float, repetition: int) -> dict[str, Any]:
    """Columns that name a network."""
    return {
        "dataset": job.config["dataset"],
        "format": job.weight_format,
        "kernel": job.kernel,
        "method": method,
        "p_stuck1": float(job.config["flash"]["p_stuck1"]),
        "rate": float(rate),
        "seed": repetition,
    }
