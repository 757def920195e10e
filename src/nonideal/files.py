"""Files that are either whole or absent."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Errors of a disk without room: full, over the quota, over the process's limit.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well.

    The temporary file lies in the same folder, so the rename is atomic; it is removed when the block
    raises. Missing parent folders are made.

    Raises
    ------
    OSError
        Naming the file: if nothing can be written in its folder, or the disk is full; its earlier content
        stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error  # not the temporary name
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files
        temporary.replace(path)
    except OSError as error:
        if error.errno not in NO_ROOM:
            if error.filename == str(temporary):
                raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
            raise
        remedy = "free space and give the same command again; what is finished is kept"
        raise OSError(
            error.errno, f"no room to write this file ({os.strerror(error.errno)}): {remedy}", str(path)
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
