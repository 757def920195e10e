"""Tensors in files: networks and checkpoints, written whole, read without executing anything.

A file of tensors is a zip archive of a pickle and raw numbers. The archive is checked before PyTorch sees it:
members are stored as they are (nothing unpacks to more than the file holds) and their checksums fit. The
pickle is read by PyTorch's restricted reader, which knows tensors and plain containers only.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nonideal.files import atomic


class TensorFileError(ValueError):
    """A file that holds no tensors, or damaged ones; the message says what to do."""


def save(content: Any, path: str | os.PathLike[str]) -> None:
    """Write tensors in plain containers, or nothing.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    # In memory first: PyTorch's own writer hides a full disk behind "unexpected pos".
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load(path: str | os.PathLike[str]) -> Any:
    """Read what `save` wrote, onto the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TensorFileError
        If it is damaged, no file of tensors, or refers to anything but tensors and plain containers.
    """
    path = Path(path)
    try:
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except (
        Exception
    ) as error:  # a damaged archive or pickle can raise anything, e.g. KeyError or struct.error
        reason = str(error).splitlines()[0][:200] if str(error) else ""
        raise TensorFileError(
            f"{path}: no readable file of tensors ({type(error).__name__}: {reason}); "
            "delete it and make it again"
        ) from error


def _check_archive(path: Path) -> None:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise zipfile.BadZipFile("compressed members")
        if sum(member.file_size for member in members) > size:
            raise zipfile.BadZipFile("members announce more bytes than the file has")
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"the checksum of {damaged} does not fit")


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """State of a network on the CPU, as it is written."""
    return {key: value.cpu() for key, value in model.state_dict().items()}


def save_networks(networks: Mapping[int, Mapping[str, torch.Tensor]], path: str | os.PathLike[str]) -> None:
    """Write the states of all repetitions into one file."""
    save(dict(networks), path)


def load_networks(path: str | os.PathLike[str]) -> dict[int, dict[str, torch.Tensor]]:
    """Read what `save_networks` wrote; no code in the file is executed.

    Raises
    ------
    TensorFileError
        If the file is damaged or holds something else.
    """
    networks = load(path)
    states = networks.values() if isinstance(networks, dict) else [None]
    whole = all(
        isinstance(state, dict) and all(isinstance(value, torch.Tensor) for value in state.values())
        for state in states
    )
    if not whole or not all(type(key) is int for key in networks):
        raise TensorFileError(f"{path}: holds no networks by repetition; delete it and train again")
    return networks
