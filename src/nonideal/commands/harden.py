"""``nonideal harden``: a network fine-tuned for few bits, stuck cells or variable cells."""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn
from torch.nn.utils import parametrize

import nonideal
from nonideal import cellmaps, faults, tensorfile, training
from nonideal.commands import UsageError, images, networks, trainable, writing
from nonideal.commands.arguments import add_count
from nonideal.models import saved
from nonideal.quantize import attach
from nonideal.quantize.learned import MODES
from nonideal.quantize.losses import ALPHAS
from nonideal.regularised.hardening import Hardened
from nonideal.regularised.networks import POLICIES
from nonideal.schemas.library import HARDENING, STAGES
from nonideal.training.settings import AUGMENTATIONS

EXAMPLE = (
    "nonideal harden mymodel:build --state mymodel.pt --data mydata.npz --faults 0.1 --output hardened.pt"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    networks.add_arguments(parser)
    images.add_arguments(parser, required=False)
    add_count(parser, "--bits", 4, "bit cells of a weight")
    hardware = parser.add_mutually_exclusive_group()
    hardware.add_argument(
        "--faults",
        type=share_or_map,
        metavar="NUMBER|MAP",
        help="share of stuck cells to draw, or a map of your chip (.csv, .parquet)",
    )
    hardware.add_argument(
        "--variability",
        type=share_or_map,
        metavar="NUMBER|MAP",
        help="standard deviation of the cells to draw, or a map of your chip",
    )
    parser.add_argument(
        "--mode", choices=faults.MODES, help="mitigation of faults, with --faults (default: active+passive)"
    )
    parser.add_argument("--quantiser", choices=MODES, default="multiplier", help="(default: multiplier)")
    parser.add_argument(
        "--layers",
        choices=POLICIES,
        default="inner",
        help="inner leaves first and last layer float (default)",
    )
    _add_training(parser)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE.pt",
        help="the weights the chip holds, as a state_dict",
    )
    parser.add_argument(
        "--map-output",
        type=Path,
        metavar="FILE",
        help="the cells drawn, as a map (.csv, .parquet) that --faults or --variability reads again",
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="accuracy before and after, .csv or .parquet"
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Arguments of the fine-tuning."""
    parser.add_argument(
        "--alpha", choices=ALPHAS, default="paper", help="factor of the penalty (default: paper)"
    )
    add_count(parser, "--epochs", 20, "of the fine-tuning")
    parser.add_argument(
        "--learning-rate", type=float, metavar="RATE", default=0.01, help="at the start (default: 0.01)"
    )
    add_count(parser, "--batch-size", 128)
    parser.add_argument(
        "--augmentation", choices=AUGMENTATIONS, default="none", help="of the training images (default: none)"
    )
    add_count(parser, "--threads", 1, "of the training; its last digits depend on it")
    add_count(parser, "--seed", 0, "of cells drawn and of the batches")


def share_or_map(text: str) -> float | Path:
    """A number, or else the path of a map."""
    try:
        return float(text)
    except ValueError:
        return Path(text)


def run(arguments: argparse.Namespace) -> int:
    """Harden a network; write its weights and the table of accuracies."""
    writing.check_table_path(arguments.table)
    images.check_given(arguments)
    if arguments.table and not arguments.data:
        raise UsageError(f"--table {arguments.table}: accuracies need images; give --data")
    if arguments.mode and arguments.faults is None:
        raise UsageError(f"--mode {arguments.mode}: mitigates faults; give --faults")
    if arguments.map_output and arguments.faults is None and arguments.variability is None:
        raise UsageError(
            f"--map-output {arguments.map_output}: no cells are drawn; give --faults or --variability"
        )
    writing.check_table_path(arguments.map_output)
    writing.check_outputs(arguments.output, arguments.map_output, arguments.table)
    network = networks.unquantised(networks.load(arguments))
    hardened = prepared(network.model, arguments)
    tensors = images.load(arguments, network.model) if arguments.data else None
    print(selected(hardened), file=sys.stderr)
    accuracies = []
    if tensors is not None:
        settings = settings_of(arguments)
        trainable.check(hardened.model, tensors, settings)
        accuracies.append(measured(network.model, tensors, STAGES[0]))
        accuracies.append(measured(hardened.finish(), tensors, STAGES[1]))
        fine_tune(hardened, tensors, settings, seed=arguments.seed)
    chip = hardened.finish()
    if tensors is not None:
        accuracies.append(measured(chip, tensors, STAGES[2]))
    save(chip, network, arguments.output)
    if arguments.map_output:
        cellmaps.write(hardened.cells, arguments.map_output)
    cells = [[row["stage"], f"{100 * row['accuracy']:.2f} %", f"{row['loss']:.4f}"] for row in accuracies]
    if cells:
        print(writing.columns([["network", "accuracy", "loss"], *cells], right=("accuracy", "loss")))
    else:
        print("no --data: the weights were put on the levels the cells can hold, without training")
    print(f"{arguments.output}: weights of {type(chip).__name__} as the chip holds them")
    if arguments.table:
        writing.table(pd.DataFrame(accuracies), arguments.table, HARDENING, command="harden")
    return 0


def selected(hardened: Hardened) -> str:
    """Line on the layers that are quantised, and on those that are not."""
    weights = attach.original(hardened.model)
    layers = {name: m for name, m in hardened.model.named_modules() if attach.weighted(name, m)}
    names = list(layers)
    sizes = {name: layer.weight.numel() for name, layer in layers.items()}
    others = [name or "the layer" for name in names if name not in weights]
    # What these weights are made of, and gains, are no more weights.
    gains = [module for module in hardened.model.modules() if isinstance(module, attach.NORMALISATIONS)]
    counted = {id(values) for layer in layers.values() for values in _made_of(layer)}
    counted |= {id(values) for module in gains for values in module.parameters()}
    # Tables, and matrices by other names than weight, such as those of recurrent layers and of attention.
    for name, values in hardened.model.named_parameters():
        if values.ndim > 1 and id(values) not in counted:
            own = name.removesuffix(".weight")
            sizes[own] = values.numel()
            others.append(own)
    share = 100 * sum(weight.numel() for weight in weights.values()) / sum(sizes.values())
    kept = f"; {', '.join(others)} stay in full precision, on no cells" if others else ""
    return f"quantised: {len(weights)} of {len(names)} layers, {share:.0f} % of the weights{kept}"


def _made_of(layer: nn.Module) -> list[Tensor]:
    """What the weight of a layer is made of: itself, or what its parametrisation starts from."""
    if parametrize.is_parametrized(layer, "weight"):
        return list(layer.parametrizations.weight.parameters(recurse=False))
    return [layer.weight]


def prepared(model: nn.Module, arguments: argparse.Namespace) -> Hardened:
    """Copy of the network with its quantisers."""
    if arguments.epochs < 1:
        raise UsageError(f"--epochs {arguments.epochs}: must be at least 1")
    for name, layer in model.named_modules():
        if attach.weighted(name, layer):
            attach.check_weight(name, layer)  # PyTorch does not copy weights that a hook makes
    return nonideal.harden(
        copy.deepcopy(model),
        bits=arguments.bits,
        faults=arguments.faults,
        variability=arguments.variability,
        mode=arguments.mode or "active+passive",
        quantiser=arguments.quantiser,
        layers=arguments.layers,
        epochs=arguments.epochs,
        alpha=arguments.alpha,
        seed=arguments.seed,
    )


def settings_of(arguments: argparse.Namespace) -> training.Settings:
    """Settings of the fine-tuning."""
    return training.Settings(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        optimiser="sgd",
        lr=arguments.learning_rate,
        augmentation=arguments.augmentation,
        threads=arguments.threads,
        device="cpu",
    )


def fine_tune(
    hardened: Hardened, tensors: training.Tensors, settings: training.Settings, *, seed: int
) -> None:
    """Train in place, with the penalty, rewriting the array every few epochs."""
    try:
        hardened.fine_tune(tensors, settings, seed=seed)
    except FloatingPointError as error:
        raise UsageError(
            f"the training diverged ({str(error).split(':')[0]}); lower --learning-rate {settings.lr:g}"
        ) from error


def measured(model: nn.Module, tensors: training.Tensors, stage: str) -> dict[str, Any]:
    """Row of table ``hardening``."""
    found = training.evaluate(model, tensors.test_images, tensors.test_labels)
    return {
        "stage": stage,
        "accuracy": found.accuracy,
        "loss": found.loss,
        "images": len(tensors.test_labels),
    }


def save(chip: nn.Module, network: networks.Network, path: Path) -> None:
    """Write a network of this project as a model file, another as its state_dict."""
    if network.name is not None:
        saved.save(chip, path, network.name, **(network.settings or {}))
        return
    tensorfile.save(tensorfile.state_of(chip), path)
