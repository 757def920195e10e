"""What the quantisers look like: levels and losses as curves, learned multipliers, bit-serial inference."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor, nn

from nonideal import faults, variability
from nonideal.quantize import attach
from nonideal.quantize.learned import LearnedQuantiser
from nonideal.regularised import bitserial, job, study
from nonideal.training.evaluation import CONVOLUTION_BATCH

CURVE_POINTS = 801
MARGIN = 1.0  # steps that a curve reaches beyond the outermost level
STUCK_CELL = 2  # Fig. 5a: the third bit of four, stuck at 0
SIGMA = 0.2  # of the weight shown for Fig. 5b
CLASSIFIED = 1000  # test images classified bit by bit; each takes N^2 passes in float64


def uneven(model: nn.Module) -> LearnedQuantiser:
    """Learned quantiser whose multipliers lie furthest from powers of two."""
    return max(
        attach.attached(model).values(),
        key=lambda q: float((relative(q.multipliers()) - 1).abs().max()),
    )


def relative(multipliers: Tensor) -> Tensor:
    """Multipliers over the powers of two that span the same range, [N]."""
    powers = 2.0 ** torch.arange(len(multipliers))
    return multipliers.detach() / (powers * multipliers.detach().sum() / powers.sum())


def curves(model: nn.Module, bits: int, *, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of tables ``regularised_curves`` and ``regularised_levels`` (Figs 4 and 5).

    Parameters
    ----------
    model
        Network trained with multipliers; its most uneven layer is shown.
    bits
        Width.
    seed
        Of the variable weight that is shown.
    """
    learned = uneven(model)
    step = float(learned.multipliers().detach().sum()) / (2**bits - 1)
    uniform = LearnedQuantiser(bits, "step")  # levels -Qp .. Qp in steps of 1
    stuck = torch.tensor([1 << min(STUCK_CELL, bits - 1)], dtype=torch.uint8)
    fault = faults.FaultMap(stuck, torch.zeros_like(stuck))
    factors = variability.draw((1,), bits, SIGMA, seed=seed, layer="shown")
    codes = torch.arange(2**bits)
    varied = variability.VariableQuantiser(uniform, factors)
    levels = {
        "learned": learned.levels().detach() / step,
        "stuck": uniform.levels().detach(),
        "variable": varied.held(codes, factors.expand(len(codes), bits)),
    }
    furthest = max(float(values.abs().max()) for values in levels.values()) + MARGIN
    x = torch.linspace(-furthest, furthest, CURVE_POINTS)
    repeated = faults.FaultMap(stuck.expand(len(x)), torch.zeros(len(x), dtype=torch.uint8))
    quantised = {
        "learned": learned.quantise(x * step) / step,
        "stuck": faults.FaultyQuantiser(uniform, repeated, "active+passive").quantise(x),
        "variable": variability.VariableQuantiser(uniform, factors.expand(len(x), bits)).quantise(x),
    }
    held = fault.apply(codes) == codes
    drawn = [
        pd.DataFrame(
            {"panel": panel, "x": x.double(), "quantised": y.double(), "loss": (x - y).double().square()}
        )
        for panel, y in quantised.items()
    ]
    listed = [
        pd.DataFrame(
            {
                "panel": panel,
                "code": codes,
                "ideal": uniform.levels().detach().double(),
                "level": values.double(),
                "attainable": held if panel == "stuck" else torch.ones_like(held),
            }
        )
        for panel, values in levels.items()
    ]
    return pd.concat(drawn, ignore_index=True), pd.concat(listed, ignore_index=True)


def multipliers(run: job.Run, states: Mapping[tuple[int, int], job.State]) -> pd.DataFrame:
    """Rows of table ``regularised_multipliers``."""
    rows = []
    for bits, repetition in states:
        model = study.trained(run, states, bits, repetition)
        for place, (name, quantiser) in enumerate(attach.attached(model).items()):
            values = quantiser.multipliers().detach()
            for bit, (value, ratio) in enumerate(zip(values, relative(values), strict=True)):
                rows.append(
                    {
                        "layer": name, "place": place, "bits": bits, "bit": bit, "seed": repetition,
                        "multiplier": float(value), "relative": float(ratio),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


@torch.inference_mode()
def bit_serial(run: job.Run, states: Mapping[tuple[int, int], job.State]) -> pd.DataFrame:
    """Rows of table ``regularised_bit_serial``: test images through the network and through integers."""
    images = run.examples.test_images[:CLASSIFIED].double()
    labels = run.examples.test_labels[:CLASSIFIED]
    rows = []
    for bits, repetition in states:
        model = study.trained(run, states, bits, repetition).double().eval()
        integers = bitserial.convert(model)
        ours, theirs = (
            torch.cat([net(part) for part in images.split(CONVOLUTION_BATCH)]) for net in (integers, model)
        )
        rows.append(
            {
                "bits": bits,
                "seed": repetition,
                "images": len(images),
                "network_accuracy": float((theirs.argmax(1) == labels).double().mean()),
                "integer_accuracy": float((ours.argmax(1) == labels).double().mean()),
                "different_classes": int((ours.argmax(1) != theirs.argmax(1)).sum()),
                "largest_difference": float((ours - theirs).abs().max() / theirs.abs().max()),
                "most_shift_add": bitserial.accumulators(integers),
            }
        )
    return pd.DataFrame(rows)
