"""The parts of the README that hold numbers, written from the reference run's tables.

``python -m nonideal.readme`` rewrites them; a test compares them with what it would write.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd

from nonideal import code_map, readme_speed, scales
from nonideal.files import write_text
from nonideal.page import verdict_of
from nonideal.schemas.published import ANSWERED
from nonideal.show import ours_text, published_text, signed
from nonideal.tables import facts
from nonideal.targets import TARGETS, Target

ROOT = Path(__file__).parents[2]


def parts(results: Path, benchmarks: Path) -> dict[str, str]:
    """Generated parts of the README by name.

    Parameters
    ----------
    results
        Folder of the reference run.
    benchmarks
        Folder of the benchmarks' tables.
    """
    compared = pd.read_csv(results / "tables/compare_published.csv")
    seconds = json.loads((results / "timings.json").read_text(encoding="utf-8"))
    return {
        "targets": _targets(compared, seconds),
        "published": _published(compared),
        "accuracy": _accuracy(results),
        "firmware": _firmware(pd.read_csv(results / "tables/table_kernels.csv")),
        "spiking": _spiking(results / "tables"),
        "networks": _networks(results / "networks"),
        "speed": readme_speed.speed(benchmarks),
        "time": readme_speed.time_spent(benchmarks),
        "code": _code(),
        "made": _made(results),
    }


def rewrite(text: str, generated: dict[str, str]) -> str:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    for name, part in generated.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text, count = re.subn(pattern, lambda m, p=part: f"{m[1]}{p}\n{m[2]}", text, flags=re.S)
        if count != 1:
            raise ValueError(
                f"README.md: expected one part <!-- {name} --> ... <!-- /{name} -->, found {count}"
            )
    return text


def _targets(compared: pd.DataFrame, seconds: dict[str, dict[str, float]]) -> str:
    lines = [
        "| target | shows | for example | published | ours | inside / comparable | minutes on two cores | "
        "processor minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for target in TARGETS:
        rows = compared[target.published(compared)]
        answered = rows[rows["verdict"].isin(ANSWERED) & ~rows["by_construction"]]
        deciding = answered[answered["same_scale"]]
        count = "other scale" if len(answered) else "–"
        if len(deciding):
            count = f"{(deciding['verdict'] == 'inside').sum()} / {len(deciding)}"
        spent = target.two_cores(seconds), target.minutes(seconds)
        minutes = " | ".join("–" if took is None else f"{took:.1f}" for took in spent)
        example = " | ".join(_example(target, rows))
        lines.append(f"| `{target.name}` | {target.shows} | {example} | {count} | {minutes} |")
    hours = sum(took["processor_s"] for took in seconds.values()) / 3600
    untimed = sorted({rule for target in TARGETS for rule in target.rules} - set(seconds))
    names = " and ".join(f"`{rule}`" for rule in untimed)
    missing = f", without {names}, which were not timed" if untimed else ""
    return "\n".join([*lines, "", f"The reference run took {hours:.0f} processor hours in all{missing}."])


def _example(target: Target, rows: pd.DataFrame) -> tuple[str, str, str]:
    """Quantity, published value and ours with its interval of a target's example."""
    if not target.example:
        return "–", "–", "–"
    row = rows.set_index("quantity").loc[target.example]
    published = signed(published_text(row))
    if row["verdict"] in ANSWERED and not row["same_scale"]:
        parts = row["published_scale"].split("; ")
        published += f" ({next((part for part in parts if scales.UNKNOWN.search(part)), parts[0])})"
    return target.example, published, signed(ours_text(row))


