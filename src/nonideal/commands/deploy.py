"""``nonideal deploy``: a network on chips of phase-change memory, read over time."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from nonideal import stats, training
from nonideal.commands import UsageError, images, networks, writing
from nonideal.commands.arguments import add_count
from nonideal.models.ordinary_layers import ordinary, ordinary_names
from nonideal.pcm import folding, slicing
from nonideal.pcm.device import LAST_S, READ_NOISE_NORMS, T0_S
from nonideal.pcm.hardware import COMPENSATIONS, Hardware
from nonideal.pcm.networks import GROUP, MONTH_S, Images, Plan, reference_logits, simulate
from nonideal.rng import stream
from nonideal.schemas.library import DEPLOYMENT

EXAMPLE = (
    "nonideal deploy mymodel:build --state mymodel.pt --data mydata.npz --chips 10 --times 20s 1h 30d 1y"
)

YEAR_S = 365 * 24 * 3600.0
UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 24 * 3600.0, "y": YEAR_S}
TIME = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)([smhdy]?)")


def seconds(text: str) -> float:
    """Time after programming, from text such as ``20``, ``1h`` or ``30d``.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is no time, or lies before the first one that the device model describes.
    """
    found = TIME.fullmatch(text)
    try:
        value = float(found[1]) * UNITS_S[found[2]] if found else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not T0_S <= value <= LAST_S:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time from {T0_S:g} s to {LAST_S / YEAR_S:g} y; write a number with s, m, h, d "
            "or y, such as 30d"
        )
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    networks.add_arguments(parser)
    images.add_arguments(parser, required=True)
    _add_hardware(parser)
    parser.add_argument(
        "--images", type=int, metavar="N", help="test images each chip classifies (default: all)"
    )
    add_count(
        parser, "--calibration", 100, "training images that set the compensation and the ranges of converters"
    )
    add_count(parser, "--seed", 0, "names the random streams of the devices")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table as .csv or .parquet")


def _add_hardware(parser: argparse.ArgumentParser) -> None:
    """Arguments that describe the chips and when they are read."""
    parser.add_argument(
        "--mapping",
        choices=slicing.MAPPINGS,
        default="max_fill",
        help="of weights to slices (default: max_fill)",
    )
    parser.add_argument(
        "--base", type=int, metavar="N", help="ratio of neighbouring slices (default: 1; digital has its own)"
    )
    add_count(parser, "--slices", 4, "devices per weight")
    add_count(parser, "--chips", 10, "number of chips")
    parser.add_argument(
        "--times",
        type=seconds,
        nargs="+",
        default=[T0_S, MONTH_S],
        metavar="TIME",
        help="after programming, such as 20s 1h 30d 1y (default: 20s 30d)",
    )
    parser.add_argument(
        "--digital",
        nargs="+",
        metavar="LAYER",
        help="layers that stay digital, by their names in the network (default: none)",
    )
    parser.add_argument(
        "--compensation", choices=COMPENSATIONS, default="layer", help="of drift (default: layer)"
    )
    parser.add_argument(
        "--ec-targets",
        choices=slicing.EC_TARGETS,
        default="unbounded",
        help="what error correction may ask of a device: anything, -1 to 1 G_max, or 0 to 1 G_max in the "
        "weight's direction; with --mapping max_fill_ec (default: unbounded)",
    )
    parser.add_argument(
        "--read-noise-norm",
        choices=READ_NOISE_NORMS,
        default="slice_max",
        help="conductance that read noise refers to (default: slice_max)",
    )
    parser.add_argument(
        "--pairs", action="store_true", help="simulate the devices of a pair that are not in use as well"
    )
    parser.add_argument(
        "--non-negative", action="store_true", help="no device conducts less than nothing after programming"
    )
    parser.add_argument(
        "--dac-bits",
        type=int,
        metavar="N",
        help="of the converters of a layer's inputs (default: ideal ones)",
    )
    parser.add_argument(
        "--adc-bits",
        type=int,
        metavar="N",
        help="of the converters of every slice's outputs (default: ideal ones, which are faster)",
    )
    parser.add_argument(
        "--converter-quantile",
        type=float,
        metavar="SHARE",
        default=1.0,
        help="of calibration values within a converter's range; the others saturate; with --dac-bits or "
        "--adc-bits (default: 1)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Deploy, read, print and write the table."""
    writing.check_table_path(arguments.output)
    writing.check_outputs(arguments.output)
    for name in ("images", "calibration", "chips"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value}: must be at least 1")
    _check_options(arguments)
    model = networks.load(arguments).model
    if filters := networks.filter_banks(model):
        print(
            f"{filters} filter banks stay digital; the fully connected layers lie on the chips",
            file=sys.stderr,
        )
    elif others := folding.digital_layers(ordinary(model)):
        named = ", ".join(f"{name} ({kind})" for name, kind in others.items())
        print(f"stay digital, chips hold nn.Linear and nn.Conv2d alone: {named}", file=sys.stderr)
    tensors = images.load(arguments, model)
    frame = table(
        ordinary(model),
        choose(tensors, arguments.images, arguments.calibration, seed=arguments.seed),
        plan(arguments, ordinary_names(model)),
        arguments.chips,
        seed=arguments.seed,
        hardware=hardware(arguments),
    )
    print(layout(frame))
    if arguments.output:
        writing.table(frame, arguments.output, DEPLOYMENT, command="deploy")
    return 0


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuse options that would do nothing beside the others."""
    if arguments.ec_targets != "unbounded" and arguments.mapping != "max_fill_ec":
        raise UsageError(f"--ec-targets {arguments.ec_targets}: goes with --mapping max_fill_ec")
    if arguments.converter_quantile != 1 and arguments.dac_bits is None and arguments.adc_bits is None:
        raise UsageError(
            f"--converter-quantile {arguments.converter_quantile:g}: goes with --dac-bits or --adc-bits"
        )


def hardware(arguments: argparse.Namespace) -> Hardware:
    """Options of the chips."""
    return Hardware(
        ec_targets=arguments.ec_targets,
        read_noise_norm=arguments.read_noise_norm,
        pairs=arguments.pairs,
        non_negative=arguments.non_negative,
        compensation=arguments.compensation,
        dac_bits=arguments.dac_bits,
        adc_bits=arguments.adc_bits,
        converter_quantile=arguments.converter_quantile,
    )


def plan(arguments: argparse.Namespace, renamed: Mapping[str, str]) -> Plan:
    """Configuration and times; names of layers as `nonideal.models.ordinary` changes them."""
    base = 1 if arguments.base is None and arguments.mapping != "digital" else arguments.base
    slicing.check(arguments.mapping, base, arguments.slices)
    digital = tuple(renamed.get(name, name) for name in arguments.digital or ())
    return Plan(arguments.mapping, base, arguments.slices, tuple(sorted(set(arguments.times))), digital)


def choose(tensors: training.Tensors, count: int | None, calibration: int, *, seed: int) -> Images:
    """Test images, all or `count` of them at random, and the calibration batch from the training images."""
    parts = []
    for labels, wanted, name in (
        (tensors.test_labels, count, "test"),
        (tensors.train_labels, calibration, "calibration"),
    ):
        order = stream(seed, "deploy", f"{name} images").permutation(len(labels))
        parts.append(torch.from_numpy(np.sort(order[:wanted])))
    return Images(
        tensors.test_images[parts[0]], tensors.test_labels[parts[0]], tensors.train_images[parts[1]]
    )


def table(
    model: nn.Module, chosen: Images, plan: Plan, chips: int, *, seed: int, hardware: Hardware
) -> pd.DataFrame:
    """Accuracy and logit error of a network at every time of the plan.

    Parameters
    ----------
    model
        Network of ordinary layers.
    chosen
        Test and calibration images.
    plan
        Configuration and times.
    chips
        Number of chips.
    seed, hardware
        As `nonideal.pcm.deploy.deploy`.

    Returns
    -------
    pandas.DataFrame
        Rows of table ``deployment``.
    """
    reference = reference_logits(model, chosen, plan.digital)
    rows = []
    for first in range(0, chips, GROUP):
        group = range(first, min(first + GROUP, chips))
        rows += simulate(model, plan, group, chosen, reference, seed=seed, hardware=hardware)
    return _over_chips(pd.DataFrame(rows)).assign(
        mapping=plan.mapping,
        base=slicing.slice_base(plan.mapping, plan.base, plan.n_slices),
        n_slices=plan.n_slices,
        dac_bits=_bits(hardware.dac_bits),
        adc_bits=_bits(hardware.adc_bits),
        accuracy_without_hardware=(reference.argmax(1) == chosen.labels).double().mean().item(),
        chips=chips,
        images=len(chosen.labels),
    )[list(DEPLOYMENT.columns)]


def _over_chips(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over chips and half widths of their intervals, by time."""
    found = []
    for time_s, part in rows.groupby("time_s"):
        row = {"time_s": float(time_s)}
        for name, column in (("accuracy", "accuracy"), ("error", "logit_error")):
            sem = part[column].std(ddof=1) / math.sqrt(len(part))  # NaN for a single chip
            half = float(stats.half_width(sem, len(part)))
            row |= {f"{name}_mean": part[column].mean(), f"{name}_half_width": half}
        found.append(row)
    return pd.DataFrame(found)


