"""Compiled inner loops of the crossbar Monte Carlo.

Everything here works in single precision on plain arrays and is written so that the compiler turns the
inner loops, which run over the devices of a row, into vector instructions: no calls, no branches, and
polynomials instead of library functions. `crossbar.py` is the door to this file.

Random numbers are a function of their address: Philox-4x32-10 (Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", SC 2011) with the trial's key and a counter made of device, slice, purpose and time.

Device constants arrive as an argument, never as a global: a compiled function kept on disk is renewed when
this file changes, not when the file that holds the constants does. For the same reason the file is one.
"""

from __future__ import annotations

import numba
import numpy as np

# Purposes of random numbers within a trial, the third word of the generator's counter.
WEIGHTS, INPUTS, DEVICES, READS = range(4)

# Mappings, in the order of `slicing.MAPPINGS`.
EQUAL_FILL, MAX_FILL, MAX_FILL_EC, DIGITAL = range(4)

# Sums may be reordered (vectors) and products fused; infinities stay as written.
_jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})

_f = np.float32
_u = np.uint32

# Philox-4x32: multipliers and key increments (Salmon et al., 2011).
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = _u(0x9E3779B9), _u(0xBB67AE85)
_SHIFT = np.uint64(32)

_CHUNK = 512  # counters worked on at once: four words each stay in the first-level cache
_WORD = _f(2.0**-32)
_HALF_WORD = _f(2.0**-33)
_EIGHTH_TURN = _f(2.0**-31)
_LN2 = _f(np.log(2.0))
_LOG2E = _f(1.0 / np.log(2.0))


@_jit
def _philox_round(k0, k1, c0, c1, c2, c3):
    product0, product1 = np.uint64(c0) * _M0, np.uint64(c2) * _M1
    return (
        _u(_u(product1 >> _SHIFT) ^ c1 ^ k0),
        _u(product1),
        _u(_u(product0 >> _SHIFT) ^ c3 ^ k1),
        _u(product0),
    )


@_jit
def fill_words(key0, key1, start, place, purpose, moment, w0, w1, w2, w3):
    """Fill four uint32 vectors with the blocks of counters (start + i, place, purpose, moment)."""
    for i in range(w0.size):
        w0[i], w1[i], w2[i], w3[i] = _u(start + i), place, purpose, moment
    for _ in range(10):  # rounds outside, counters inside: the inner loop is what becomes vectors
        for i in range(w0.size):
            w0[i], w1[i], w2[i], w3[i] = _philox_round(key0, key1, w0[i], w1[i], w2[i], w3[i])
        key0, key1 = _u(key0 + _W0), _u(key1 + _W1)


@_jit
def log(x):
    """Natural logarithm of a positive normal float32 (Chebyshev fit, error below 2e-7 max(1, |result|))."""
    bits = np.float32(x).view(np.int32)
    power = np.int32((bits - np.int32(0x3F2AAAAB)) >> np.int32(23))
    y = np.int32(bits - (power << np.int32(23))).view(np.float32) - _f(1)  # in [-1/3, 1/3)
    p = _f(-0.12734152376651764)
    p = p * y + _f(0.13756538927555084)
    p = p * y + _f(-0.12219617515802383)
    p = p * y + _f(0.1405421793460846)
    p = p * y + _f(-0.16678093373775482)
    p = p * y + _f(0.2000732272863388)
    p = p * y + _f(-0.24999839067459106)
    p = p * y + _f(0.33333271741867065)
    p = p * y + _f(-0.5)
    return _f(power) * _LN2 + (y + y * y * p)


@_jit
def exp(x):
    """Exponential of a float32 in [-80, 80] (Chebyshev fit, relative error below 6e-7 for |x| < 5)."""
    scaled = x * _LOG2E
    whole = np.floor(scaled + _f(0.5))
    y = scaled - whole  # in [-1/2, 1/2]
    p = _f(0.00015461447765119374)
    p = p * y + _f(0.0013390866806730628)
    p = p * y + _f(0.009618056938052177)
    p = p * y + _f(0.055503569543361664)
    p = p * y + _f(0.24022650718688965)
    p = p * y + _f(0.6931471824645996)
    power = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23))
    return (p * y + _f(1)) * np.int32(power).view(np.float32)


@_jit
def normal_pair(word0, word1):
    """Turn two random words into two independent standard normals (Box and Muller, 1958).

    The first word gives the radius with all its 32 bits, so that the tail reaches 6.7 standard deviations;
    the second gives the angle: its two highest bits a quarter turn, the rest an angle within an eighth of
    a turn of that.
    """
    radius = np.sqrt(_f(-2) * log(_f(word0) * _WORD + _HALF_WORD))
    y = _f(np.int32(word1 << _u(2))) * _EIGHTH_TURN  # in [-1, 1), units of an eighth turn
    square = y * y
    s = _f(-3.5954399209003896e-05)
    s = s * square + _f(0.0024900068528950214)
    s = s * square + _f(-0.08074543625116348)
    s = (s * square + _f(0.7853981852531433)) * y
    c = _f(3.541975274856668e-06)
    c = c * square + _f(-0.0003259614168200642)
    c = c * square + _f(0.01585433818399906)
    c = c * square + _f(-0.3084251284599304)
    c = c * square + _f(1)
    odd = (word1 & _u(0x40000000)) != 0
    back = (word1 & _u(0x80000000)) != 0
    radius = -radius if back else radius
    return (radius * (-s if odd else c), radius * (c if odd else s))