def _published(compared: pd.DataFrame) -> str:
    verdicts = compared["verdict"].value_counts()
    inside, outside, undecided = (verdicts.get(name, 0) for name in ("inside", "outside", "undecided"))
    shown = pd.Series([verdict_of(row) for row in compared.to_dict("records")]).value_counts()
    decided = [shown.get(name, 0) for name in ("reproduced", "not reproduced", "undecided")]
    waiting, context = (verdicts.get(name, 0) for name in ("not run", "not compared"))
    return (
        f"`compare_published` holds {len(compared)} published values with their sources. The reference run "
        f"answers {inside + outside + undecided} of them: {inside} inside the stated tolerance, {outside} "
        f"outside, {undecided} undecided because our interval straddles its border. Of those answered, "
        f"{shown.get('scale differs', 0)} come from data, networks or arrays other than published, or are "
        "published without saying of which, and "
        f"{shown.get('met by construction', 0)} are met by any working implementation, such as numbers of "
        "levels, which the table above leaves out; neither group decides anything. That leaves "
        f"{decided[0]} reproduced, {decided[1]} not reproduced and {decided[2]} undecided; a quantity "
        f"published more than once, as in a log and in a text, counts each time. Of the others, {context} "
        "stand there as context: methods of others and quantities that no table of ours holds, so that no "
        f"run answers them; {waiting} wait for data sets or settings that are not part of this run."
    )


def _accuracy(results: Path) -> str:
    bits = pd.read_csv(results / "tables/table_bits.csv")
    epochs = pd.read_parquet(results / "training/float/history.parquet", columns=["epoch"])["epoch"].max()
    lines = [
        f"Test accuracy after the last of {epochs} epochs, mean and half width of the 95 % interval over "
        f"{bits['seeds'].min()} seeds:",
        "",
        "| format | bits per weight | trained with it (QAT) | quantised afterwards (PTQ) |",
        "|---|---|---|---|",
    ]
    named = bits.set_index(["method", "format"])
    for (method, name), row in named.sort_values("bits").iterrows():
        if method == "qat":
            lines.append(
                f"| `{name}` | {row['bits']:.3g} | {_percent(row)} | {_percent(named.loc['ptq', name])} |"
            )
    row = named.loc["float", "float"]
    lines.append(f"| full precision | 32 | {_percent(row)} | |")
    return "\n".join(lines)


def _percent(row: pd.Series) -> str:
    """Mean and half its interval; of an interval that is cut, for accuracies end at 100 %, both ends."""
    mean, low, high = (100 * row[name] for name in ("mean", "low", "high"))
    if abs((high - mean) - (mean - low)) > 0.01:
        return f"{mean:.2f} % ({low:.2f} to {high:.2f})"
    return f"{mean:.2f} ± {(high - low) / 2:.2f} %"


def _firmware(formats: pd.DataFrame) -> str:
    lines = [
        "| format | accuracy | flash | RAM and stack | modelled cycles | faster than plain kernel | "
        "images verified |",
        "|---|---|---|---|---|---|---|",
    ]
    named = formats.set_index(["kernel", "format"])
    for name, row in named.loc["fast"].sort_values("flash_bytes").iterrows():
        plain = named.loc[("plain", name), "cycles"] / row["cycles"]
        lines.append(
            f"| `{name}` | {100 * row['test_accuracy']:.2f} % | {row['flash_bytes']:,} B | "
            f"{row['ram_bytes'] + row['stack_bytes']:,} B | {row['cycles']:,.0f} | {plain:.1f} × | "
            f"{row['verified_images']:,} |"
        )
    return "\n".join(lines)


