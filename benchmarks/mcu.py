"""Accuracy, size and modelled cycles of every weight format on the emulated CH32V003, plain and fast kernels.

Run `python benchmarks/mcu.py [--data FOLDER] [--epochs N] [--images N] [--output PATH]`. A network of
64-64-64 hidden units (8bit: 40-32-32, since 64-64-64 does not fit the flash) is trained for each format on
16 x 16 images: MNIST from a prepared folder, or scikit-learn's digits; column `data` says which. Targets are
meant for MNIST, which has more empty pixels, and judged on it only. Each row is one program: Python integers,
host C and emulated firmware agreed on every logit of its test images and on adversarial ones, else the
benchmark fails. Cycles are modelled, not measured on a board.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from sklearn.datasets import load_digits

from nonideal import files, models, preprocessing, recipe, rng, training
from nonideal.mcu import build, emulate, host
from nonideal.mcu.export import export
from nonideal.mcu.integer import from_model, quantise_images
from nonideal.mcu.packing import LAYOUTS
from nonideal.mcu.verify import measure
from nonideal.quantize.formats import FORMATS

SEED = 1
PIXELS = 16  # height and width
WIDTHS = {"8bit": (40, 32, 32)}  # as in config.yaml; others 64-64-64
DIGITS_TRAIN = 1400  # of 1797 images
JUDGED = "mnist"  # data set that the targets are meant for
TARGET_CYCLES = {"4bitsym": 80_000}
TARGET_RATIO = 4.0
RATIO_FORMATS = ("binary", "ternary", "2bitsym", "4bit", "fp130")
TARGET_SECONDS = 180.0  # 10,000 images


def digits() -> training.Tensors:
    data = load_digits()
    images = torch.tensor(data.images * (255 / 16)).to(torch.uint8)[:, None]
    mean, std = preprocessing.moments(images[:DIGITS_TRAIN])
    pixels = preprocessing.preprocess(images, size=PIXELS, mean=mean, std=std)
    labels = torch.tensor(data.target, dtype=torch.int64)
    parts = pixels[:DIGITS_TRAIN], labels[:DIGITS_TRAIN], pixels[DIGITS_TRAIN:], labels[DIGITS_TRAIN:]
    return training.Tensors(*parts, background=preprocessing.background(mean, std))


def trained(name: str, tensors: training.Tensors, epochs: int) -> torch.nn.Module:
    model = models.build(
        "fc",
        generator=rng.torch_stream(SEED, "init"),
        widths=WIDTHS.get(name, (64, 64, 64)),
        weight_format=name,
    )
    settings = training.Settings(epochs=epochs, device="cpu")
    training.train(model, tensors, settings, seed=SEED, progress=False)
    return model


def rows(
    name: str, tensors: training.Tensors, epochs: int, count: int, engine: host.HostEngine
) -> list[dict[str, object]]:
    network = from_model(trained(name, tensors, epochs))
    images, labels = quantise_images(tensors.test_images), tensors.test_labels.numpy()
    accuracy = float((network.classify(images) == labels).mean())
    result = []
    with tempfile.TemporaryDirectory() as folder:
        for kernel in LAYOUTS:
            made = export(network, images, kernel=kernel)
            measured = measure(made, images[:count], Path(folder) / kernel, engine=engine, seed=SEED)
            emulator, start = emulate.Emulator(measured.firmware.elf), time.perf_counter()
            emulator.infer_all(images[:count], 10)
            speed = len(images[:count]) / (time.perf_counter() - start)
            result.append(measured.row(made) | {"accuracy": accuracy, "images_per_s": speed})
    for row in result:
        row["ratio"] = result[0]["cycles"] / row["cycles"]
    return result


def judge(table: pd.DataFrame) -> list[str]:
    """Targets that are missed; none of them on data that they are not meant for."""
    fast = table[(table.kernel == "fast") & (table.data == JUDGED)].set_index("format")
    missed = [
        f"{name}: {fast.cycles[name]:.0f} cycles, target {limit}"
        for name, limit in TARGET_CYCLES.items()
        if name in fast.index and fast.cycles[name] > limit
    ]
    missed += [
        f"{name}: {fast.ratio[name]:.2f} times the plain kernel, target {TARGET_RATIO}"
        for name in RATIO_FORMATS
        if name in fast.index and fast.ratio[name] < TARGET_RATIO
    ]
    slow = fast[10_000 / fast.images_per_s > TARGET_SECONDS]
    return missed + [f"{name}: emulation of 10,000 images takes over 3 minutes" for name in slow.index]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    prepared = Path("resources/data/mnist")
    parser.add_argument(
        "--data",
        type=Path,
        default=prepared if prepared.is_dir() else None,
        help=f"folder of a prepared data set (default: {prepared} if it is there, else digits)",
    )
    parser.add_argument("--epochs", type=int, default=8, help="training epochs (default 8)")
    parser.add_argument("--images", type=int, default=10_000, help="test images to verify (default all)")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--output", type=Path, help="CSV file for the table")
    arguments = parser.parse_args()
    tensors = recipe.tensors(arguments.data)[0] if arguments.data else digits()
    named = arguments.data.resolve().name if arguments.data else "digits"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        engine = host.HostEngine(build.host_library(folder))
        parts = []
        for name in arguments.formats:
            parts += rows(name, tensors, arguments.epochs, arguments.images, engine)
            print(pd.DataFrame(parts[-2:]).to_string(index=False, header=len(parts) == 2), flush=True)
    table = pd.DataFrame(parts)
    table.insert(0, "data", named)
    if arguments.output:
        with files.atomic(arguments.output) as path:
            table.to_csv(path, index=False)
    if named != JUDGED:
        print(f"{named}: not judged, the targets are meant for {JUDGED}; digits have fewer empty pixels")
        return 0
    missed = judge(table)
    print("\n".join(missed) or "all targets met", file=sys.stderr if missed else sys.stdout)
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
