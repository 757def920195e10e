"""How mappings, training methods and weight formats are drawn: one look each, in every figure.

The looks of one group differ in hue, in lightness (so they survive a grey print), and in line style and
marker.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.colors import to_hex, to_rgb

TEXT_CONTRAST = 4.5  # least contrast of small text to white: WCAG 2.2, success criterion 1.4.3 (level AA)


@dataclass(frozen=True)
class Look:
    """How one thing is drawn in every figure.

    Attributes
    ----------
    label
        Name to print.
    color
        Colour of line and marker, ``#rrggbb``.
    linestyle, marker
        Second cue for readers who cannot tell the colours apart.
    """

    label: str
    color: str
    linestyle: str | tuple[int, tuple[float, ...]]
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Keywords for ``Axes.plot``."""
        return {"color": self.color, "linestyle": self.linestyle, "marker": self.marker}


DASH_DOT_DOT = (0, (4, 1.2, 1, 1.2, 1, 1.2))
LONG_DASH = (0, (7, 2))
SHORT_DASH = (0, (2.5, 1.2))
FLOAT = Look("full precision", "#1a1a1a", (0, (1, 1.2)), "")

# Hues after Paul Tol's "high-contrast" scheme (https://sronpersonalpages.nl/~pault/), made for grey prints.
MAPPINGS = MappingProxyType(
    {
        "digital": Look("digital", "#1a1a1a", (0, (1, 1.2)), ""),
        "max_fill_ec": Look("max-fill EC", "#004488", "-", "o"),
        "max_fill": Look("max-fill", "#bb5566", "--", "s"),
        "equal_fill": Look("equal-fill", "#c98f00", "-.", "^"),
    }
)
METHODS = MappingProxyType(
    {
        "float": FLOAT,
        "qat": Look("quantisation-aware training", "#5e3c99", "-", "o"),
        "ptq": Look("post-training quantisation", "#e66100", "--", "s"),
    }
)
# Matplotlib's viridis in equal steps of lightness: the fewer bits, the lighter. Labels are the names of
# configuration and tables.
FORMATS = MappingProxyType(
    {
        "float": FLOAT,
        "8bit": Look("8bit", "#470e61", "-", "o"),
        "4bit": Look("4bit", "#472e7c", "--", "s"),
        "4bitsym": Look("4bitsym", "#3e4c8a", "-.", "D"),
        "nf4": Look("nf4", "#31688e", LONG_DASH, "v"),
        "fp130": Look("fp130", "#26828e", DASH_DOT_DOT, "<"),
        "2bitsym": Look("2bitsym", "#1e9c89", SHORT_DASH, ">"),
        "ternary": Look("ternary", "#32b67a", "-", "^"),
        "binary": Look("binary", "#67cc5c", "--", "p"),
    }
)
# Mitigations of stuck cells, then of variable cells.
MITIGATIONS = MappingProxyType(
    {
        "trained": Look("straight through", "#f5862a", DASH_DOT_DOT, "p"),
        "active+passive": Look("active + passive", "#004488", "-", "o"),
        "active": Look("active", "#5e3c99", LONG_DASH, "D"),
        "passive": Look("passive", "#bb5566", "--", "s"),
        "basic": Look("basic", "#c98f00", "-.", "^"),
        "regularised": Look("regularised", "#004488", "-", "o"),
        "chip_in_loop": Look("chip-in-loop", "#bb5566", "--", "s"),
        "unseen_map": Look("regularised, on another chip", "#c98f00", "-.", "^"),
    }
)
# Networks in a damaged flash, beside mitigations of stuck cells.
FLASH = MappingProxyType(
    {
        "nearest": Look("not trained, nearest level", "#26828e", SHORT_DASH, "v"),
        "unaware": Look("not trained", "#5a5a5a", (0, (1, 1.2)), "<"),
    }
)
LOOKS = MappingProxyType({**MAPPINGS, **METHODS, **FORMATS, **MITIGATIONS, **FLASH})


def look(name: str) -> Look:
    """Return how a mapping, a training method or a weight format is drawn.

    Raises
    ------
    ValueError
        If the name has no look; the message lists those that have.
    """
    try:
        return LOOKS[name]
    except KeyError:
        raise ValueError(f"no look for {name!r}; there is one for {', '.join(LOOKS)}") from None


DATA = MappingProxyType(
    {
        "mnist": "MNIST",
        "emnist_balanced": "EMNIST balanced",
        "emnist_letters": "EMNIST letters",
        "cifar10": "CIFAR-10",
        "imagenet64": "ImageNet, 64 pixels",
        "nmnist": "N-MNIST",
    }
)


def data_name(name: str) -> str:
    """Name of a data set as its authors write it; names that are not known stay as they are."""
    return DATA.get(name, name)


def luminance(color: str) -> float:
    """Relative luminance of a colour, 0 (black) to 1 (white): WCAG 2.2, definition of relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def ink(color: str) -> str:
    """Darken a colour as far as small text on white needs, and no further."""
    rgb = np.array(to_rgb(color))
    for share in np.linspace(1, 0, 51):
        darker = to_hex(rgb * share)
        if 1.05 / (luminance(darker) + 0.05) >= TEXT_CONTRAST:
            break
    return darker
