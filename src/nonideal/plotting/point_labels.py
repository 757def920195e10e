"""Labels beside points, in place of a legend.

Of the places about each point the cheapest are chosen together. Labels that push one another away, as those
of adjustText do, end further from their points here, and with more leaders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text

from nonideal.plotting.looks import ink
from nonideal.plotting.style import LABEL_PT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

DISTANCES_PT = (6.0, 9.0, 13.0, 18.0, 25.0, 34.0, 45.0, 60.0, 80.0)  # tried between a point and its label
DIRECTIONS = 24  # tried, in equal steps
MARKER_PT = 4.0  # half the width of a marker, with its edge
PAD_PT = 1.5  # kept free about a label
LEADER_PT = 8.0  # a label further from its point gets a leader
SWEEPS = 20  # each places every label anew, given the others; a few settle it
# What a label costs, beside the points of its leader's length.
NEVER = 1e4  # on another label or marker, out of the axes, leaders that cross or pass through a label
ON_MARKER = 300.0  # a leader across another marker
ON_LINE = 25.0  # a label over a line, for each
ACROSS_LINE = 4.0  # a leader across a line, for each
ROUNDING = 1e-9  # in points; a stroke along an axis must not divide by zero


def label_points(
    ax: Axes, x: Sequence[float], y: Sequence[float], labels: Sequence[str], colors: Sequence[str]
) -> list[Annotation]:
    """Write a label beside each point, clear of markers, of text and of each other, if possible of lines.

    Call it when everything else is drawn and the limits are final. A label that has to stand further away is
    joined to its point by a thin leader; leaders do not cross.

    Parameters
    ----------
    ax
        Axes with the points. What is drawn in them is avoided: markers and text first, then lines and bars.
    x, y
        Points in the units of the axes, shape ``[n]`` each.
    labels, colors
        Text and colour of each point's label, ``[n]``.

    Returns
    -------
    list of matplotlib.text.Annotation
        The labels, in the order of the points.

    Raises
    ------
    ValueError
        If there is not one text and one colour for each point.
    """
    if not len(x) == len(y) == len(labels) == len(colors):
        counts = f"{len(x)}, {len(y)}, {len(labels)} and {len(colors)}"
        raise ValueError(f"there must be one y, label and colour for each x, got {counts}")
    marks, strokes, texts = _drawn(ax)
    point = ax.figure.dpi / 72  # pixels
    origins = ax.transData.transform(np.column_stack([x, y])) / point
    marks, strokes, texts = marks / point, strokes / point, texts / point
    places = []
    for label, origin in zip(labels, origins, strict=True):
        boxes, leaders = _places(_size(ax, label) / point + 2 * PAD_PT, origin)
        places.append((boxes, leaders, _cost(boxes, leaders, ax.bbox.extents / point, marks, strokes, texts)))
    notes = []
    for i, (origin, (boxes, leaders, _), k) in enumerate(zip(origins, places, _choose(places), strict=True)):
        box, leader = boxes[k], leaders[k]
        arrow = {
            "arrowstyle": "-",
            "color": colors[i],
            "linewidth": 0.5,
            "shrinkA": 0,
            "shrinkB": 0,
            "relpos": tuple((leader[1] - box[:2]) / (box[2:] - box[:2])),
        }
        note = ax.annotate(
            labels[i],
            (x[i], y[i]),
            xytext=tuple(box[:2] + PAD_PT - origin),
            textcoords="offset points",
            color=ink(to_hex(colors[i])),
            fontsize=LABEL_PT,
            verticalalignment="bottom",
            arrowprops=arrow if np.linalg.norm(leader[1] - leader[0]) > LEADER_PT else None,
        )
        notes.append(note)
    return notes


def _drawn(ax: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middles of markers ``[n, 2]``, strokes ``[n, 2, 2]`` and boxes of text ``[n, 4]``, in pixels."""
    ax.figure.draw_without_rendering()
    marks, strokes = [np.empty((0, 2))], [np.empty((0, 2, 2))]
    for line in ax.get_lines():
        path = line.get_transform().transform(line.get_xydata())
        if line.get_linestyle() != "None":
            strokes.append(np.stack([path[:-1], path[1:]], axis=1))
        if line.get_marker() not in ("", "None", "_", "|"):  # caps belong to their bars
            marks.append(path)
    for bundle in ax.collections:
        if isinstance(bundle, LineCollection):
            strokes += [bundle.get_transform().transform(ends)[None] for ends in bundle.get_segments()]
    texts = [Text.get_window_extent(text).extents for text in ax.texts]
    marks, strokes = np.concatenate(marks), np.concatenate(strokes)
    known = np.isfinite(strokes).all(axis=(1, 2))
    return marks[np.isfinite(marks).all(axis=1)], strokes[known], np.array(texts).reshape(-1, 4)


def _size(ax: Axes, label: str) -> np.ndarray:
    """Width and height of a label in pixels."""
    text = ax.text(0, 0, label, fontsize=LABEL_PT, transform=ax.transAxes)
    extents = text.get_window_extent()
    text.remove()
    return np.array([extents.width, extents.height])


