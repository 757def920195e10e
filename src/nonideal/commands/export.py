"""``nonideal export``: a trained network as integers for the C engine."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from nonideal.commands import UsageError, images, networks, writing
from nonideal.exports import SUFFIXES
from nonideal.mcu import limits
from nonideal.mcu.build import write_engine
from nonideal.mcu.export import export
from nonideal.mcu.integer import OTHERS
from nonideal.mcu.packing import LAYOUTS
from nonideal.models.cnn import Cnn
from nonideal.models.fc import FullyConnected
from nonideal.quantize.formats import FORMATS
from nonideal.quantize.post_training import post_training_quantise
from nonideal.rng import torch_stream

EXAMPLE = "nonideal export results/default/training/4bitsym/networks.pt --output exported --data digits"

GOLDEN = 4
SIDE = 16  # height and width of the images of a Cnn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    networks.add_arguments(parser)
    parser.add_argument(
        "--output", type=Path, default=Path(), metavar="FOLDER", help="where to write; the present folder"
    )
    parser.add_argument("--name", default="model", help="of the files, before the ending (default: model)")
    parser.add_argument(
        "--format",
        action="append",
        choices=SUFFIXES,
        help="h: C header for the engine, npz and json: the same integers for programs; can be given several "
        "times (default: all)",
    )
    parser.add_argument(
        "--kernel", choices=tuple(LAYOUTS), default="fast", help="of the engine (default: fast)"
    )
    parser.add_argument(
        "--target",
        choices=(*limits.TARGETS, "none"),
        default="ch32v003",
        help="microcontroller whose memory must suffice; none: any machine (default: ch32v003)",
    )
    parser.add_argument(
        "--quantise",
        choices=tuple(FORMATS),
        metavar="FORMAT",
        help=f"put a float network on this weight format first, without training: {', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--engine",
        action="store_true",
        help="copy the C sources of the engine as well, into engine/ beside the network",
    )
    images.add_arguments(parser, required=False)


def run(arguments: argparse.Namespace) -> int:
    """Write the exported network."""
    if not arguments.name.strip(".") or Path(arguments.name).name != arguments.name:
        raise UsageError(f"--name {arguments.name!r}: a name without folders; --output is the folder")
    images.check_given(arguments)
    suffixes = arguments.format or SUFFIXES
    for suffix in suffixes:
        writing.check_folder(arguments.output / f"{arguments.name}.{suffix}")
    model = networks.load(arguments).model
    if not isinstance(model, FullyConnected | Cnn):
        raise UsageError(
            f"{arguments.network}: the engine runs fc and cnn networks of nonideal.models, this is a "
            f"{type(model).__name__}; {OTHERS}"
        )
    formats = sorted({layer.weight_format for layer in model.layers})
    if arguments.quantise:
        if formats != ["float"]:
            raise UsageError(
                f"--quantise {arguments.quantise}: is for a float network, {arguments.network} is on "
                f"{', '.join(formats)}; leave it out"
            )
        model = post_training_quantise(model, arguments.quantise)
    elif "float" in formats:
        raise UsageError(
            f"{arguments.network}: a float network has no integers; give --quantise {next(iter(FORMATS))} or "
            f"another of {', '.join(FORMATS)}, or train on one of them (the levels that nonideal harden "
            "chooses are those of no format)"
        )
    # The golden vectors of real images say more; random ones check an engine as well.
    golden = images.load(arguments, model).test_images[:GOLDEN] if arguments.data else _random(model)
    target = None if arguments.target == "none" else arguments.target
    made = export(model, golden, kernel=arguments.kernel, target=target)
    paths = made.write(arguments.output, arguments.name, suffixes=suffixes)
    for k, (layer, packed) in enumerate(zip(made.network.layers, made.packed, strict=True), 1):
        size = packed.words.nbytes
        print(f"layer {k}: {layer.inputs:5} -> {layer.outputs:<5} {layer.weight_format:8} {size:7,} bytes")
    for path in paths.values():
        print(f"{path}: {path.stat().st_size:,} bytes")
    if arguments.engine:
        folder = arguments.output / "engine"
        print(f"{folder}: {len(write_engine(folder))} files; compile src/*.c with -I include")
    return 0


def _random(model: FullyConnected | Cnn) -> torch.Tensor:
    pixels = SIDE**2 if isinstance(model, Cnn) else model.layers[0].weight.shape[1]
    return torch.randn(GOLDEN, pixels, generator=torch_stream(0, "export", "golden images"))
