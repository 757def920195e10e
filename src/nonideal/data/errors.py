"""The one error every reader of data files raises."""

from __future__ import annotations

import os


class DataError(ValueError):
    """A data file or folder is missing, damaged or not what its name promises.

    Parameters
    ----------
    path
        The file or folder at fault.
    expected
        What should have been there.
    found
        What was there instead.
    remedy
        What the reader of the message can do about it.
    """

    def __init__(self, path: str | os.PathLike[str], expected: str, found: str, remedy: str) -> None:
        self.path = os.fspath(path)
        self.expected = expected
        self.found = found
        self.remedy = remedy
        super().__init__(f"{self.path}: expected {expected}, found {found}. {remedy}")

    def __reduce__(self) -> tuple[type[DataError], tuple[str, str, str, str]]:
        # By default only the joined message would reach another process; this rebuilds the parts.
        return (type(self), (self.path, self.expected, self.found, self.remedy))
