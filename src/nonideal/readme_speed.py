"""The parts of the README that hold times, written from the benchmarks' tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

DEFAULT_RUN = ("workflow", "fresh")  # tables about `make`; the others are of the library
LONGEST = 10  # rules of the default run shown by name
OBVIOUS = "multiplier, all distances"  # the penalty as the publication writes it


def speed(benchmarks: Path) -> str:
    """What the benchmarks found, a row each."""
    lines = ["| what | time | ratio inside one run |", "|---|---|---|"]
    for part in (_crossbar_speed, _training_speed, _cells_speed, _spiking_speed, _chips_speed):
        lines += [f"| {' | '.join(row)} |" for row in part(benchmarks)]
    names = sorted({path.stem for path in benchmarks.glob("*.csv")} - {*DEFAULT_RUN})
    lines += ["", measured(benchmarks, names)]
    data = sorted(set(pd.read_csv(benchmarks / "mcu.csv")["data"]))
    if "mnist" not in data:
        lines[-1] += (
            f" `mcu` is of {' and '.join(data)}, which have fewer empty pixels than MNIST: its targets of "
            "cycles are meant for MNIST, and judged by no row of it. The modelled cycles on MNIST are those "
            "of the reference run, above."
        )
    return "\n".join(lines)


def measured(benchmarks: Path, names: list[str]) -> str:
    """When, at which commit and on what the tables named were measured, a sentence for each such occasion."""
    made = json.loads((benchmarks / "made.json").read_text(encoding="utf-8"))
    if missing := sorted(set(names) - set(made)):
        raise ValueError(
            f"{benchmarks / 'made.json'}: no entry for {', '.join(missing)}; measure with benchmarks/run.py, "
            "and copy with its option --keep"
        )
    occasions: dict[str, list[str]] = {}
    for name in names:
        occasions.setdefault(_occasion(made[name]), []).append(f"`{name}`")
    return " ".join(
        f"Measured {occasion}{': ' + ', '.join(found) if len(names) > 1 else ''}."
        for occasion, found in occasions.items()
    )


def _occasion(entry: dict) -> str:
    sets = f" with {', '.join(entry['instruction_sets'])}" if entry["instruction_sets"] else ""
    cores = "" if entry["cores"] is None else f", {entry['cores']} cores"
    return f"on {entry['date']} at commit `{entry['commit']}`, {entry['processor']}{sets}{cores}"


def _crossbar_speed(benchmarks: Path) -> Iterator[tuple[str, str, str]]:
    crossbar = pd.read_csv(benchmarks / "crossbar.csv").set_index(["figure", "mapping"])
    for figure, shows in (
        ("4a", "trial of a Fig. 4a configuration, two times"),
        ("4c", "trial of Fig. 4c at eight slices, twelve times"),
    ):
        for case, how in (
            ("mean, each alone", "alone"),
            ("mean, shared random numbers", "with the figure's others on one set of random numbers"),
        ):
            row = crossbar.loc[(figure, case)]
            yield f"{shows}, {how}", f"{row['ms']:.2f} ms", f"{row['ratio']:.1f} times a per-device loop"


def _training_speed(benchmarks: Path) -> Iterator[tuple[str, str, str]]:
    training = pd.read_csv(benchmarks / "training.csv").set_index("case")
    qat, plain, loop = training.loc["4bitsym"], training.loc["float"], training.loc["obvious loop, 4bitsym"]
    yield (
        "epoch of 120,000 MNIST samples, 4-bit QAT",
        f"{qat['wall_s']:.2f} s",
        f"{qat['wall_s'] / plain['wall_s']:.1f} times full precision; a per-sample loader takes "
        f"{loop['wall_s'] / qat['wall_s']:.0f} times as long",
    )


def _cells_speed(benchmarks: Path) -> Iterator[tuple[str, str, str]]:
    steps = pd.read_csv(benchmarks / "regularised.csv").set_index("case")
    fixed, step, learned = (steps.loc[name, "to_plain"] for name in ("fixed", "step", "multiplier"))
    yield (
        "step of regularised training, ResNet-8, 128 images, learned multipliers at 4 bits",
        f"{steps.loc['multiplier', 'processor_ms']:.0f} ms",
        f"{learned:.2f} times a plain step (fixed levels {fixed:.2f}, learned step {step:.2f}); "
        f"by distances to all levels {steps.loc[OBVIOUS, 'to_plain']:.2f}",
    )


def _spiking_speed(benchmarks: Path) -> Iterator[tuple[str, str, str]]:
    spiking = pd.read_csv(benchmarks / "spiking.csv").set_index("neurons")
    yield (
        "epoch of 60,000 images, spiking 784-128-10, 25 steps",
        f"{spiking.loc['fused loop', 'seconds']:.1f} s",
        f"snnTorch's neuron step by step takes {spiking.loc['step by step', 'ratio']:.1f} times as long",
    )


def _chips_speed(benchmarks: Path) -> Iterator[tuple[str, str, str]]:
    chips = pd.read_csv(benchmarks / "networks.csv").set_index("case")
    ours, limit = (chips.loc[name] for name in ("deployed network", "products alone"))
    yield (
        "ResNet-8 on simulated chips",
        f"{ours['chip_images_per_s']:,.0f} chips x images/s",
        f"{ours['to_obvious']:.1f} times a loop over the chips; its products alone would give "
        f"{limit['to_obvious']:.1f}",
    )


def time_spent(benchmarks: Path) -> str:
    """Where the time of the default run goes: the longest rules, the others in one row, the sum."""
    rules = pd.read_csv(benchmarks / "workflow.csv")
    total, rules = rules[rules["rule"] == "all"], rules[rules["rule"] != "all"]
    shown, rest = rules.head(LONGEST), rules.iloc[LONGEST:]
    others = rest.drop(columns="rule").sum().to_frame().T.assign(rule=f"{len(rest)} other rules")
    lines = ["| rule | jobs | processor seconds | of them starting and importing |", "|---|---|---|---|"]
    for row in pd.concat([shown, others, total.assign(rule="all")]).itertuples():
        name = row.rule if " " in row.rule or row.rule == "all" else f"`{row.rule}`"
        lines.append(f"| {name} | {row.jobs:.0f} | {row.processor_s:.0f} | {row.import_s:.0f} |")
    short = rules[rules["import_s"] > rules["processor_s"] / 2]
    longest = (short["processor_s"] / short["jobs"]).max()
    names = [name for name in DEFAULT_RUN if (benchmarks / f"{name}.csv").exists()]
    fresh = ""
    if "fresh" in names:
        rows = pd.read_csv(benchmarks / "fresh.csv").itertuples()
        took = " and ".join(
            f"`{row.command}` took {row.minutes:.3g} minutes (`{row.commit}`)" for row in rows
        )
        fresh = f"In a fresh clone, with setting up, {took}. "
    return "\n".join(
        [
            *lines,
            "",
            f"Of these jobs {short['jobs'].sum()}, none above {longest:.1f} s, import longer than they work: "
            f"they only join the tables of other jobs, or look at networks once. {fresh}"
            f"{measured(benchmarks, names)} The default run of the commit at hand may have other jobs.",
        ]
    )
