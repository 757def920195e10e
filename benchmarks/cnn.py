"""Convolutional networks: speed of a training step, of the kernels on the target, and of two compilers.

Run `python benchmarks/cnn.py [--channels N ...] [--output PATH]`. Three comparisons, each inside one run, on
random filters and images:

- training: forward and backward pass of the convolutions for a batch of 128, compiled loops over PyTorch's
  operations;
- target: modelled cycles of the fast and of the plain kernel on the emulated CH32V003;
- compilers: the fast convolutions on this computer, built by zig and by gcc, which must agree in every
  feature; skipped with a message where there is no gcc.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from nonideal import depthwise, files, rng
from nonideal.mcu import build, cycles, emulate
from nonideal.mcu.convolutions import PIXELS, TAPS, Convolutions
from nonideal.mcu.export import export
from nonideal.mcu.host import HostEngine
from nonideal.mcu.integer import IntegerLayer, IntegerNetwork
from nonideal.mcu.packing import LAYOUTS
from nonideal.quantize.formats import FORMATS

SEED = 1
BATCH = 128
REPEATS = 5
SHIFTS = (7, 7, 3)
SPREAD = 32.0  # standard deviation of trained filters, in levels
TARGET_CYCLES = {16: 2.5e6}
HOST_IMAGES = 200


def network(channels: int) -> IntegerNetwork:
    generator = rng.stream(SEED, "benchmark", channels)
    weights = generator.normal(0, SPREAD, (3, channels, TAPS)).round().clip(-128, 127).astype(np.int16)
    sizes = ((96, 4 * channels, "2bitsym"), (64, 96, "4bitsym"), (10, 64, "4bitsym"))
    layers = tuple(
        IntegerLayer(name, generator.choice(np.array(FORMATS[name].levels, np.int16), (outputs, inputs)))
        for outputs, inputs, name in sizes
    )
    return IntegerNetwork(layers, Convolutions(weights, SHIFTS))


def images(count: int) -> np.ndarray:
    return rng.stream(SEED, "images").integers(-54, 128, (count, PIXELS)).astype(np.int8)


def least(call: Callable[[], object]) -> float:
    """Least seconds of several calls."""
    call()
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def training(channels: int) -> dict[str, object]:
    x = torch.tensor(images(BATCH)).float().view(BATCH, 1, 16, 16)
    filters = network(channels).convolutions.weights.reshape(3, channels, 1, 3, 3)
    weights = [torch.tensor(taps).float().requires_grad_() for taps in filters]

    def step(function: Callable) -> Callable[[], object]:
        return lambda: function(x, weights, SHIFTS).sum().backward()

    fast, slow = least(step(depthwise.features)), least(step(depthwise.features_reference))
    return {"channels": channels, "what": "training step", "unit": "s", "fast": fast, "plain": slow}


def target(channels: int, folder: Path) -> dict[str, object]:
    found = {}
    for kernel in LAYOUTS:
        made = export(network(channels), images(2), kernel=kernel)
        emulator = emulate.Emulator(build.firmware(made, folder / kernel).elf)
        found[kernel] = cycles.count(emulator, images(2)).total_cycles
    return {"channels": channels, "what": "target", "unit": "modelled cycles"} | found


def gcc_library(folder: Path) -> Path:
    library = folder / f"gcc{build.LIBRARY_SUFFIX}"
    sources = [*build.engine_sources(), build.FIRMWARE / "targets/host/batch.c"]
    flags = ["-O2", "-fPIC", "-shared", *build.WARNINGS, "-I", build.FIRMWARE / "include"]
    subprocess.run(["gcc", *flags, *sources, "-o", library], check=True)
    return library


def compilers(channels: int, engines: dict[str, HostEngine]) -> dict[str, object]:
    net, x = network(channels).convolutions, images(HOST_IMAGES)
    found = {name: engine.features(net, x, kernel="fast") for name, engine in engines.items()}
    if not np.array_equal(found["zig"], found["gcc"]):
        raise SystemExit("the libraries of zig and gcc differ")
    seconds = {name: least(lambda e=e: e.features(net, x, kernel="fast")) for name, e in engines.items()}
    row = {
        "channels": channels,
        "what": f"host, {HOST_IMAGES} images: zig, with checks, and gcc",
        "unit": "s",
    }
    return row | {"fast": seconds["zig"], "plain": seconds["gcc"]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 48, 64])
    parser.add_argument("--output", type=Path, help="CSV file for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for channels in arguments.channels:
            rows += [training(channels), target(channels, folder)]
        if shutil.which("gcc"):
            engines = {
                "zig": HostEngine(build.host_library(folder)),
                "gcc": HostEngine(gcc_library(folder)),
            }
            rows += [compilers(channels, engines) for channels in arguments.channels]
        else:
            print("no gcc here: compilers are not compared")
    table = pd.DataFrame(rows)
    table["ratio"] = table["plain"] / table["fast"]
    print(table.to_string(index=False))
    if arguments.output:
        files.write_text(arguments.output, table.to_csv(index=False))
    on_target = table[table["what"] == "target"].set_index("channels")["fast"]
    missed = [c for c, limit in TARGET_CYCLES.items() if c in on_target.index and on_target[c] > limit]
    for channels in missed:
        print(f"{channels} channels: {on_target[channels]:.0f} cycles, target {TARGET_CYCLES[channels]:.0f}")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
