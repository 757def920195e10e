"""What low-bit networks survive: one set of quantisers, many kinds of imperfect hardware.

Data flows one way through the library: data, training, hardware (crossbar, faults, spikes,
microcontroller), tables, figures. A module imports nothing that lies downstream of it, but for the neurons,
layers and quantisers that networks are built from, and no module knows about the workflow that calls it.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Offered at the top, and imported when asked for: a script that draws need not wait for PyTorch.
_OFFERED = {"harden": "nonideal.regularised.hardening"}


def __getattr__(name: str) -> Any:
    if name in _OFFERED:
        return getattr(importlib.import_module(_OFFERED[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
