"""Time a step of regularised training against a step of plain training, on the same network in one run.

Run `python benchmarks/regularised.py [--rounds N] [--threads N] [--batch N] [--output PATH]`. The network is
ResNet-8 on images of 32 x 32 with three channels; the step is forward, backward and SGD. Rows: no
regulariser; the penalty with fixed levels, a learned step and learned multipliers at 4 bits, each in both
variants where it has them; the penalty of faulty and of variable cells; the same with LSQ activations; and
the obvious penalty, with 2^N distances for every weight. Cases take turns, and a case's time is its least
over the rounds, so that other load on the machine hits all alike.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from nonideal import faults, files, variability
from nonideal.models.registry import build
from nonideal.quantize import attach
from nonideal.quantize.losses import alpha
from nonideal.regularised import networks
from nonideal.regularised.penalty import FLOAT_FORWARD, STRAIGHT_THROUGH_LAMBDA, Course, Penalty
from nonideal.rng import torch_stream

BITS = 4
TARGETS = {"fixed": 1.25, "step": 1.25, "multiplier": 1.5}  # least ratio wanted to the plain step


def network() -> nn.Module:
    return build("resnet8", generator=torch_stream(0, "init"))


def obvious(model: nn.Module, epoch: int) -> Tensor:
    """Eq. (7) as it is written: all 2^N distances of every weight."""
    total = 0.0
    for name, weight in attach.original(model).items():
        levels = attach.attached(model)[name].levels()
        distance = (weight.reshape(-1, 1) - levels).square().amin(dim=1).sum()
        total = total + alpha(weight.numel(), BITS) * distance
    return FLOAT_FORWARD[0] * total


def cases() -> dict[str, tuple[nn.Module, Callable]]:
    """Network and regulariser of every row."""
    weak = Penalty(Course(*FLOAT_FORWARD, 200))
    made: dict[str, tuple[nn.Module, Callable]] = {"plain": (network(), lambda model, epoch: 0.0)}
    for method in ("fixed", "step", "multiplier"):
        made[method] = (networks.quantise(network(), method, BITS), weak)
    straight = Penalty(Course(*STRAIGHT_THROUGH_LAMBDA, 200))
    made["multiplier, straight through"] = (networks.quantise(network(), "multiplier_ste", BITS), straight)
    faulty = networks.quantise(network(), "multiplier", BITS)
    maps = {
        name: faults.draw(shape, BITS, 0.2, p_stuck1=0.5, seed=0, layer=name)
        for name, shape in networks.shapes(faulty).items()
    }
    networks.exchange(faulty, lambda name, q: faults.FaultyQuantiser(q, maps[name], "active+passive"))
    made["multiplier, 20 % stuck cells"] = (faulty, Penalty(Course(*FLOAT_FORWARD, 200)))
    varied = networks.quantise(network(), "multiplier", BITS)
    factors = {
        name: variability.draw(shape, BITS, 0.2, seed=0, layer=name)
        for name, shape in networks.shapes(varied).items()
    }
    networks.exchange(varied, lambda name, q: variability.VariableQuantiser(q, factors[name]))
    made["multiplier, variable cells"] = (varied, Penalty(Course(*FLOAT_FORWARD, 200)))
    for method in ("step", "multiplier"):
        model = networks.quantise(network(), method, BITS, activation_bits=BITS)
        made[f"{method}, LSQ activations"] = (model, Penalty(Course(*FLOAT_FORWARD, 200)))
    made["multiplier, all distances"] = (networks.quantise(network(), "multiplier", BITS), obvious)
    return made


def stepper(model: nn.Module, regulariser: Callable, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """One training step as a function."""
    groups = networks.parameter_groups(0.01, 1e-6)(model)
    groups = [{key: value for key, value in group.items() if key != "lr_factor"} for group in groups]
    optimiser = torch.optim.SGD(groups, lr=1e-6, momentum=0.9, fused=True)
    model.train()

    def step() -> None:
        loss = functional.cross_entropy(model(images), labels) + regulariser(model, 0)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = torch_stream(0, "images")
    images = torch.randn(arguments.batch, 3, 32, 32, generator=generator)
    labels = torch.randint(0, 10, (arguments.batch,), generator=generator)
    steps = {name: stepper(*case, images, labels) for name, case in cases().items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(arguments.rounds + 1):  # the first round warms up
        for name, step in steps.items():
            wall, processor = time.perf_counter(), time.process_time()
            step()
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    rows = [
        (name, 1e3 * min(t[0] for t in found[1:]), 1e3 * min(t[1] for t in found[1:]))
        for name, found in times.items()
    ]
    table = pd.DataFrame(rows, columns=["case", "wall_ms", "processor_ms"])
    plain = table.processor_ms[table.case == "plain"].item()
    table["to_plain"] = table.processor_ms / plain
    table["target"] = table.case.map(TARGETS)
    print(
        f"ResNet-8, batch {arguments.batch}, {os.cpu_count()} processors, {arguments.threads} thread(s), "
        f"torch {torch.__version__}"
    )
    print(table.to_string(index=False, float_format="{:.3f}".format))
    if arguments.output is not None:
        files.write_text(arguments.output, table.to_csv(index=False))


if __name__ == "__main__":
    main()
