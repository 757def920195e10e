"""Provenance: which code, configuration, seed and packages stand behind a result."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nonideal

PACKAGE = Path(__file__).parent
# Packages whose version can change a number or a figure.
PACKAGES = (
    "numpy",
    "torch",
    "torchvision",
    "numba",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "matplotlib",
    "snakemake",
)


@cache
def code_hash() -> str:
    """SHA-256 over the library's source files, by relative path and content."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def commit() -> str:
    """Git commit of the checkout the library was imported from, ``-dirty`` if it was edited since.

    ``unknown`` outside a checkout.
    """
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration; independent of the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def collect(
    *, config: Mapping[str, Any], rule: str, params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Facts stored with a result.

    Parameters
    ----------
    config
        The validated configuration of the run, with the keys ``run`` and ``seed``.
    rule
        Name of the rule that makes the result.
    params
        The parameters the rule was called with.
    """
    return {
        "run": config["run"],
        "seed": config["seed"],
        "rule": rule,
        "params": dict(params or {}),
        "nonideal": nonideal.__version__,
        "commit": commit(),
        "code_sha256": code_hash(),
        "config_sha256": config_hash(config),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "host": platform.node(),
        "machine": platform.platform(),
        "time_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
