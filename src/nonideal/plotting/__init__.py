"""The one style of every figure: looks named by meaning, direct labels, time axes, bands, reproducible files.

A figure starts with `use_style`, draws with looks such as ``look("qat")`` and ends with `save`.
"""

from nonideal.plotting.labels import label_lines, spread
from nonideal.plotting.looks import FORMATS, LOOKS, MAPPINGS, METHODS, Look, data_name, ink, look
from nonideal.plotting.marks import TIMES_S, band, bars, error_axis, since_programming, time_axis
from nonideal.plotting.point_labels import label_points
from nonideal.plotting.style import COLUMN_IN, PAGE_IN, save, use_style

__all__ = [
    "COLUMN_IN",
    "FORMATS",
    "LOOKS",
    "MAPPINGS",
    "METHODS",
    "PAGE_IN",
    "TIMES_S",
    "Look",
    "band",
    "bars",
    "data_name",
    "error_axis",
    "ink",
    "label_lines",
    "label_points",
    "look",
    "save",
    "since_programming",
    "spread",
    "time_axis",
    "use_style",
]
