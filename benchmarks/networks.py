"""Time many chips of a deployed network against the obvious loop.

Run `python benchmarks/networks.py [--architecture NAME] [--chips N] [--images N] [--output PATH]`. Every case
classifies the same images of 3 x 32 x 32 values on the same chips, in turn in one process on one thread; rows
give chips times images per second and the ratio to the obvious loop: one copy of the model a chip, all images
in one batch. The cases differ in the size of the steps, the order of the channels, where batch normalisation
is applied, the precision of the products, and in whether all chips run in one call (grouped convolutions).
"products alone" takes the convolutions and matrix products of the deployed network and nothing else, each on
the same memory again and again: what is left to gain without faster products. The last case has converters:
it takes a product a slice, and its deviation is what they do to the logits.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from nonideal import files
from nonideal.models import build
from nonideal.pcm.deploy import deploy
from nonideal.pcm.deployed import Snapshot
from nonideal.pcm.hardware import Hardware
from nonideal.rng import torch_stream

STEP = 32  # images
TARGET = 3.0  # ratio to the obvious loop
REPEATS = 2  # the faster one counts
SLICES = 8
BITS = 8  # of converters, which read every slice by itself


def copies(model: nn.Module, weights: dict[str, Tensor], chips: int) -> list[nn.Module]:
    """One model a chip, with that chip's weights."""
    found = []
    for chip in range(chips):
        one = copy.deepcopy(model).eval()
        one.load_state_dict({name: value[chip] for name, value in weights.items()}, strict=False)
        found.append(one)
    return found


@torch.inference_mode()
def loop(models: list[nn.Module], images: Tensor, step: int) -> Tensor:
    return torch.stack([torch.cat([model(part) for part in images.split(step)]) for model in models])


@torch.inference_mode()
def half(snapshot: Snapshot, images: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return snapshot(images)


def products(model: nn.Module, images: Tensor) -> Callable[[], None]:
    """One step's convolutions and matrix products, on the inputs they meet and nothing between them."""
    met: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda module, given, _: met.append((module, given[0])))
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.inference_mode():
        model(images)
    for hook in hooks:
        hook.remove()

    def run() -> None:
        for module, given in met:
            module(given)

    return run


@torch.inference_mode()
def repeated(run: Callable[[], None], count: int) -> None:
    for _ in range(count):
        run()


def timed(run: Callable[[], Tensor | None]) -> tuple[float, Tensor | None]:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        logits = run()
        seconds.append(time.perf_counter() - start)
    return min(seconds), None if logits is None else logits.float()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architecture", default="resnet8")
    parser.add_argument("--chips", type=int, default=8)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = build(arguments.architecture, generator=torch_stream(0, "init")).eval()
    images = torch.randn(arguments.images, 3, 32, 32, generator=torch_stream(0, "images"))
    start = time.perf_counter()
    network = deploy(model, "max_fill", 1, SLICES, arguments.chips, seed=0, calibration=images[:16])
    programming = time.perf_counter() - start
    snapshot = network.at(20.0)
    start = time.perf_counter()
    snapshot = network.at(3600.0)
    reading = time.perf_counter() - start
    hardware = Hardware(dac_bits=BITS, adc_bits=BITS)
    converted = deploy(
        model, "max_fill", 1, SLICES, arguments.chips, seed=0, calibration=images[:16], hardware=hardware
    ).at(3600.0)
    # The models of the loop apply normalisation themselves, so it is taken out of the weights.
    weights = {}
    for name, value in snapshot.weights.items():
        scale = network.layers[name.removesuffix(".weight")].affine.scale
        weights[name] = value / scale.view(1, -1, *[1] * (value.ndim - 2))
    models = copies(model, weights, arguments.chips)
    last = [one.to(memory_format=torch.channels_last) for one in copies(model, weights, arguments.chips)]
    turned = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        cases = {
            "obvious loop": lambda: loop(models, images, len(images)),
            "obvious loop, small steps": lambda: loop(models, images, STEP),
            "obvious loop, small steps, channels last": lambda: loop(last, turned, STEP),
            "all chips in one call": lambda: snapshot._batched(images, STEP),
            "deployed network": lambda: snapshot(images),
            "products alone": lambda: repeated(
                products(last[0], turned[:STEP]), arguments.chips * math.ceil(len(images) / STEP)
            ),
            "deployed network, bfloat16": lambda: half(snapshot, images),
            f"deployed network, {BITS}-bit converters": lambda: converted(images),
        }
        rows, expected = [], None
        for name, run in cases.items():
            seconds, logits = timed(run)
            expected = logits if expected is None else expected
            deviation = math.nan if logits is None else ((logits - expected).norm() / expected.norm()).item()
            rows.append((name, arguments.chips * arguments.images / seconds, seconds, deviation))
    table = pd.DataFrame(rows, columns=["case", "chip_images_per_s", "wall_s", "deviation"])
    table.insert(1, "architecture", arguments.architecture)
    table["to_obvious"] = table["wall_s"].iloc[0] / table["wall_s"]
    print(
        f"{arguments.chips} chips, {arguments.images} images; {os.cpu_count()} processors, "
        f"torch {torch.__version__}"
    )
    print(table.to_string(index=False, float_format="{:.4g}".format))
    print(
        f"programming {programming / arguments.chips:.3f} s a chip, reading {reading / arguments.chips:.3f} s"
    )
    ratio = table["to_obvious"][table["case"] == "deployed network"].item()
    print(f"deployed network: {ratio:.1f} times the obvious loop, target {TARGET}")
    if arguments.output is not None:
        files.write_text(arguments.output, table.to_csv(index=False))


if __name__ == "__main__":
    main()
