"""Synthesised recordings: a still picture seen by an event camera that moves in three saccades.

A stand-in for N-MNIST where no recordings are at hand, made as those were (Orchard et al., Frontiers in
Neuroscience 9:437, 2015): the camera moves along a triangle, and a pixel reports every change of the
logarithm of its brightness by a threshold (Lichtsteiner et al., IEEE JSSC 43(2):566, 2008). Results
on them say nothing about a real camera.
"""

from __future__ import annotations

import numpy as np

from nonideal import rng
from nonideal.events.recording import Recording

SIZE = 34  # rows and columns of the sensor, as N-MNIST
PICTURE = 24  # pixels that a picture covers on the sensor
CORNERS = ((0.0, 0.0), (2.0, 4.0), (4.0, 0.0), (0.0, 0.0))  # rows, columns; pixels on the sensor
SACCADE_US = 100_000  # duration of one of the three
STEPS = 10  # pictures rendered in a saccade
CONTRAST = 0.35  # change of ln(brightness) that a pixel reports, mean over pixels
MISMATCH = 0.05  # standard deviation of a pixel's contrast threshold, relative
DARK = 0.1  # brightness of black relative to white
NOISE_HZ = 0.5  # events of a pixel without cause, of either polarity


def record(image: np.ndarray, *, seed: int, index: int) -> Recording:
    """Recording of one picture.

    Parameters
    ----------
    image
        uint8 [h, w], white on black.
    seed, index
        Name the random stream: seed of the run and number of the recording.

    Returns
    -------
    Recording
        On a sensor of 34 x 34 pixels, 300 ms long.
    """
    generator = rng.stream(seed, "events", "saccades", index)
    threshold = CONTRAST * (1 + MISMATCH * generator.standard_normal((SIZE, SIZE))).clip(0.5)
    path = _path()
    canvas = _enlarged(image)
    reference = np.log(_seen(canvas, path[0]))
    duration = SACCADE_US // STEPS
    events = []
    for k, position in enumerate(path[1:]):
        change = np.log(_seen(canvas, position)) - reference
        count = np.floor(np.abs(change) / threshold).astype(np.int64)
        reference += np.sign(change) * count * threshold
        row, column = np.nonzero(count)
        repeats = count[row, column]
        which = np.repeat(np.arange(len(row)), repeats)
        order = np.arange(len(which)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        # The events of a pixel in a step are evenly spaced, those of different pixels at different phases.
        phase = (order + generator.random(len(row))[which]) / repeats[which]
        t = k * duration + (phase * duration).astype(np.int64)
        events.append(np.stack((column[which], row[which], t, change[row, column][which] > 0)))
    events.append(_noise(generator, len(path[1:]) * duration))
    x, y, t, on = np.concatenate(events, axis=1)
    order = np.argsort(t, kind="stable")
    return Recording(
        x[order].astype(np.int16), y[order].astype(np.int16), t[order], on[order].astype(bool), SIZE, SIZE
    )


def _path() -> np.ndarray:
    """Positions of the camera, [3 * STEPS + 1, 2]."""
    along = np.arange(3 * STEPS + 1) / STEPS
    corners = np.array(CORNERS)
    return np.stack([np.interp(along, np.arange(4), corners[:, axis]) for axis in (0, 1)], axis=1)


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Picture of `PICTURE` pixels on a dark ground with room to move, brightness 0 .. 1."""
    axes = []
    for size in image.shape:
        position = ((np.arange(PICTURE) + 0.5) * size / PICTURE - 0.5).clip(0, size - 1)
        low = np.floor(position).astype(int)
        axes.append((low, np.minimum(low + 1, size - 1), position - low))
    (r0, r1, fr), (c0, c1, fc) = axes
    rows = image[r0] * (1 - fr)[:, None] + image[r1] * fr[:, None]
    picture = (rows[:, c0] * (1 - fc) + rows[:, c1] * fc) / 255
    canvas = np.zeros((SIZE + 5, SIZE + 5))  # the camera moves by up to four pixels
    start = (len(canvas) - PICTURE) // 2
    canvas[start : start + PICTURE, start : start + PICTURE] = picture
    return canvas


def _seen(canvas: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Brightness of every pixel of the sensor at a position of the camera."""
    (row, column), (fr, fc) = np.floor(position).astype(int), position % 1
    part = canvas[row : row + SIZE + 1, column : column + SIZE + 1]
    rows = part[:-1] * (1 - fr) + part[1:] * fr
    return DARK + (1 - DARK) * (rows[:, :-1] * (1 - fc) + rows[:, 1:] * fc)


def _noise(generator: np.random.Generator, duration: int) -> np.ndarray:
    """Events without cause, [4, e]: x, y, t, on."""
    count = generator.poisson(NOISE_HZ * SIZE * SIZE * duration * 1e-6)
    x, y = generator.integers(0, SIZE, (2, count))
    return np.stack((x, y, generator.integers(0, duration, count), generator.integers(0, 2, count)))
