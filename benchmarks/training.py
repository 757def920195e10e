"""Time an epoch of quantisation-aware training.

Run `python benchmarks/training.py [--epochs N] [--threads N] [--output PATH]`. An epoch is 120,000 samples,
60,000 clean and 60,000 augmented at 16x16, through the network 256-64-64-64-10 with batches of 128. Rows:
every weight format and the float network, in turn in one process, with wall and processor seconds per epoch
(least of N epochs, evaluation of the test set included), the ratio to float, and the ratio to the obvious
loop: one sample at a time through torchvision's transforms and a DataLoader, timed on a part and scaled up.

MNIST is read from the local root (NONIDEAL_DATA); without it scikit-learn's digits are tiled to the same
number of images, which is as good for timing and says nothing about accuracy.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset
from torch.utils.data import Dataset as Samples
from torchvision import transforms

from nonideal import data, files
from nonideal.data import Dataset
from nonideal.models import build
from nonideal.preprocessing import MNIST_MEAN, MNIST_STD, prepare
from nonideal.quantize.formats import FORMATS
from nonideal.rng import torch_stream
from nonideal.training import Settings, train

IMAGES = 60_000  # of MNIST's training set
OBVIOUS_IMAGES = 3_000  # of the part on which the obvious loop is timed
BATCH = 128
TARGET_SECONDS = 3.0  # an epoch of 4bitsym on two cores


def images() -> tuple[str, Dataset]:
    name = "digits" if data.locate("mnist") is None else "mnist"
    with tempfile.TemporaryDirectory() as folder:
        data.prepare(name, folder)
        dataset = data.load(folder)
    if name == "mnist":
        return "MNIST", dataset
    index = np.arange(IMAGES) % len(dataset.train_images)
    tiled = Dataset(
        dataset.name,
        dataset.train_images[index],
        dataset.train_labels[index],
        dataset.test_images,
        dataset.test_labels,
        dataset.class_names,
    )
    return f"scikit-learn digits tiled to {IMAGES} images (no MNIST below NONIDEAL_DATA)", tiled


class Transformed(Samples):
    """One sample at a time: tensor -> PIL image -> transforms."""

    def __init__(self, dataset: Dataset, transform: transforms.Compose) -> None:
        count = OBVIOUS_IMAGES
        self.samples = TensorDataset(
            torch.tensor(dataset.train_images[:count]), torch.tensor(dataset.train_labels[:count])
        )
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int):
        image, label = self.samples[index]
        return self.transform(image), label


def obvious_loop(dataset: Dataset) -> tuple[float, float]:
    """Wall and processor seconds of an epoch of the per-sample loop, scaled to the whole set."""
    last = [transforms.Resize((16, 16)), transforms.ToTensor(), transforms.Normalize(MNIST_MEAN, MNIST_STD)]
    move = transforms.RandomAffine(degrees=10, translate=(0.1, 0.1), scale=(0.9, 1.1))
    clean = Transformed(dataset, transforms.Compose([transforms.ToPILImage(), *last]))
    moved = Transformed(dataset, transforms.Compose([transforms.ToPILImage(), move, *last]))
    generator = torch_stream(0, "benchmark")
    loader = DataLoader(ConcatDataset([clean, moved]), BATCH, shuffle=True, generator=generator)
    model: nn.Module = build("fc", weight_format="4bitsym", generator=torch_stream(0, "init"))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    wall, processor, loss_sum = time.perf_counter(), time.process_time(), 0.0
    for batch, labels in loader:
        optimiser.zero_grad()
        loss = functional.cross_entropy(model(batch), labels)
        loss.backward()
        optimiser.step()
        loss_sum += loss.item()
    scale = IMAGES / OBVIOUS_IMAGES
    return (time.perf_counter() - wall) * scale, (time.process_time() - processor) * scale


def epoch(tensors, weight_format: str, settings: Settings) -> tuple[float, float, float]:
    """Wall and processor seconds of the fastest epoch, and the last test accuracy."""
    model = build("fc", weight_format=weight_format, generator=torch_stream(0, "init"))
    start = time.process_time()
    history = train(model, tensors, settings, seed=0, progress=False)
    processor = (time.process_time() - start) / settings.epochs
    return history.seconds.min(), processor, history.test_accuracy.iloc[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    name, dataset = images()
    tensors = prepare(dataset, size=16, mean=[MNIST_MEAN], std=[MNIST_STD])
    print(f"{name}; {os.cpu_count()} processors, {arguments.threads} thread(s), torch {torch.__version__}")
    settings = Settings(
        epochs=arguments.epochs, batch_size=BATCH, threads=arguments.threads, device="cpu"
    )  # fmt: skip
    torch.set_num_threads(arguments.threads)
    wall, processor = obvious_loop(dataset)
    rows = [("obvious loop, 4bitsym", wall, processor, np.nan)]
    for weight_format in ("float", *FORMATS):
        rows.append((weight_format, *epoch(tensors, weight_format, settings)))
    table = pd.DataFrame(rows, columns=["case", "wall_s", "processor_s", "test_accuracy"])
    table["to_float"] = table.wall_s / table.wall_s[table.case == "float"].item()
    table["obvious_to_this"] = wall / table.wall_s
    table.insert(1, "data", "mnist" if name == "MNIST" else "digits")
    print(table.drop(columns="data").to_string(index=False, float_format="{:.3f}".format))
    print(f"4bitsym: {table.wall_s[table.case == '4bitsym'].item():.2f} s, target {TARGET_SECONDS} s")
    print(f"obvious loop timed on {2 * OBVIOUS_IMAGES} samples, scaled to {2 * IMAGES}")
    if arguments.output is not None:
        files.write_text(arguments.output, table.to_csv(index=False))


if __name__ == "__main__":
    main()