def _spiking(folder: Path) -> str:
    """Spiking networks: accuracy and cost of every format, and the recordings of an event camera."""
    precision = pd.read_csv(folder / "table_snn_precision.csv").set_index(["method", "format"])
    lines = [
        "| format | bits per weight | trained with it (QAT) | quantised afterwards (PTQ) | bytes exported |",
        "|---|---|---|---|---|",
    ]
    for name, row in precision.loc["qat"].sort_values("bits", ascending=False).iterrows():
        after = _percent(precision.loc[("ptq", name)])
        lines.append(
            f"| `{name}` | {row['bits']:.3g} | {_percent(row)} | {after} | {row['weight_bytes']:,.0f} |"
        )
    lines.append(f"| full precision | 32 | {_percent(precision.loc[('float', 'float')])} | | |")
    verified = pd.read_csv(folder / "table_snn_verified.csv")
    events = pd.read_csv(folder / "table_snn_events.csv").set_index("format")
    row = events.loc["4bit"]
    gap, low, high = (signed(f"{100 * row[name]:.1f}") for name in ("gap", "gap_low", "gap_high"))
    return "\n".join(
        [
            *lines,
            "",
            f"Python and C agreed in {verified['neuron_steps'].sum():,} spikes and silences. On "
            f"{row['recordings']:,} recordings of `{row['source']}`, {row['folds']}-fold: full precision "
            f"{_percent(events.loc['float'])}, 4 bits {_percent(row)}, paired difference "
            f"{gap} points ({low} to {high}; "
            "intervals allow for the training recordings that folds share).",
        ]
    )


def _networks(folder: Path) -> str:
    """Last epoch of the networks for the crossbars, whose states are part of the reference."""
    lines = [
        "| network | data | epochs | test accuracy, no hardware | with mirror images | minutes | threads |",
        "|---|---|---|---|---|---|---|",
    ]
    mirrored, starts = {}, {}
    if (compared := folder / "architectures.parquet").exists():
        named = pd.read_parquet(compared).set_index("name")
        mirrored, starts = named["mirrored_accuracy"].dropna().to_dict(), named["start"].to_dict()
    found = [
        path
        for kind in ("", "others/", "teachers/")
        for path in sorted(folder.glob(f"{kind}*/history.parquet"))
    ]
    for path in found:
        history = pd.read_parquet(path).sort_values("epoch")
        last = history.iloc[-1]
        settings = facts(path)["params"]["settings"]
        name = f"{last['architecture']}, {last['network'].replace('_', '-')}"
        if start := starts.get(path.parent.name):
            name += (", continued" if last["network"] == "taught" else "") + f" from {start}"
        own = None if last["network"] in ("noise_aware", "ternary") else settings["float"].get("threads")
        both = mirrored.get(path.parent.name)
        cells = (
            name,
            last["dataset"],
            str(last["epoch"]),
            f"{100 * last['test_accuracy']:.2f} %",
            "–" if both is None else f"{100 * both:.2f} %",
            f"{history['seconds'].sum() / 60:.0f}",
            str(own or settings["threads"]),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _code() -> str:
    """Where the code of every figure and table is."""
    lines = [
        "| target | notebook | made from | rule that writes the table | what its script imports of "
        "`src/nonideal/` |",
        "|---|---|---|---|---|",
    ]
    for name, notebook, sources, rules, library in code_map.rows(ROOT):
        shown = f"`{notebook}`" if notebook else ""
        lines.append(f"| `{name}` | {shown} | {sources} | {rules} | {library} |")
    return "\n".join(lines)


def _made(results: Path) -> str:
    """How many tables of the reference were made by which commits."""
    made = [facts(path) for path in sorted(results.rglob("*.parquet"))]
    commits = [str(entry["commit"]) for entry in made]
    named = sum("processor" in entry for entry in made)
    changed = sum(commit.endswith("-dirty") for commit in commits)
    return (
        f"- **Reference run.** Not one run: its {len(commits)} tables were made at {len(set(commits))} "
        f"states of the code, {changed} of them with edits that were not committed at the time. `nonideal "
        "verify results/reference` finds every file whole, and lists those made by other code or another "
        "configuration than lies here. What a table was made from is in its metadata "
        f"(`nonideal.tables.facts`): {named} of them name the processor too, with what decides "
        "on its last digits (instruction sets, threads and kernels of PyTorch); those made before this was "
        "recorded do not."
    )


def main() -> None:
    """Rewrite README.md."""
    readme = ROOT / "README.md"
    generated = parts(ROOT / "results/reference", ROOT / "benchmarks/reference")
    write_text(readme, rewrite(readme.read_text(encoding="utf-8"), generated))


if __name__ == "__main__":
    sys.exit(main())
