"""One recording of an event camera: where and when the brightness of a pixel rose or fell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Recording:
    """Events in the order of time.

    Parameters
    ----------
    x, y
        Column and row of each event, int16 [e], from the upper left.
    t
        Time in microseconds, int64 [e], from 0 on and never falling.
    on
        Whether the brightness rose, bool [e].
    width, height
        Size of the sensor in pixels.

    Raises
    ------
    ValueError
        If the arrays differ in length, a pixel lies outside the sensor, or time falls or is negative; the
        message names the first such event.
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
        if (found := first_fault(self.x, self.y, self.t, self.width, self.height)) is not None:
            index, expected, got = found
            raise ValueError(f"event {index}: expected {expected}, found {got}")

    def __len__(self) -> int:
        return len(self.t)

    def resized(self, width: int, height: int) -> Recording:
        """The same events on a sensor of other size; pixels that fall together share their events."""
        x = self.x.astype(np.int64) * width // self.width
        y = self.y.astype(np.int64) * height // self.height
        return Recording(x.astype(np.int16), y.astype(np.int16), self.t, self.on, width, height)


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
