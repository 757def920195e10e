"""Networks for the crossbars: trained in full precision, then fine-tuned with the hardware in view."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import nn

from nonideal import rng, training
from nonideal.data import load
from nonideal.models.airbench import Airbench, airbench
from nonideal.models.resnet import resnet8, resnet20, resnet32
from nonideal.pcm import noise_training
from nonideal.schemas.network_history import BESIDE, NETWORKS
from nonideal.training.checkpoint import folder_of
from nonideal.training.evaluation import CONVOLUTION_BATCH, threads_set

ARCHITECTURES = {"airbench": airbench, "resnet8": resnet8, "resnet20": resnet20, "resnet32": resnet32}


def tensors(folder: str | os.PathLike[str], pixels: int) -> tuple[training.Tensors, int]:
    """Prepared data set as tensors of square images of `pixels` a side, and its number of classes."""
    dataset = load(folder)
    return training.prepare(dataset, size=pixels), len(dataset.class_names)


def architecture(config: Mapping[str, Any], channels: int, classes: int, *, seed: int) -> nn.Module:
    """Untrained network of section ``networks`` of the configuration."""
    make = ARCHITECTURES[config["architecture"]]
    generator = rng.torch_stream(seed, "init")
    return make(generator=generator, channels=channels, classes=classes, width=config["width"])


def float_settings(config: Mapping[str, Any]) -> training.Settings:
    """Settings of the training in full precision, from section ``networks``."""
    recipe = config["float"]
    return training.Settings(
        epochs=recipe["epochs"],
        batch_size=recipe["batch_size"],
        optimiser=recipe["optimiser"],
        lr=recipe["learning_rate"],
        nesterov=True,
        weight_decay=recipe["weight_decay"],
        schedule="cosine",
        warmup_epochs=float(recipe["warmup_epochs"]),
        augmentation=recipe["augmentation"],
        cutout=recipe["cutout"],
        still_share=recipe["still_share"],
        sharpness=recipe["sharpness"],
        sharpness_share=recipe["sharpness_share"],
        small_share=recipe["small"]["share"],
        small_pixels=recipe["small"]["pixels"],
        precision=recipe["precision"],
        channels_last=recipe["channels_last"],
        threads=recipe["threads"] or config["threads"],
        device=config["device"],
    )


def averaging_settings(config: Mapping[str, Any]) -> training.Settings | None:
    """Settings of the epochs whose weights are averaged, after training in full precision; None for none."""
    averaging = config["float"]["averaging"]
    if not averaging["epochs"]:
        return None
    return replace(
        float_settings(config),
        epochs=averaging["epochs"],
        lr=averaging["learning_rate"],
        average_decay=averaging["decay"],
        small_share=0.0,
        schedule="constant",
        warmup_epochs=0.0,
    )


def noise_settings(config: Mapping[str, Any]) -> training.Settings:
    """Settings of the fine-tuning (Joshi et al. 2020, Methods); the rest is as in full precision."""
    recipe = config["noise"]
    return replace(
        float_settings(config),
        epochs=recipe["epochs"],
        optimiser="sgd",
        lr=recipe["learning_rate"],
        nesterov=False,
        weight_decay=recipe["weight_decay"],
        small_share=0.0,
        still_share=0.0,
        sharpness=0.0,
        schedule="step",
        step_epochs=recipe["step_epochs"],
        warmup_epochs=0.0,
        threads=config["threads"],
    )


def train_network(
    config: Mapping[str, Any],
    network: str,
    data: str | os.PathLike[str],
    *,
    initial: Mapping[str, torch.Tensor] | None,
    lessons: training.Lessons | None = None,
    seed: int,
    progress: str | os.PathLike[str],
    fingerprint: str,
) -> tuple[dict[str, torch.Tensor], pd.DataFrame]:
    """Train one network.

    Parameters
    ----------
    config
        Section ``networks`` of the configuration.
    network
        One of `NETWORKS` or `BESIDE`; these are trained as ``float``, with a section of their own, see
        `nonideal.sections.other_section` and `nonideal.sections.teacher_section`.
    data
        Folder of a prepared data set.
    initial
        State that those that are continued or fine-tuned start from.
    lessons
        What teachers say of the training images, for a network that is taught.
    seed
        Seed of the run.
    progress
        Folder for the checkpoint; an interrupted call resumes from it, bit for bit.
    fingerprint
        What the checkpoint depends on (code, settings, seed, data); others are discarded.

    Returns
    -------
    state : dict
        State of the trained network, its weights clipped or ternary, without noise.
    history : pandas.DataFrame
        Rows of table ``network_history``.

    Raises
    ------
    ValueError
        If the network is unknown, or its initial state or lessons are missing.
    """
    if network not in (*NETWORKS, *BESIDE):
        raise ValueError(f"network must be one of {', '.join((*NETWORKS, *BESIDE))}, got {network!r}")
    full_precision = network in ("float", *BESIDE)
    examples, classes = tensors(data, config["pixels"])
    child = _child(config, network, seed)
    model = architecture(config, examples.train_images.shape[1], classes, seed=child)
    if isinstance(model, Airbench):
        model.whiten(examples.train_images)
    settings, hooks = float_settings(config), []
    continued = full_precision and "start" in config
    if initial is None and (continued or not full_precision):
        raise ValueError(f"network {network!r} starts from another: give its state")
    if continued:
        model.deepen(initial)
    if not full_precision:
        model.load_state_dict(initial)
        settings = noise_settings(config)
        recipe = config["noise"]
        noisy = noise_training.attach(
            model,
            noise=recipe["noise"],
            clip_sigmas=recipe["clip_sigmas"],
            weights="ternary" if network == "ternary" else "9bit",
        )
        hooks = [noise_training.WeightNoise(noisy, seed=rng.child_seed(child, network))]
    checkpoint = folder_of(progress, fingerprint) / f"{network}.pt"
    distillation = None
    if full_precision and config["float"]["taught"]:
        if lessons is None:
            raise ValueError("this network is taught: give the lessons of its teachers")
        recipe = config["distillation"]
        distillation = training.Distillation(
            lessons, temperature=recipe["temperature"], share=recipe["share"]
        )
    history = training.train(
        model, examples, settings, seed=child, checkpoint=checkpoint, hooks=hooks, distillation=distillation
    )
    averaging = averaging_settings(config) if full_precision else None
    if averaging is not None:
        # Annealing to zero ends at the edge of a wide minimum, the mean of a walk nearer its middle.
        more = training.train(
            model, examples, averaging,
            seed=rng.child_seed(child, "averaging"), checkpoint=checkpoint.with_stem("averaging"),
            distillation=distillation,
        )  # fmt: skip
        history = pd.concat([history, more.assign(epoch=more["epoch"] + len(history))], ignore_index=True)
    state = noise_training.bake(model).state_dict()
    rows = history.assign(
        network=network,
        architecture=config["architecture"] + (f"-w{config['width']}" if network == "teacher" else ""),
        dataset=config["dataset"],
    )
    return {key: value.cpu().contiguous() for key, value in state.items()}, rows


def mirrored_accuracies(
    sections: Sequence[Mapping[str, Any]],
    states: Sequence[Mapping[str, torch.Tensor]],
    data: str | os.PathLike[str],
) -> list[float]:
    """Share of test images classified correctly by the mean over an image and its mirror image.

    As Jordan (arXiv:2404.00498) evaluates; the mean is of probabilities, in float32 on any processor. For
    networks trained on mirror images.

    Parameters
    ----------
    sections
        Section ``networks`` of the configuration, as each network was trained with.
    states
        Of the trained networks.
    data
        Folder of a prepared data set.
    """
    examples, classes = tensors(data, sections[0]["pixels"])
    found = []
    for section, state in zip(sections, states, strict=True):
        settings = float_settings(section)
        model = architecture(section, examples.train_images.shape[1], classes, seed=0)
        model.load_state_dict(state)
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        model.to(memory_format=layout)
        with threads_set(settings.threads):
            said = [
                training.evaluate(
                    model, images.contiguous(memory_format=layout), examples.test_labels,
                    logits=True, batch=CONVOLUTION_BATCH,
                ).logits.softmax(dim=1)
                for images in (examples.test_images, examples.test_images.flip(3))
            ]  # fmt: skip
        found.append((sum(said).argmax(dim=1) == examples.test_labels).double().mean().item())
    return found


def _child(config: Mapping[str, Any], network: str, seed: int) -> int:
    if network == "teacher":
        return rng.child_seed(seed, "networks", "teacher", config["name"])
    # Not the streams of the one that teaches it, or that it is continued from. Those that are fine-tuned with
    # noise do see the images in the order of the float network, and of each other.
    apart = ["taught"] if config["float"]["taught"] else []
    if start := config.get("start"):
        apart += ["continued", *([start] if start != "float" else [])]
    return rng.child_seed(seed, "networks", config["architecture"], *apart)


def teach(
    sections: Sequence[Mapping[str, Any]],
    states: Sequence[Mapping[str, torch.Tensor]],
    data: str | os.PathLike[str],
    *,
    views: int,
    seed: int,
) -> training.Lessons:
    """Ask trained teachers about the training images; their answers are the means of log-probabilities.

    Parameters
    ----------
    sections
        Section ``networks`` of the configuration for each teacher, as `nonideal.sections.teacher_section`
        makes it; for the float network as it is, for others as `nonideal.sections.other_section` makes it.
    states
        Of the trained teachers.
    data
        Folder of a prepared data set.
    views
        Crops of each image.
    seed
        Seed of the run.
    """
    examples, classes = tensors(data, sections[0]["pixels"])
    said = []
    for section, state in zip(sections, states, strict=True):
        model = architecture(section, examples.train_images.shape[1], classes, seed=0)
        model.load_state_dict(state)
        streams = rng.child_seed(seed, "networks", "views")  # the same crops for all teachers
        said.append(training.teach(model, examples, float_settings(section), views=views, seed=streams))
    outputs = torch.stack([lessons.outputs.log_softmax(dim=2) for lessons in said]).mean(dim=0)
    return training.Lessons(said[0].corners, outputs)