@_jit
def _fill_pairs(words0, words1, first, second):
    for i in range(first.size):
        first[i], second[i] = normal_pair(words0[i], words1[i])


@_jit
def fill_normals(key0, key1, place, purpose, moment, first, second):
    """Fill two vectors of one length m with standard normals.

    The block with counter i gives the pairs i and i + (m + 1) // 2.
    """
    size = first.size
    half = (size + 1) // 2
    w0, w1 = np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32)
    w2, w3 = np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32)
    for start in range(0, half, _CHUNK):
        stop = min(start + _CHUNK, half)
        n = stop - start
        fill_words(key0, key1, start, place, purpose, moment, w0[:n], w1[:n], w2[:n], w3[:n])
        _fill_pairs(w0, w1, first[start:stop], second[start:stop])
        stop = min(half + stop, size)
        _fill_pairs(w2, w3, first[half + start : stop], second[half + start : stop])


@_jit
def draw_trial(key0, key1, moments, weights, inputs, devices, reads):
    """Fill all standard normals of one trial.

    Parameters
    ----------
    key0, key1
        Name of the trial, uint32.
    moments
        Name of each time, uint32.
    weights, inputs
        float32 (2, half the count).
    devices
        Programming and drift, float32 (2, slices, devices of a slice).
    reads
        Two per output, float32 (2, slices, times, rows).
    """
    none = _u(0)
    fill_normals(key0, key1, none, _u(WEIGHTS), none, weights[0], weights[1])
    fill_normals(key0, key1, none, _u(INPUTS), none, inputs[0], inputs[1])
    for j in range(devices.shape[1]):
        fill_normals(key0, key1, _u(j), _u(DEVICES), none, devices[0, j], devices[1, j])
        for t in range(moments.size):
            fill_normals(key0, key1, _u(j), _u(READS), moments[t], reads[0, j, t], reads[1, j, t])


@_jit
def fill_targets(mapping, base, place, last, scale, step, lower, tie, bits, low, high, residual, target):
    """Set the targets of one slice, return the largest magnitude; see `slicing.py` for the mappings.

    `residual` holds what is still to be stored, in weight units with the weight's sign taken out, and is
    lowered by what the targets hold; `target` is in units of G_MAX with the sign taken out too. `scale` is
    1 / (r b^j), `step` is r b^j and `lower` what the slices below can hold together.
    """
    if mapping == EQUAL_FILL:
        for i in range(target.size):
            target[i] = residual[i] * scale
    elif mapping == DIGITAL:
        mask = np.int32((1 << bits) - 1)
        shift = np.int32(bits * place)
        for i in range(target.size):
            target[i] = _f((np.int32(residual[i]) >> shift) & mask) * scale
    elif last:
        for i in range(target.size):
            target[i] = residual[i] * scale
    elif base == 1:
        for i in range(target.size):
            full = residual[i] >= step
            target[i] = _f(1) if full else _f(0)
            residual[i] -= step if full else _f(0)
    else:
        for i in range(target.size):
            used = residual[i] > tie * lower
            target[i] = min(residual[i] * scale, _f(1)) if used else _f(0)
            # Where one slice holds the whole residual, exactly nothing is left: an empty slice has no noise.
            rest = residual[i] - step if residual[i] > tie * step else _f(0)
            residual[i] = rest if used else residual[i]
    if high < np.inf:
        for i in range(target.size):
            target[i] = min(max(target[i], low), high)
    # Bit patterns of non-negative floats sort like the floats, and integer maxima become vectors.
    patterns = target.view(np.int32)
    peak = np.int32(0)
    for i in range(target.size):
        peak = max(peak, np.int32(patterns[i] & np.int32(0x7FFFFFFF)))
    return np.int32(peak).view(np.float32)


@_jit
def program_row(weight, target, z_error, z_drift, log_peak, physics, held, exponent, noise):
    """Program one row of a slice: conductances held at t0, drift exponents, squared relative read noise.

    `log_peak` is the logarithm of the target that the read noise is normalised by.
    """
    for c in range(weight.size):
        magnitude = abs(target[c])
        on = magnitude > _f(0)
        std = abs((physics[2] * magnitude + physics[1]) * magnitude + physics[0])
        level = log(max(magnitude, _f(1e-15)))
        mean = min(max(physics[4] * level + physics[3], physics[5]), physics[6])
        spread = min(max(physics[8] * level + physics[7], physics[9]), physics[10])
        relative = min(physics[11] * exp(physics[12] * (level - log_peak)), physics[13])
        signed = target[c] if weight[c] >= _f(0) else -target[c]
        held[c] = signed + (std * z_error[c] if on else _f(0))
        exponent[c] = abs(mean + spread * z_drift[c])
        noise[c] = relative * relative


