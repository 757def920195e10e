"""Time the fused neurons against snnTorch's step by step, and an epoch of the dense spiking network.

Run `python benchmarks/spiking.py [--images N] [--output PATH]`. Forward and backward pass of a spiking
784-128-10 network over 25 steps on random images in batches of 256, one thread, in turn in one process: with
the neurons' own loop, and with the library's neuron called step by step. Rows: processor seconds for 60,000
images (scaled up from N; least of three) and the ratio.
"""

from __future__ import annotations

import argparse
import time

import pandas as pd
import torch
from torch.nn import functional

from nonideal import files
from nonideal.models.spiking import SpikingNetwork, spiking_mlp
from nonideal.rng import torch_stream
from nonideal.spiking.neurons import LIF

EPOCH = 60_000  # images of MNIST's training set
BATCH = 256
REPEATS = 3


def step_by_step(neurons: LIF, current: torch.Tensor) -> torch.Tensor:
    """All steps of a layer by the library's neuron."""
    potential, spikes = torch.zeros_like(current[0]), []
    for t in range(neurons.steps):
        fired, potential = neurons.step(current[0 if len(current) == 1 else t], potential)
        spikes.append(fired)
    return torch.stack(spikes)


def seconds(model: SpikingNetwork, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Processor seconds of an epoch, scaled up to `EPOCH` images."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        for part, truth in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            functional.cross_entropy(model(part), truth).backward()
        best = min(best, time.process_time() - start)
    return best * EPOCH / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20 * BATCH, help="images timed, a multiple of 256")
    parser.add_argument("--output", help="CSV file for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch_stream(0, "benchmark")
    images = torch.rand(arguments.images, 1, 28, 28, generator=generator)
    labels = torch.randint(0, 10, (arguments.images,), generator=generator)
    fused, stepped = (spiking_mlp(generator=torch_stream(0, "init")) for _ in range(2))
    for neurons in stepped.neurons():
        neurons.forward = step_by_step.__get__(neurons)
    rows = {"fused loop": seconds(fused, images, labels), "step by step": seconds(stepped, images, labels)}
    frame = pd.DataFrame({"neurons": list(rows), "seconds": list(rows.values())})
    frame["ratio"] = frame["seconds"] / frame["seconds"].iloc[0]
    print(frame.round(2).to_string(index=False))
    if arguments.output:
        with files.atomic(arguments.output) as temporary:
            frame.to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
