"""One recording of an event camera: where and when the brightness of a pixel rose or fell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST_SIZE = 2**15  # columns and rows that int16 counts


@dataclass(frozen=True, eq=False)
class Recording:
    """Events in the order of time.

    Parameters
    ----------
    x, y
        Column and row of each event, [e], from the upper left. Any integers; kept as int16.
    t
        Time in microseconds, [e], from 0 on and never falling. Any integers; kept as int64.
    on
        Whether the brightness rose, [e]; booleans, or integers 0 and 1, kept as booleans.
    width, height
        Size of the sensor in pixels, 1 to 32768.

    Raises
    ------
    ValueError
        If the arrays differ in length or are of another kind, the sensor is none of that size, a pixel lies
        outside it, or time falls or is negative; the message names the first such event.
    """

    x: np.ndarray
    y: np.ndarray
    t: np.ndarray
    on: np.ndarray
    width: int
    height: int

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("x", "y", "t", "on")}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"a recording needs arrays of one length, got {lengths}")
        if not (1 <= self.width <= LARGEST_SIZE and 1 <= self.height <= LARGEST_SIZE):
            raise ValueError(
                f"a sensor has 1 to {LARGEST_SIZE} columns and rows, got {self.width} x {self.height}"
            )
        for name in ("x", "y", "t", "on"):
            object.__setattr__(self, name, _integers(name, getattr(self, name)))
        if (found := first_fault(self.x, self.y, self.t, self.width, self.height)) is not None:
            index, expected, got = found
            raise ValueError(f"event {index}: expected {expected}, found {got}")
        if not np.isin(self.on, (0, 1)).all():
            raise ValueError("a recording needs `on` of 0 and 1, or booleans")
        # One type of each: unsigned or narrow integers wrap in the arithmetic of frames and files.
        for name, dtype in (("x", np.int16), ("y", np.int16), ("t", np.int64), ("on", np.bool_)):
            object.__setattr__(self, name, getattr(self, name).astype(dtype, copy=False))

    def __len__(self) -> int:
        return len(self.t)

    def resized(self, width: int, height: int) -> Recording:
        """The same events on a sensor of other size; pixels that fall together share their events."""
        x = self.x.astype(np.int64) * width // self.width
        y = self.y.astype(np.int64) * height // self.height
        return Recording(x.astype(np.int16), y.astype(np.int16), self.t, self.on, width, height)


def _integers(name: str, values: np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    # An empty list has no integers by which NumPy could tell its kind.
    if array.ndim != 1 or (array.dtype.kind not in "biu" and array.size):
        raise ValueError(f"a recording needs integers [e] for {name}, got {array.dtype} {list(array.shape)}")
    return array


def first_fault(
    x: np.ndarray, y: np.ndarray, t: np.ndarray, width: int, height: int
) -> tuple[int, str, str] | None:
    """Index of the first event outside the sensor, or before its predecessor or zero; expected and found.

    Parameters
    ----------
    x, y, t
        As for `Recording`, of any integer type.
    width, height
        Size of the sensor in pixels.
    """
    faults = []
    for name, values, size in (("x", x, width), ("y", y, height)):
        outside = (values < 0) | (values >= size)
        if outside.any():
            index = int(outside.argmax())
            faults.append((index, f"{name} from 0 to {size - 1}", f"{name} = {int(values[index])}"))
    early = t < 0
    if early.any():
        index = int(early.argmax())
        faults.append((index, "a time from 0 us", f"{int(t[index])} us"))
    falls = t[1:] < t[:-1]  # a difference of unsigned times is never below zero
    if falls.any():
        index = int(falls.argmax()) + 1
        faults.append((index, f"a time from {int(t[index - 1])} us", f"{int(t[index])} us"))
    return min(faults, key=lambda fault: fault[0], default=None)