def _bits(bits: int | None) -> float:
    """Bits as a table holds them: a missing value for ideal converters."""
    return math.nan if bits is None else float(bits)


def layout(frame: pd.DataFrame) -> str:
    """The table as text."""
    first = frame.iloc[0]
    chips = int(first["chips"])
    cells = [["time", "accuracy", "logit error"]]
    for row in frame.to_dict("records"):
        cells.append(
            [
                duration(row["time_s"]),
                _with_interval(100 * row["accuracy_mean"], 100 * row["accuracy_half_width"], 2) + " %",
                _with_interval(row["error_mean"], row["error_half_width"], 4),
            ]
        )
    return (
        f"{first['mapping']}, base {first['base']}, {first['n_slices']} devices a weight: "
        f"{chips} chip{'s' * (chips > 1)}, {first['images']:,} images\n"
        + _converters(first)
        + f"without hardware errors: {100 * first['accuracy_without_hardware']:.2f} %\n"
        + writing.columns(cells, right=("time", "accuracy", "logit error"))
        + ("\nmean and half width of the 95 % interval over chips" if chips > 1 else "")
    )


def _converters(row: pd.Series) -> str:
    """Line about converters, if there are any."""
    bits = {"inputs": row["dac_bits"], "outputs of every slice": row["adc_bits"]}
    found = [f"{count:.0f} bits for {where}" for where, count in bits.items() if not math.isnan(count)]
    return f"converters: {', '.join(found)}\n" if found else ""


def _with_interval(value: float, half: float, digits: int) -> str:
    return f"{value:.{digits}f}" + ("" if math.isnan(half) else f" ± {half:.{digits}f}")


def duration(time_s: float) -> str:
    """A time in the largest unit that it fills."""
    for unit in ("y", "d", "h", "m"):
        if time_s >= UNITS_S[unit]:
            return f"{time_s / UNITS_S[unit]:.3g} {unit}"
    return f"{time_s:.3g} s"
