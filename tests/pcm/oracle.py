"""Crossbar trial written out device by device: slow, plain, in double precision, sharing no code.

One normal per device for programming, drift and each read; every formula as published, so that it can be
read beside the papers. The engine in `nonideal.pcm.crossbar` is tested and timed against it.
"""

import math

import numpy as np

G_MAX_US = 25.0
T0_S = 20.0


def program(w, mapping, base, n, rng, *, limits=(-np.inf, np.inf)):
    """Targets and programmed conductances, units of G_max, least significant slice first; r and b."""
    sign, rest = np.sign(w), np.abs(w).astype(float)
    if mapping == "digital":
        bits = math.ceil(8 / n)
        b = 2**bits
        r = b - 1
    else:
        b = base
        r = 255 / n if b == 1 else 255 * (b - 1) / (b**n - 1)
    targets, programmed = [], []
    for j in range(n - 1, -1, -1):
        lower = r * sum(b**i for i in range(j))
        if mapping == "equal_fill":
            stored = rest / sum(b**i for i in range(n))
        elif mapping == "digital":
            stored = (np.abs(w).astype(int) >> (bits * j)) & (b - 1)
        elif j == 0:
            stored = rest
        elif b == 1:
            stored = np.where(rest >= r, r, 0)
        else:
            stored = np.where(rest > lower, np.minimum(rest / b**j, r), 0)
        g = sign * stored / r
        if mapping == "max_fill_ec":
            g = sign * np.clip(sign * g, *limits)
        a = np.abs(g)
        sigma = np.where(g != 0, -1.1731 * a**2 + 1.9650 * a + 0.2635, 0) / G_MAX_US
        eps = sigma * rng.standard_normal(w.shape)
        if mapping.startswith("max_fill"):
            rest = rest - b**j * stored
            rest[np.abs(rest) < 1e-9] = 0  # rounding, not something left to store
        if mapping == "max_fill_ec":
            rest = rest - sign * eps * r * b**j
        targets.insert(0, g)
        programmed.insert(0, g + eps)
    return targets, programmed, r, b


def drift_exponents(targets, rng):
    """One exponent per device."""
    exponents = []
    for g in targets:
        level = np.log(np.abs(g) + 1e-15)
        mean = np.clip(-0.0155 * level + 0.0244, 0.049, 0.1)
        std = np.clip(-0.0125 * level - 0.0059, 0.008, 0.045)
        exponents.append(np.abs(mean + std * rng.standard_normal(g.shape)))
    return exponents


def read_noise(target, t, norm):
    """Standard deviation of a read, fraction of the conductance."""
    reference = np.max(np.abs(target)) if norm == "slice_max" else 1.0
    relative = np.abs(target) / (reference + 1e-15) + 1e-15
    return np.minimum(0.0088 * relative**-0.65, 0.2) * math.sqrt(math.log((t + 250e-9) / 500e-9))


def trial(
    mapping, base, n, times, rng, *, rows=128, ternary=False, limits=(-np.inf, np.inf), norm="slice_max"
):
    """Relative error at every time; the first time must be t0."""
    w = rng.standard_normal((rows, rows))
    if ternary:
        kept = np.abs(w) > 0.7 * np.mean(np.abs(w))
        w = np.sign(w) * kept * np.mean(np.abs(w[kept]))
    w = np.clip(np.rint(255 / 3 * w), -255, 255)
    x = np.clip(np.rint(255 / 4 * rng.standard_normal(rows)), -255, 255)
    c = np.full(rows, 64.0)
    y = w @ x
    targets, programmed, r, b = program(w, mapping, base, n, rng, limits=limits)
    exponents = drift_exponents(targets, rng)
    k = (127 / 4) / (255 * math.sqrt(rows)) * 4 * (1.5 / n + 1.5)
    reference, errors = None, []
    for t in times:
        data, calibration = np.zeros(rows), np.zeros(rows)
        for j in range(n):
            g = programmed[j] * (t / T0_S) ** -exponents[j]
            g = g * (1 + read_noise(targets[j], t, norm) * rng.standard_normal(g.shape))
            data += b**j * np.clip(np.rint(k * (g @ x)), -127, 127)
            calibration += b**j * np.clip(np.rint(k * (g @ c)), -127, 127)
        if reference is None:
            reference = np.sum(np.abs(calibration))
        beta = reference / np.sum(np.abs(calibration))
        errors.append(np.linalg.norm(beta * data * r / k - y) / np.linalg.norm(y))
    return np.array(errors)