def _places(size: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes ``[n, 4]`` (left, bottom, right, top) where a label may stand and their leaders ``[n, 2, 2]``."""
    angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    middles = np.concatenate([ways * (distance + size / 2) for distance in DISTANCES_PT])
    low, high = middles - size / 2, middles + size / 2
    # A leader meets the middle of an end of the label, or its edge straight above or below the point.
    x = np.clip(0, low[:, 0], high[:, 0])
    y = np.where((x == 0) & (low[:, 1] * high[:, 1] > 0), np.clip(0, low[:, 1], high[:, 1]), middles[:, 1])
    leaders = np.stack([np.zeros_like(middles), np.stack([x, y], axis=1)], axis=1)
    return np.concatenate([low, high], axis=1) + np.tile(origin, 2), leaders + origin


def _cost(
    boxes: np.ndarray,
    leaders: np.ndarray,
    axes: np.ndarray,
    marks: np.ndarray,
    strokes: np.ndarray,
    texts: np.ndarray,
) -> np.ndarray:
    """Cost of each place of one label, without what the places of other labels add: ``[n]``."""
    outside = (boxes[:, :2] < axes[:2]).any(axis=1) | (boxes[:, 2:] > axes[2:]).any(axis=1)
    cost = np.linalg.norm(leaders[:, 1] - leaders[:, 0], axis=1) + NEVER * outside
    around = np.concatenate([marks - MARKER_PT, marks + MARKER_PT], axis=1)
    for mark, square in zip(marks, around, strict=True):
        cost += NEVER * _overlap(boxes, square)
        if np.abs(mark - leaders[0, 0]).max() > 1:  # not its own
            cost += ON_MARKER * _through(leaders, np.tile(square, (len(leaders), 1)))
    for text in texts:
        cost += NEVER * (_overlap(boxes, text) | _through(leaders, np.tile(text, (len(leaders), 1))))
    way = leaders[:, 1] - leaders[:, 0]
    start = leaders[:, 0] + MARKER_PT * way / np.linalg.norm(way, axis=1, keepdims=True)  # off its own bars
    for stroke in strokes:
        across = _crossing(np.stack([start, leaders[:, 1]], axis=1), stroke)
        cost += ON_LINE * _through(np.tile(stroke, (len(boxes), 1, 1)), boxes) + ACROSS_LINE * across
    return cost


def _choose(places: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[int]:
    """Choose a place for each label; of several searches, each from another label on, the cheapest."""
    orders = [[*range(first, len(places)), *range(first)] for first in range(len(places))]
    found = [_search(places, way) for order in orders for way in (order, order[::-1])]
    return min(found, key=lambda outcome: outcome[0])[1] if found else []


def _search(
    places: list[tuple[np.ndarray, np.ndarray, np.ndarray]], order: Sequence[int]
) -> tuple[float, list[int]]:
    """Give each label in turn its cheapest place, given the others, until none moves: cost, and places."""
    chosen: dict[int, int] = {}
    for _ in range(SWEEPS):
        before, spent = chosen.copy(), 0.0
        for i in order:
            boxes, leaders, cost = places[i]
            total = cost.copy()
            for j, k in chosen.items():
                if j == i:
                    continue
                box, leader = places[j][0][k], places[j][1][k]
                total += NEVER * (
                    _overlap(boxes, box).astype(int)
                    + _crossing(leaders, leader)
                    + _through(leaders, np.tile(box, (len(leaders), 1)))
                    + _through(np.tile(leader, (len(boxes), 1, 1)), boxes)
                )
            chosen[i] = int(total.round(6).argmin())  # the first of equals, whatever the rounding
            spent += float(total[chosen[i]])
        if chosen == before:
            break
    return round(spent, 6), [chosen[i] for i in range(len(places))]


def _overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Whether boxes ``[n, 4]`` overlap one box: ``[n]``."""
    return ((boxes[:, :2] < box[2:]) & (box[:2] < boxes[:, 2:])).all(axis=1)


def _through(strokes: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Whether each stroke ``[n, 2, 2]`` passes through its box ``[n, 4]``: ``[n]``."""
    start, way = strokes[:, 0], strokes[:, 1] - strokes[:, 0]
    way = np.where(np.abs(way) < ROUNDING, ROUNDING, way)
    near, far = (boxes[:, :2] - start) / way, (boxes[:, 2:] - start) / way
    enters, leaves = np.minimum(near, far).max(axis=1), np.maximum(near, far).min(axis=1)
    return np.maximum(enters, 0) < np.minimum(leaves, 1)


def _crossing(strokes: np.ndarray, stroke: np.ndarray) -> np.ndarray:
    """Whether strokes ``[n, 2, 2]`` cross one stroke ``[2, 2]``: ``[n]``."""

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        return (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0]

    (a, b), (c, d) = stroke, (strokes[:, 0], strokes[:, 1])
    return (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
