"""Bands and bars about a mean, and axes of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.markers import CARETDOWN, CARETLEFT, CARETRIGHT, CARETUP
from matplotlib.ticker import FixedLocator, Formatter, NullLocator

from nonideal.plotting.looks import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

# A month of 30 days and a year of 365.
TIMES_S = MappingProxyType(
    {20.0: "20 s", 3600.0: "1 h", 86400.0: "1 day", 2592000.0: "1 month", 31536000.0: "1 year"}
)
BARS_ZORDER = 1.9  # under the markers, which have 2
ERROR_TICKS = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3)
CHARACTER_EM = 0.6  # average width of a letter of DejaVu Sans in text sizes
NAME_GAP_PT = 1.5  # least distance of neighbouring names of times, in points


def band(ax: Axes, x: Any, mean: Any, half_width: Any, *, style: Look, **line: Any) -> Line2D:
    """Draw a mean with a band of one half-width to either side; say in the caption what the width is.

    Parameters
    ----------
    ax
        Where to draw.
    x, mean, half_width
        Arrays of shape ``[n]``; the half-width is not negative.
    style
        Colour, line style, marker and name of the line.
    **line
        Further keywords for ``Axes.plot``.

    Returns
    -------
    matplotlib.lines.Line2D
        The line of the means.

    Raises
    ------
    ValueError
        If the shapes differ or a half-width is negative.
    """
    x, mean, half_width = (np.asarray(values, dtype=float) for values in (x, mean, half_width))
    if not x.shape == mean.shape == half_width.shape or x.ndim != 1:
        shapes = f"{x.shape}, {mean.shape} and {half_width.shape}"
        raise ValueError(f"x, mean and half_width must be one-dimensional and equally long, got {shapes}")
    if (half_width < 0).any():
        raise ValueError(f"half_width must not be negative, got {half_width.min()}")
    ax.fill_between(x, mean - half_width, mean + half_width, color=style.color, alpha=0.2, linewidth=0)
    (drawn,) = ax.plot(x, mean, **(style.line | {"label": style.label} | line))
    return drawn


def bars(
    ax: Axes,
    place: Any,
    low: Any,
    high: Any,
    *,
    color: str,
    within: tuple[float, float] = (-np.inf, np.inf),
    along: str = "y",
    linewidth: float = 1.0,
) -> None:
    """Draw intervals as bars: a cap where an interval ends, an arrowhead where it is cut.

    Parameters
    ----------
    ax
        Where to draw.
    place
        Where the bars stand on the other axis, shape ``[n]``; one number is one bar.
    low, high
        Ends of the intervals, ``[n]``. An interval with an end that is NaN is not drawn.
    color
        Colour of all bars.
    within
        What the axis can hold; intervals are cut there.
    along
        Axis of the intervals, ``"x"`` or ``"y"``.
    linewidth
        Width of bars and caps in points.

    Raises
    ------
    ValueError
        If `along` names no axis.
    """
    if along not in ("x", "y"):
        raise ValueError(f"along must be 'x' or 'y', got {along!r}")
    place, low, high = (np.atleast_1d(np.asarray(values, dtype=float)) for values in (place, low, high))
    drawn = np.isfinite(low) & np.isfinite(high)
    place, low, high = place[drawn], low[drawn], high[drawn]
    start, end = np.clip(low, *within), np.clip(high, *within)
    lines = ax.vlines if along == "y" else ax.hlines
    lines(place, start, end, color=color, linewidth=linewidth, zorder=BARS_ZORDER)
    cap, down, up = ("_", CARETDOWN, CARETUP) if along == "y" else ("|", CARETLEFT, CARETRIGHT)
    size = 2 * mpl.rcParams["errorbar.capsize"]
    for tip, cut, arrow in ((start, low < within[0], down), (end, high > within[1], up)):
        for chosen, marker, grown in ((~cut, cap, size), (cut, arrow, size + 1)):
            ends = place[chosen], tip[chosen]
            ax.plot(
                *(ends if along == "y" else ends[::-1]),
                color=color,
                marker=marker,
                markersize=grown,
                markeredgecolor=color,
                markeredgewidth=linewidth,
                linestyle="none",
                zorder=BARS_ZORDER,
            )


class TimeFormatter(Formatter):
    """Name times on a horizontal axis so that no two names touch, however narrow it is.

    Names stand on one line if all fit, else on two (``1`` over ``month``); a name that would even then touch
    its left neighbour is left out.

    Parameters
    ----------
    names
        Time in seconds to its name.
    """

    def __init__(self, names: Mapping[float, str]) -> None:
        self.names = names

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Name one time."""
        return self.names.get(x, "")

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Name all ticks; Matplotlib asks at every drawing, when the width of the axis is known."""
        low, high = sorted(self.axis.get_view_interval())
        names = {value: self.names[value] for value in sorted(values) if low <= value <= high}
        if self._fitting(names) != names:
            names = self._fitting({value: name.replace(" ", "\n") for value, name in names.items()})
        return [names.get(value, "") for value in values]

    def _fitting(self, names: dict[float, str]) -> dict[float, str]:
        """Keep the names that do not touch, from the left."""
        axes = self.axis.axes
        points = 72 / axes.figure.dpi
        kept, last = {}, -np.inf
        for value, name in names.items():
            half = max(map(len, name.split("\n"))) * CHARACTER_EM * mpl.rcParams["xtick.labelsize"] / 2
            centre = axes.transData.transform((value, 1))[0] * points
            if centre - half >= last:
                kept[value] = name
                last = centre + half + NAME_GAP_PT
        return kept


def time_axis(ax: Axes) -> None:
    """Make the x axis logarithmic in seconds, with ticks people say: 20 s, 1 h, 1 day, 1 month, 1 year.

    Parameters
    ----------
    ax
        Axes whose x values are in seconds; times outside its limits do not show.
    """
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sorted(TIMES_S)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(TimeFormatter(TIMES_S))


def since_programming(time_s: float) -> str:
    """Say how long after programming a chip is read, as titles do: ``1 month after programming``."""
    return TIMES_S.get(time_s, f"{time_s:g} s") + " after programming"


def error_axis(ax: Axes, errors: Any) -> None:
    """Make the y axis logarithmic, with plain numbers as ticks and limits just outside `errors`."""
    errors = np.asarray(errors, dtype=float)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(FixedLocator(list(ERROR_TICKS)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_ylim(errors.min() * 0.87, errors.max() * 1.15)