@_jit
def correct_row(weight, target, held, step, residual):
    """Take the programming error just made, in weight units, from what is still to be stored."""
    for c in range(weight.size):
        magnitude = held[c] if weight[c] >= _f(0) else -held[c]
        residual[c] -= (magnitude - target[c]) * step


@_jit
def read_row(held, noise, inputs):
    """Sums over a row: g, g x, (g q)^2, (g q)^2 x, (g q)^2 x^2."""
    total, product = _f(0), _f(0)
    v0, v1, v2 = _f(0), _f(0), _f(0)
    for c in range(held.size):
        g = held[c]
        x = inputs[c]
        variance = g * g * noise[c]
        weighted = variance * x
        total += g
        product += g * x
        v0 += variance
        v1 += weighted
        v2 += weighted * x
    return total, product, v0, v1, v2


@_jit
def outputs(total, product, v0, v1, v2, growth, calibration, z, z_other):
    """Outputs of a row for data and for calibration, with read noise.

    Per device the noise is g q f z. Summed over a row, the noise of the two outputs is jointly normal, with
    the covariance of the sums in `read_row`.
    """
    deviation = np.sqrt(v2)
    shared = v1 / deviation if v2 > _f(0) else _f(0)
    other = np.sqrt(max(v0 - shared * shared, _f(0)))
    data = product + growth * deviation * z
    return data, calibration * (total + growth * (shared * z + other * z_other))


@_jit
def convert(value, gain, limit):
    """Return the code of the converter behind a row."""
    return min(max(np.rint(value * gain), -limit), limit)


@_jit
def simulate_array(
    weights, inputs, calibration, z_error, z_drift, z_read, z_read_other,
    mapping, base, bits, slices, tie, log_ratio, growth, physics, gain, limit, by_slice, low, high,
    data_out, calibration_out,
):  # fmt: skip
    """Program one array of `n` slices and read it at every time.

    Parameters
    ----------
    weights, inputs
        Integers as float32, (rows, columns) and (columns,).
    calibration
        The calibration input, the same for every column.
    z_error, z_drift
        Standard normals per device, (slices, rows, columns).
    z_read, z_read_other
        Standard normals per output, (slices, times, rows).
    slices
        Per slice (least significant first): b^j, 1 / (r b^j), r b^j, room of the lower slices; float32.
    tie
        Factor by which a residual must exceed a range to count as larger.
    log_ratio
        Logarithm of each time over the one before; zero at the first, t0.
    growth
        Read noise growth at each time.
    physics
        Device constants, `crossbar.PHYSICS`.
    low, high
        Limits of a target in the direction of its weight, units of G_MAX; infinite for none.
    data_out, calibration_out
        Recombined converter codes, float64 (times, rows); overwritten.
    """
    rows, columns = weights.shape
    n = slices.shape[0]
    correcting = mapping == MAX_FILL_EC
    residual = np.abs(weights)
    target = np.empty_like(residual)
    held, exponent = np.empty(columns, np.float32), np.empty(columns, np.float32)
    noise, decay = np.empty(columns, np.float32), np.empty(columns, np.float32)
    data_out[:] = 0
    calibration_out[:] = 0
    for order in range(n):
        j = n - 1 - order  # most significant first
        scale, step, lower = slices[j, 1], slices[j, 2], slices[j, 3]
        peak = fill_targets(
            mapping,
            base,
            j,
            j == 0,
            scale,
            step,
            lower,
            tie,
            bits,
            low,
            high,
            residual.ravel(),
            target.ravel(),
        )
        if peak == 0:
            continue  # an empty slice conducts nothing
        log_peak = log(peak) if by_slice else _f(0)
        for i in range(rows):
            program_row(
                weights[i], target[i], z_error[j, i], z_drift[j, i], log_peak, physics, held, exponent, noise
            )
            if correcting:
                correct_row(weights[i], target[i], held, step, residual[i])
            past = _f(0)
            for t in range(log_ratio.size):
                ratio = log_ratio[t]
                if ratio != past:
                    for c in range(columns):
                        decay[c] = exp(-ratio * exponent[c])
                    past = ratio
                if ratio != 0:
                    for c in range(columns):
                        held[c] *= decay[c]
                total, product, v0, v1, v2 = read_row(held, noise, inputs)
                data, reference = outputs(
                    total, product, v0, v1, v2, growth[t], calibration, z_read[j, t, i], z_read_other[j, t, i]
                )
                data_out[t, i] += slices[j, 0] * convert(data, gain, limit)
                calibration_out[t, i] += slices[j, 0] * convert(reference, gain, limit)
