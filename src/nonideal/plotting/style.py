"""The style of every figure, and figures as files that do not change from one run to the next."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import matplotlib as mpl

from nonideal import files
from nonideal.plotting.looks import MAPPINGS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMN_IN, PAGE_IN = 3.4, 7.0  # width of a figure in inches: one column, the whole page
DOTS_PER_INCH = 200  # of the PNG preview
LABEL_PT = 7.5  # text size of labels in points

STYLE = MappingProxyType(
    {
        "font.family": "DejaVu Sans",  # comes with Matplotlib, so every machine sets the same text
        "mathtext.fontset": "dejavusans",
        "font.size": 8,
        "axes.titlesize": 8.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 8,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "legend.fontsize": LABEL_PT,
        "legend.frameon": False,
        "legend.handlelength": 2.6,  # long enough to show a dash pattern
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.7,
        "axes.edgecolor": "#444444",
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": "#e2e2e2",
        "grid.linewidth": 0.5,
        "axes.formatter.min_exponent": 3,  # 0.02 rather than a power of ten
        "xtick.color": "#444444",
        "ytick.color": "#444444",
        "xtick.labelcolor": "#1a1a1a",
        "ytick.labelcolor": "#1a1a1a",
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.minor.width": 0.5,
        "ytick.minor.width": 0.5,
        "lines.linewidth": 1.4,
        "lines.markersize": 4.5,
        "lines.markeredgewidth": 0.5,
        "lines.markeredgecolor": "white",  # keeps markers apart where lines cross
        "errorbar.capsize": 2,
        "figure.figsize": (COLUMN_IN, 2.5),
        "figure.dpi": 150,
        "figure.constrained_layout.use": True,
        "axes.prop_cycle": mpl.cycler(
            color=[look.color for look in MAPPINGS.values()],
            linestyle=[look.linestyle for look in MAPPINGS.values()],
        ),
    }
)
# Text as outlines: browsers and typst then draw the same figure whatever fonts they have. The salt fixes
# the identifiers in an SVG file, which are random otherwise. Type 42 keeps the text of a PDF searchable.
OUTPUT = MappingProxyType({"svg.fonttype": "path", "svg.hashsalt": "nonideal", "pdf.fonttype": 42})
# What Matplotlib would add by itself: dates, and its version.
METADATA = MappingProxyType(
    {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
)


def use_style() -> None:
    """Set Matplotlib's defaults (``matplotlib.rcParams``) to the style of this project."""
    mpl.rcParams.update({**STYLE, **OUTPUT})


def save(figure: Figure, stem: str | os.PathLike[str], table: pd.DataFrame | None = None) -> list[Path]:
    """Write a figure as SVG, PDF and PNG, and the table behind it as CSV.

    Each file is whole or absent, and depends on the figure and the version of Matplotlib alone: saving again
    writes the same bytes.

    Parameters
    ----------
    figure
        The finished figure; its layout is frozen.
    stem
        Path without suffix; ``.svg``, ``.pdf``, ``.png`` and ``.csv`` are added.
    table
        What the figure shows, written without its index.

    Returns
    -------
    list of pathlib.Path
        The files written.
    """
    # Each drawing adjusts the layout a little; frozen after one, all files show the same.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    written = []
    for kind, metadata in METADATA.items():
        path = Path(f"{os.fspath(stem)}.{kind}")
        with files.atomic(path) as temporary, mpl.rc_context(dict(OUTPUT)):
            figure.savefig(temporary, format=kind, dpi=DOTS_PER_INCH, metadata=dict(metadata))
        written.append(path)
    if table is not None:
        path = Path(f"{os.fspath(stem)}.csv")
        files.write_text(path, table.to_csv(index=False, lineterminator="\n"))
        written.append(path)
    return written
