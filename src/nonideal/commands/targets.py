"""``nonideal list``: what the workflow builds, a line each."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

from nonideal import code_map
from nonideal.commands import UsageError
from nonideal.targets import TARGETS

EXAMPLE = "nonideal list crossbar"

SNAKEFILE = Path("workflow/Snakefile")
REFERENCE = Path("results/reference/timings.json")
# An entry of a study's FIGURES or TABLES.
ENTRY = re.compile(r'"((?:figure|table)_\w+|compare_published)"\]?(?::| =)')
JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")
MARKUP = re.compile(r"\*\*[^*]*\*\*\s*|``|\*")
# Targets that stand for many files and are no studies.
GROUPS = {
    "all": "everything, with the manifest that nonideal verify reads (the default)",
    "results": "everything but the manifest",
    "data": "data sets, converted once",
    "figures": "every figure and every table",
}
WIDTH = 70  # of a line taken from a caption


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("word", nargs="?", help="show targets whose line or study contains this")


def run(arguments: argparse.Namespace) -> int:
    """Print the targets."""
    checkout = find_checkout(Path.cwd())
    lines = list(targets(checkout))
    if arguments.word is not None:
        lines = [line for line in lines if arguments.word.lower() in " ".join(line).lower()]
        if not lines:
            raise UsageError(f"no target speaks of {arguments.word!r}; nonideal list shows all")
    widths = [max(len(line[k]) for line in lines) for k in range(2)]
    for name, minutes, shows, _ in lines:
        print(f"{name:{widths[0]}}  {minutes:>{widths[1]}}  {shows}")
    if checkout is None:
        print(
            f"\nNo checkout of the project here: neither this folder nor one above it has {SNAKEFILE}.\n"
            "The targets above are those this version knows; clone the project and run snakemake there."
        )
    else:
        measured = (checkout / REFERENCE).is_file()
        print(
            "\nBuild one in the checkout: snakemake --cores all TARGET"
            + ("; min: processor minutes of the reference run." if measured else ".")
        )
    return 0


def find_checkout(folder: Path) -> Path | None:
    """Top folder of the checkout that `folder` lies in, or None."""
    return next((place for place in (folder, *folder.parents) if (place / SNAKEFILE).is_file()), None)


def targets(checkout: Path | None) -> Iterator[tuple[str, str, str, str]]:
    """Name, minutes (empty if not measured), one line about every target, and its study if it has one.

    Parameters
    ----------
    checkout
        Top folder of the project; without it the targets that this version of the package knows.
    """
    known = {target.name: target for target in TARGETS}
    seconds = {}
    if checkout is not None and (checkout / REFERENCE).is_file():
        seconds = json.loads((checkout / REFERENCE).read_text(encoding="utf-8"))
    if checkout is not None:
        every = "every result of the study {}"
        yield from ((name, "", GROUPS.get(name, every).format(name), "") for name in _groups(checkout))
    studies = dict.fromkeys(known, "") if checkout is None else dict(_names(checkout))
    for name, study in studies.items():
        target = known.get(name)
        minutes = None if target is None else target.minutes(seconds)
        shows = _caption(checkout, name) if target is None else target.shows
        yield name, "" if minutes is None else f"{minutes:.1f} min", shows, study


def _groups(checkout: Path) -> list[str]:
    """Targets that stand for many files: the rules without a script."""
    snakefile = (checkout / SNAKEFILE).read_text(encoding="utf-8")
    found = re.search(r"^localrules:\n((?:    \w+,?\n)+)", snakefile, re.M)
    return re.findall(r"\w+", found[1]) if found else []


def _names(checkout: Path) -> Iterator[tuple[str, str]]:
    """Figures and tables in the order of the Snakefile, each with the study whose rules it stands among."""
    for path in code_map.included(checkout):
        yield from ((entry, path.stem) for entry in ENTRY.findall(path.read_text(encoding="utf-8")))


def _caption(checkout: Path | None, name: str) -> str:
    """Start of a figure's or table's caption, without markup and values of the configuration."""
    path = Path() if checkout is None else checkout / f"workflow/report/{name}.rst"
    if not path.is_file():
        return ""
    text = MARKUP.sub("", JINJA.sub("...", path.read_text(encoding="utf-8").split("\n\n")[0]))
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else line[:WIDTH].rsplit(" ", 1)[0] + " ..."
