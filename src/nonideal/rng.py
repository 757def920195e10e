"""Named random streams: every random number of the project comes from one of these.

A stream is named by the run's seed and a path of labels, for instance
``stream(7, "training", "init", 3)``. Two streams with different names are independent; the same name
gives the same numbers on any machine, in any process, in any order of execution. That is what makes a
table independent of how its rows were divided over shards and cores.

The generator is Philox-4x64, a counter-based generator (Salmon et al., "Parallel random numbers: as easy
as 1, 2, 3", SC 2011); its key is a SHA-256 digest of the name.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Label = str | int | float | bool


def digest(seed: int, *labels: Label) -> bytes:
    """Hash a stream's name to 32 bytes.

    Parameters
    ----------
    seed
        Seed of the run, a non-negative integer.
    *labels
        The path of the stream. Labels of different type are different labels: ``1`` is not ``"1"``.

    Raises
    ------
    TypeError
        If the seed is not an integer or a label is neither text nor number.
    ValueError
        If the seed is negative.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer, got {seed!r}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    parts = [f"i{int(seed)}"]
    for label in labels:
        if isinstance(label, bool | np.bool_):
            parts.append(f"b{int(label)}")
        elif isinstance(label, int | np.integer):
            parts.append(f"i{int(label)}")
        elif isinstance(label, float | np.floating):
            parts.append(f"f{float(label)!r}")
        elif isinstance(label, str):
            parts.append(f"s{label}")
        else:
            raise TypeError(f"a stream label is text or a number, got {label!r}")
    # Each part is preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
    name = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(name.encode()).digest()


def stream(seed: int, *labels: Label) -> np.random.Generator:
    """NumPy generator of a named stream.

    Examples
    --------
    >>> a = stream(7, "crossbar", 0).standard_normal()
    >>> b = stream(7, "crossbar", 0).standard_normal()
    >>> c = stream(7, "crossbar", 1).standard_normal()
    >>> a == b, a == c
    (True, False)
    """
    return np.random.Generator(np.random.Philox(key=key64(seed, *labels)))


def key64(seed: int, *labels: Label) -> np.ndarray:
    """Two unsigned 64-bit words naming a stream, for counter-based generators written elsewhere."""
    return np.frombuffer(digest(seed, *labels)[:16], dtype="<u8").astype(np.uint64)


def torch_stream(seed: int, *labels: Label) -> torch.Generator:
    """PyTorch generator of a named stream, on the CPU.

    PyTorch's CPU generator starts from the low 32 bits of its seed, so that two of n streams are the same
    with a probability of about n^2 / 2^33: a few pairs among the hundred thousand of a study of chips.
    """
    import torch

    word = int.from_bytes(digest(seed, *labels)[:8], "little") >> 1  # torch takes a signed 64-bit seed
    return torch.Generator().manual_seed(word)


def child_seed(seed: int, *labels: Label) -> int:
    """Seed of a sub-study that takes one integer: a function of the stream's name, below 2^63."""
    return int.from_bytes(digest(seed, "child", *labels)[:8], "little") >> 1
