"""Provenance: which code, configuration, seed and packages stand behind a result."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nonideal
from nonideal.files import sha256

CPUINFO = Path("/proc/cpuinfo")
# Instruction sets by which libraries choose other kernels, so that last digits are rounded otherwise.
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
SHORT = 16  # hexadecimal digits of a hash kept for each source file
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
    "pillow",
    "snntorch",
    "ziglang",
    "unicorn",
    "matplotlib",
    "snakemake",
)


def code_hash(sources: Iterable[str | os.PathLike[str]] | None = None) -> str:
    """SHA-256 over source files, by file name and content; all of the library's if None."""
    digest = hashlib.sha256()
    for path in sorted(map(Path, sources)) if sources is not None else sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def commit() -> str:
    """Git commit of the checkout the library was imported from, ``-dirty`` if it was edited since.

    Results are no source: new ones do not count as edits. ``unknown`` outside a checkout.
    """
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        edited = _git("diff", "HEAD", "--name-only", "--", ":(top)", ":(top,exclude)results")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("-dirty" if edited else "")


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=PACKAGE, capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()


@cache
def _chip() -> tuple[str, tuple[str, ...]]:
    """Model of the processor, and which of `INSTRUCTION_SETS` it has, as far as the system says."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    model = named[1].strip() if named else platform.processor() or "unknown"
    return model, tuple(name for name in INSTRUCTION_SETS if name in known)


def processor() -> dict[str, Any]:
    """What computes: model, instruction sets that decide on rounding, cores; of PyTorch, threads and kernels.

    No name of the computer. PyTorch is asked if it is imported already, and not imported for this.
    """
    model, sets = _chip()
    found: dict[str, Any] = {"model": model, "instruction_sets": list(sets), "cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    if hasattr(torch, "get_num_threads") and hasattr(torch, "backends"):  # whole, not half imported
        found["torch_threads"] = torch.get_num_threads()
        found["torch_capability"] = torch.backends.cpu.get_cpu_capability()
    return found


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration; independent of the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def collect(
    *,
    config: Mapping[str, Any],
    rule: str,
    params: Mapping[str, Any] | None = None,
    code: Iterable[str | os.PathLike[str]] | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
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
    code
        Source files the rule depends on; the whole library if None.
    inputs
        Files the result is made from: the chain `nonideal.verify` follows.
    """
    code = None if code is None else list(code)
    return {
        "run": config["run"],
        "seed": config["seed"],
        "rule": rule,
        "params": dict(params or {}),
        "nonideal": nonideal.__version__,
        "commit": commit(),
        "code_sha256": code_hash(code),
        "code": {os.fspath(path): sha256(path)[:SHORT] for path in code or ()},
        "inputs": {os.fspath(path): sha256(path) for path in inputs},
        "config_sha256": config_hash(config),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "time_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
