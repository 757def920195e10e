"""One page for a run: published values and ours with a verdict each, every figure with its caption, tables.

The page is one file that opens without a network; what it links to lies beside it in the run's folder.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import docutils.core
import docutils.utils
import jinja2
import pandas as pd
from markupsafe import Markup

from nonideal.files import write_text
from nonideal.schemas.published import ANSWERED
from nonideal.show import ours_text, published_text, signed, text
from nonideal.targets import TARGETS, evidence

# Folder of a run -> heading of the figures whose first table lies there, in the order of the page.
TRACKS = {
    "crossbar": "Phase-change-memory crossbars",
    "training": "Low-bit networks",
    "capacity": "Low-bit networks",
    "quantscale": "Low-bit networks",
    "firmware": "Microcontroller",
    "flash": "Microcontroller",
    "cnn": "Microcontroller",
    "networks": "Networks on phase-change memory",
    "regularised": "Training for faults and variability",
    "spiking": "Spiking networks",
    "fpga": "Circuits",
}
OTHER = "More"  # figures of other folders
# Verdict of table compare_published -> verdict of a claim, in the order of the page.
VERDICTS = {
    "inside": "reproduced",
    "by construction": "met by construction",
    "outside": "not reproduced",
    "scale differs": "scale differs",
    "undecided": "undecided",
    "not run": "not run",
    "not compared": "not compared",
}
SVG_SIZE = re.compile(r'<svg[^>]*?viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', re.DOTALL)
PIXELS_PER_POINT = 4 / 3  # CSS: 96 pixels and 72 points an inch
# Links and images in captions come from this project alone; files must not be pulled in all the same.
DOCUTILS = {"file_insertion_enabled": False, "raw_enabled": False, "halt_level": 2, "warning_stream": False}


class Figure(NamedTuple):
    """A figure as the page shows it; `svg` is in base64, width and height are in CSS pixels."""

    name: str
    title: str
    svg: str
    width: int
    height: int
    caption: str
    tables: list[str]


class Run(NamedTuple):
    """What the workflow knows of a run.

    Tables by figure and parameter, source by table, configuration, and of each table, by its path, what the
    run's provenance records: ``commit`` and ``time_utc``. Command that makes the run.
    """

    figures: Mapping[str, Mapping[str, str]]
    tables: Mapping[str, str]
    config: Mapping[str, Any]
    made: Mapping[str, Mapping[str, Any]]
    command: str = "snakemake --cores all"


def write(
    run: Run,
    compared: pd.DataFrame,
    *,
    results: str | os.PathLike[str],
    report: str | os.PathLike[str],
    target: str | os.PathLike[str],
) -> None:
    """Write the page of a run.

    Parameters
    ----------
    run
        Figures, tables and configuration.
    compared
        Rows of table ``compare_published``.
    results
        Folder of the run, with ``figures/``.
    report
        Folder of the captions ``<name>.rst``, of ``workflow.rst`` and of the template ``page.html``.
    target
        Page to write.

    Raises
    ------
    ValueError
        If a caption is not valid reStructuredText, or a figure is no SVG with a view box; names the file.
    FileNotFoundError
        If a figure or a caption is missing.
    """
    results, report = Path(results), Path(report)
    shown = {*run.figures, *run.tables}
    claims = [_claim(row, shown) for row in compared.to_dict("records")]
    verdicts = [claim["verdict"] for claim in claims]
    counts = {verdict: verdicts.count(verdict) for verdict in VERDICTS.values() if verdict in verdicts}
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["anchor"] = _anchor
    page = environment.from_string((report / "page.html").read_text(encoding="utf-8")).render(
        run=run.config["run"],
        seed=run.config["seed"],
        command=run.command,
        made=made_text(run.made),
        question=(report / "workflow.rst").read_text(encoding="utf-8").split("?")[0] + "?",
        figures=run.figures,
        tracks=_tracks(run, results, report),
        claims=sorted(claims, key=lambda claim: list(counts).index(claim["verdict"])),
        claim_tracks=sorted({claim["track"] for claim in claims}),
        counts=counts,
        tables=[_table(name, source, run.config, report) for name, source in sorted(run.tables.items())],
    )
    write_text(target, page)


def made_text(made: Mapping[str, Mapping[str, Any]]) -> str:
    """When, at which commits and on what processors tables were made, in a sentence."""
    entries = sorted(made.values(), key=lambda entry: entry["time_utc"])
    if not entries:
        return ""
    commits = list(dict.fromkeys(entry["commit"].removesuffix("-dirty") for entry in entries))
    days = list(dict.fromkeys(entry["time_utc"][:10] for entry in entries))
    edited = sum(entry["commit"].endswith("-dirty") for entry in entries)
    when = f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
    where = f"commit {commits[0]}" if len(commits) == 1 else f"{len(commits)} commits, the last {commits[-1]}"
    but = f"; {edited} with edits not committed then" if edited else ""
    named = [entry["processor"] for entry in entries if entry.get("processor")]
    models = list(dict.fromkeys(named))
    on = ""
    if models:
        known = "" if len(named) == len(entries) else f", {len(named)} of {len(entries)} known to be"
        on = f"{known} on {models[0] if len(models) == 1 else f'{len(models)} kinds of processor'}"
    return f"Tables made {when} at {where}{on}{but}; provenance.json has each of them."


def verdict_of(row: Mapping[str, Any]) -> str:
    """Verdict of a claim from a row of table ``compare_published``.

    A value confirms or contradicts the publication only where both come from the same data and the same
    network, as far as the descriptions of their scales name any, and where it could have come out otherwise.
    """
    if row["verdict"] == "inside" and row["by_construction"]:
        return VERDICTS["by construction"]
    if row["verdict"] in ANSWERED and not row["same_scale"]:
        return VERDICTS["scale differs"]
    return VERDICTS[row["verdict"]]


def _claim(row: Mapping[str, Any], shown: Collection[str]) -> dict[str, str]:
    behind = evidence(row)
    return {
        "track": row["track"].replace("_", " "),
        "place": row["figure"],
        "quantity": row["quantity"],
        "published": signed(published_text(row)),
        "ours": signed(ours_text(row)),
        "tolerance": signed(text(row["tolerance"])) + (f" {row['unit']}" if row["unit"] else ""),
        "verdict": verdict_of(row),
        "scale": row["scale"] or "",
        "published_scale": row["published_scale"] or "as stated",
        "source": row["source"],
        "evidence": behind if behind in shown else "",
    }


def _tracks(run: Run, results: Path, report: Path) -> list[dict[str, Any]]:
    """Headings with their figures."""
    titles = {target.name: target.shows for target in TARGETS}
    found: dict[str, list[Figure]] = {title: [] for title in (*TRACKS.values(), OTHER)}
    for name, sources in run.figures.items():
        folder = next(iter(sources.values())).removeprefix(f"results/{run.config['run']}/").split("/")[0]
        title = titles.get(name, name.removeprefix("figure_").replace("_", " "))
        drawing = results / "figures" / f"{name}.svg"
        found[TRACKS.get(folder, OTHER)].append(
            Figure(
                name,
                title[0].upper() + title[1:],
                *_svg(drawing),
                _caption(report / f"{name}.rst", run.config),
                list(sources.values()),
            )
        )
    return [
        {"title": title, "anchor": _anchor(title), "figures": figures}
        for title, figures in found.items()
        if figures
    ]


def _svg(path: Path) -> tuple[str, int, int]:
    drawing = path.read_bytes()
    size = SVG_SIZE.search(drawing.decode("utf-8"))
    if size is None:
        raise ValueError(f"{path}: no SVG with a view box; delete it and draw it again")
    width, height = (round(float(points) * PIXELS_PER_POINT) for points in size.groups())
    return base64.b64encode(drawing).decode("ascii"), width, height


def _table(name: str, source: str, config: Mapping[str, Any], report: Path) -> dict[str, Any]:
    return {"name": name, "source": source, "caption": _caption(report / f"{name}.rst", config)}


def _caption(path: Path, config: Mapping[str, Any]) -> Markup:
    """Caption as HTML: a Jinja template in reStructuredText, as in Snakemake's own report."""
    source = jinja2.Template(path.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined).render(
        snakemake=_Job(config)
    )
    try:
        parts = docutils.core.publish_parts(
            source, source_path=str(path), writer="html5", settings_overrides=DOCUTILS
        )
    except docutils.utils.SystemMessage as error:
        raise ValueError(f"{path}: not valid reStructuredText: {error}") from None
    return Markup(parts["body"])


class _Job(NamedTuple):
    """What captions may use of Snakemake's object."""

    config: Mapping[str, Any]


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
