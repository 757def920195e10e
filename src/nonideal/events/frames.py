"""Recordings as frames: how many events of each polarity fell on each pixel in each part of the recording."""

from __future__ import annotations

import numpy as np

from nonideal.events.recording import Recording

POLARITIES = 2  # channel 0: darker, channel 1: brighter


def by_count(recording: Recording, frames: int) -> np.ndarray:
    """Frames of equally many events (a difference of one where the division leaves a remainder).

    Parameters
    ----------
    recording
        Events.
    frames
        Number of frames.

    Returns
    -------
    numpy.ndarray
        Events per pixel, uint16 [frames, 2, height, width]; their sum is the number of events.

    Raises
    ------
    ValueError
        If there are fewer events than frames, or more in one place than uint16 counts.
    """
    if not 1 <= frames <= len(recording):
        raise ValueError(f"cannot divide {len(recording)} events into {frames} frames")
    return _accumulate(recording, np.arange(len(recording)) * frames // len(recording), frames)


def by_time(
    recording: Recording, frames: int, *, start: int | None = None, stop: int | None = None
) -> np.ndarray:
    """Frames of equal duration.

    Parameters
    ----------
    recording
        Events.
    frames
        Number of frames.
    start, stop
        Interval that is divided, in microseconds, `stop` excluded; None starts it with the first event and
        ends it with the last. A camera's clock runs on between recordings.

    Returns
    -------
    numpy.ndarray
        As `by_count`.

    Raises
    ------
    ValueError
        If an event lies outside the interval, so that none is lost without notice.
    """
    if len(recording):
        start = int(recording.t[0]) if start is None else start
        stop = int(recording.t[-1]) + 1 if stop is None else stop
    if frames < 1 or start is None or stop is None or stop - start < frames:
        raise ValueError(f"cannot divide {start} .. {stop} us into {frames} frames")
    if len(recording) and (recording.t[0] < start or recording.t[-1] >= stop):
        raise ValueError(
            f"events from {recording.t[0]} to {recording.t[-1]} us do not all lie in {start} .. {stop - 1} us"
        )
    return _accumulate(recording, (recording.t - start) * frames // (stop - start), frames)


def _accumulate(recording: Recording, frame: np.ndarray, frames: int) -> np.ndarray:
    shape = (frames, POLARITIES, recording.height, recording.width)
    where = np.ravel_multi_index((frame, recording.on.astype(np.int64), recording.y, recording.x), shape)
    counts = np.bincount(where, minlength=np.prod(shape))
    if counts.max() > np.iinfo(np.uint16).max:
        raise ValueError(
            f"{counts.max()} events on one pixel of one frame, {np.iinfo(np.uint16).max} can be counted: "
            "divide the recording into more frames"
        )
    return counts.astype(np.uint16).reshape(shape)


SPLITS = {"count": by_count, "time": by_time}
