"""Checkpoints of a training run: written whole, read without executing code, refused for another run."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nonideal import tensorfile
from nonideal.preprocessing import Tensors
from nonideal.training.distillation import Distillation
from nonideal.training.hooks import Hook
from nonideal.training.settings import Settings

VERSION = 2


def identity(
    model: nn.Module,
    tensors: Tensors,
    settings: Settings,
    seed: int,
    device: torch.device,
    hooks: Sequence[Hook],
    distillation: Distillation | None = None,
) -> dict[str, Any]:
    """What must agree between a checkpoint and the run that resumes from it."""
    run = {"version": VERSION, "seed": int(seed)} | asdict(settings) | {"device": device.type}
    run["distillation"] = None if distillation is None else repr(distillation)
    return run | {"model": str(model), "hooks": [repr(hook) for hook in hooks], "data": tensors.digest()}


def folder_of(progress: str | os.PathLike[str], fingerprint: str) -> Path:
    """Folder below `progress` for the checkpoints of one job; those of other code or settings are removed.

    Parameters
    ----------
    progress
        Folder that outlives an interrupted job.
    fingerprint
        Hash of what the checkpoints depend on: code, settings, seed, data.
    """
    progress = Path(progress)
    folder = progress / fingerprint[:16]
    if progress.is_dir():
        for other in progress.iterdir():
            # Nothing but what this function has made.
            if other != folder and re.fullmatch(r"[0-9a-f]{16}", other.name) and other.is_dir():
                print(f"discarding {other}: made by other code, settings, seed or data", flush=True)
                shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a checkpoint, or nothing."""
    tensorfile.save(state, path)


def load(path: str | os.PathLike[str], expected: dict[str, Any]) -> dict[str, Any]:
    """Read a checkpoint of the run with this identity.

    Raises
    ------
    ValueError
        If the file is no checkpoint, or belongs to another run; the message names what differs.
    """
    try:
        state = tensorfile.load(path)
    except tensorfile.TensorFileError as error:
        raise ValueError(f"{path} is not a checkpoint of this program ({error}); delete it") from error
    found = state.get("identity") if isinstance(state, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is not a checkpoint of this program (it names no run); delete it")
    for key in expected:
        if found.get(key) != expected[key]:
            raise ValueError(
                f"checkpoint {path} belongs to another run: {key} is {found.get(key)!r} there "
                f"and {expected[key]!r} here; delete the file or restore the setting"
            )
    return state
