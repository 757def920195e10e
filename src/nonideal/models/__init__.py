"""Networks: one file a family, and `build` for any of them by its name.

A study imports the family it uses (`nonideal.models.fc`), so that its results depend on that file alone and
not on every network there is. What needs all of them, `build` and `MODELS`, is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

# Where the names of this package live.
_HOMES = {
    "MODELS": "nonideal.models.registry",
    "build": "nonideal.models.registry",
    "ordinary": "nonideal.models.ordinary_layers",
    "post_training_quantise": "nonideal.quantize.post_training",
    "quant_layers": "nonideal.layers",
}


def __getattr__(name: str) -> Any:
    """Names of this package, from the modules that hold them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
