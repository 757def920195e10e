"""Labels at the ends of lines, in place of a legend."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_hex

from nonideal.plotting.looks import ink
from nonideal.plotting.style import LABEL_PT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.text import Annotation

ROW_PT = 1.25 * LABEL_PT  # height of one row of a label; letters with their descenders take 1.17 em
GAP_PT = 4.0  # between the end of a line and its label, in points
CROWDED_GAP_PT = 12.0  # the same where leaders need room
LEADER_FROM = 0.4  # a label moved by more than this share of its height gets a leader to its line
ROUNDING = 1e-9  # in the units of an axis' length; intervals that just fit must not count as too long


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> np.ndarray:
    """Move intervals apart as little as possible (least squares) so that none overlap.

    Parameters
    ----------
    wanted
        Centres wanted, shape ``[n]``.
    sizes
        Lengths of the intervals, ``[n]``.
    low, high
        Bounds of the intervals; ignored where they do not all fit between them.

    Returns
    -------
    numpy.ndarray
        Centres ``[n]``, in the order of the wanted ones.
    """
    from scipy.optimize import isotonic_regression  # here: a figure without such labels does not need it

    order = np.argsort(wanted, kind="stable")
    size = np.asarray(sizes, dtype=float)[order]
    # With the lengths before each interval taken off, "no overlap" reads "does not decrease": isotonic
    # regression. Clipping its solution solves the bounded problem.
    before = np.cumsum(size) - size / 2
    level = isotonic_regression(np.asarray(wanted, dtype=float)[order] - before).x
    if size.sum() <= high - low + ROUNDING:
        level = np.clip(level, low, max(low, high - size.sum()))
    centres = np.empty(len(size))
    centres[order] = level + before
    return centres


def label_lines(
    ax: Axes,
    lines: Iterable[Line2D] | None = None,
    labels: Sequence[str] | None = None,
    *,
    wrap: int = 18,
) -> list[Annotation]:
    """Write each line's label beside its right end, moved up or down where labels would overlap.

    Call it when everything else is drawn and the limits are final. The layout makes room on the right.

    Parameters
    ----------
    ax
        Axes with the lines.
    lines
        Lines to label; all with a label if None.
    labels
        Texts, one a line; the lines' own labels if None.
    wrap
        Longest row of a label in characters; longer labels are broken between words.

    Returns
    -------
    list of matplotlib.text.Annotation
        The labels, in the order of the lines. A moved one is joined to its line by a thin leader.

    Raises
    ------
    ValueError
        If there is not one text for each line, or a line has no point to show.
    """
    if lines is None:
        lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    lines = list(lines)
    labels = [str(line.get_label()) for line in lines] if labels is None else labels
    if len(labels) != len(lines):
        raise ValueError(f"there must be one label a line, got {len(labels)} for {len(lines)} lines")
    notes = []
    for line, text in zip(lines, labels, strict=True):
        note = ax.annotate(
            textwrap.fill(text, wrap, break_long_words=False),
            _end(ax, line),
            xytext=(GAP_PT, 0),
            textcoords="offset points",
            color=ink(to_hex(line.get_color())),
            fontsize=LABEL_PT,
            verticalalignment="center",
            linespacing=1.0,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": line.get_color(),
                "linewidth": 0.5,
                "relpos": (0, 0.5),
                "shrinkA": 0,
            },
        )
        notes.append(note)
    for _ in range(2):  # the room made for the labels moves the axes, so they are placed once more
        _place(ax, notes)
    return notes


def _end(ax: Axes, line: Line2D) -> tuple[float, float]:
    """Rightmost point of a line within the horizontal limits."""
    x, y = (np.asarray(values, dtype=float) for values in line.get_data())
    low, high = sorted(ax.get_xlim())
    seen = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (x >= low) & (x <= high))
    if len(seen) == 0:
        raise ValueError(f"line {line.get_label()!r} has no point within the limits to put a label at")
    end = seen[np.argmax(x[seen])]
    return float(x[end]), float(y[end])


def _place(ax: Axes, notes: list[Annotation]) -> None:
    figure = ax.figure
    figure.draw_without_rendering()
    point = figure.dpi / 72  # pixels
    ends = [ax.transData.transform(note.xy)[1] for note in notes]
    heights = [(note.get_text().count("\n") + 1) * ROW_PT * point for note in notes]
    centres = spread(ends, heights, ax.bbox.y0, ax.bbox.y1)
    shifts = centres - ends
    crowded = bool((np.abs(shifts) > LEADER_FROM * min(heights, default=0)).any())
    gap = CROWDED_GAP_PT if crowded else GAP_PT
    for note, shift, height in zip(notes, shifts, heights, strict=True):
        note.set_position((gap, shift / point))
        note.arrow_patch.set_visible(bool(abs(shift) > LEADER_FROM * height))
