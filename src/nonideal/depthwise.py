"""The CNN's three convolutions for training: integer arithmetic in floating point, one pass over each image.

Every channel has three 3x3 filters, applied one after the other without padding. With x the int8 image, w the
levels of the filters and s the shifts,

    a1 = min(255, max(0, w1 * x) >> s1)                            14 x 14
    a2 = min(255, max(0, maximum of 2x2 of w2 * a1) >> s2)          6 x 6
    f = max(0, maximum of 2x2 of w3 * a2) >> s3                     2 x 2

which is what `nonideal.mcu.convolutions` computes. All values are integers below 2^24, so single precision
is exact and the order of additions does not matter. Gradients pass the rounding straight through and stop
where an activation is zero or saturated.

`features` runs compiled loops on the CPU, image after image while its values are in the cache, channels in
the registers; `features_reference` is the same in PyTorch's operations, for other devices and as an oracle.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SIZE = 16  # height and width of an image
CEILING = 255  # largest activation between the convolutions: two of their products' sums fit a word
TAPS = 9
FIRST, SECOND, HALVED, THIRD, LAST = 14, 12, 6, 4, 2  # sizes after each convolution and each pool

_jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


def features_reference(x: Tensor, weights: list[Tensor], shifts: tuple[int, int, int]) -> Tensor:
    """As `features`, in PyTorch's operations."""
    channels = len(weights[0])
    for k, (weight, shift) in enumerate(zip(weights, shifts, strict=True)):
        x = functional.conv2d(x, weight, groups=channels if k else 1)
        if k:
            x = functional.max_pool2d(x, 2)
        x = x.clamp(min=0) * 2.0**-shift
        if k < 2:
            x = x.clamp(max=CEILING + 1 - 2.0**-shift)
        x = x + (x.floor() - x).detach()
    return x


def features(x: Tensor, weights: list[Tensor], shifts: tuple[int, int, int]) -> Tensor:
    """Features of images.

    Parameters
    ----------
    x
        Images [n, 1, 16, 16], integers -128 .. 127 in single precision. They receive no gradient.
    weights
        Levels of the three layers' filters, [channels, 1, 3, 3] each, integers in single precision.
    shifts
        Bits dropped after each layer.

    Returns
    -------
    Tensor
        [n, channels, 2, 2], integers in single precision.
    """
    if x.device.type != "cpu":
        return features_reference(x, weights, shifts)
    taps = [weight.reshape(-1, TAPS).t().contiguous() for weight in weights]
    return _Features.apply(x[:, 0], *taps, shifts).permute(0, 3, 1, 2)


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, w1: Tensor, w2: Tensor, w3: Tensor, shifts: tuple[int, int, int]) -> Tensor:
        count, channels = len(x), w1.shape[1]
        x = x.contiguous()
        a1 = torch.empty(count, FIRST, FIRST, channels)
        a2 = torch.empty(count, HALVED, HALVED, channels)
        f = torch.empty(count, LAST, LAST, channels)
        at2 = torch.empty(count, HALVED, HALVED, channels, dtype=torch.int32)
        at3 = torch.empty(count, LAST, LAST, channels, dtype=torch.int32)
        factors = np.array([2.0**-shift for shift in shifts], np.float32)
        _forward(
            *(t.detach().numpy() for t in (x, w1, w2, w3)),
            factors,
            *(t.numpy() for t in (a1, a2, f, at2, at3)),
        )
        ctx.save_for_backward(x, w2, w3, a1, a2, f, at2, at3)
        ctx.factors = factors
        return f.floor()

    @staticmethod
    def backward(ctx, gradient: Tensor):
        x, w2, w3, a1, a2, f, at2, at3 = (t.detach().numpy() for t in ctx.saved_tensors)
        sums = [torch.zeros(TAPS, a1.shape[-1]) for _ in range(3)]
        _backward(
            gradient.contiguous().numpy(),
            x,
            w2,
            w3,
            a1,
            a2,
            f,
            at2,
            at3,
            ctx.factors,
            *(t.numpy() for t in sums),
        )
        return None, *sums, None


# Activations are kept before they are rounded: rounding is cheap, and the fraction says whether a gradient
# passes (0 < a < CEILING + 1).


@_jit
def _first(x, w, y, factor):
    """First convolution of an image [16, 16], one input channel, to y [14, 14, c] before rounding."""
    channels = w.shape[1]
    for i in range(FIRST):
        for j in range(FIRST):
            v0, v1, v2 = x[i, j], x[i, j + 1], x[i, j + 2]
            v3, v4, v5 = x[i + 1, j], x[i + 1, j + 1], x[i + 1, j + 2]
            v6, v7, v8 = x[i + 2, j], x[i + 2, j + 1], x[i + 2, j + 2]
            for c in range(channels):
                total = (
                    w[0, c] * v0 + w[1, c] * v1 + w[2, c] * v2 + w[3, c] * v3 + w[4, c] * v4
                    + w[5, c] * v5 + w[6, c] * v6 + w[7, c] * v7 + w[8, c] * v8
                )  # fmt: skip
                y[i, j, c] = max(total, np.float32(0)) * factor


@_jit
def _rounded(y, a, ceiling):
    """Integer activations of y, flat."""
    for k in range(y.size):
        a[k] = min(np.floor(y[k]), ceiling)


@_jit
def _pooled(a, w, y, at, factor):
    """Depthwise convolution of a [h, h, c] and 2x2 maximum: y before rounding, and which of four it was."""
    channels, size = w.shape[1], y.shape[0]
    best, where = np.empty(channels, np.float32), np.empty(channels, np.int32)
    for i in range(size):
        for j in range(size):
            for part in range(4):
                p, q = 2 * i + part // 2, 2 * j + part % 2
                r0, r1, r2 = a[p], a[p + 1], a[p + 2]
                for c in range(channels):
                    total = (
                        w[0, c] * r0[q, c] + w[1, c] * r0[q + 1, c] + w[2, c] * r0[q + 2, c]
                        + w[3, c] * r1[q, c] + w[4, c] * r1[q + 1, c] + w[5, c] * r1[q + 2, c]
                        + w[6, c] * r2[q, c] + w[7, c] * r2[q + 1, c] + w[8, c] * r2[q + 2, c]
                    )  # fmt: skip
                    larger = part == 0 or total > best[c]
                    best[c] = total if larger else best[c]
                    where[c] = part if larger else where[c]
            for c in range(channels):
                y[i, j, c] = max(best[c], np.float32(0)) * factor
                at[i, j, c] = where[c]


@_jit
def _forward(x, w1, w2, w3, factors, y1, y2, f, at2, at3):
    ceiling = np.float32(CEILING)
    a1, a2 = np.empty_like(y1[0]), np.empty_like(y2[0])
    for n in range(len(x)):
        _first(x[n], w1, y1[n], factors[0])
        _rounded(y1[n].ravel(), a1.ravel(), ceiling)
        _pooled(a1, w2, y2[n], at2[n], factors[1])
        _rounded(y2[n].ravel(), a2.ravel(), ceiling)
        _pooled(a2, w3, f[n], at3[n], factors[2])


@_jit
def _through_pooled(gy, at, a, w, ga, gw, g):
    """Add gradients of a layer's input ga and filters gw, from those of its pooled output gy."""
    channels, size = w.shape[1], gy.shape[0]
    for i in range(size):
        for j in range(size):
            for part in range(4):
                p, q = 2 * i + part // 2, 2 * j + part % 2
                for c in range(channels):
                    g[c] = gy[i, j, c] if at[i, j, c] == part else np.float32(0)
                for k in range(TAPS):
                    u, v = p + k // 3, q + k % 3
                    for c in range(channels):
                        gw[k, c] += a[u, v, c] * g[c]
                        ga[u, v, c] += w[k, c] * g[c]


@_jit
def _masked(gradient, y, factor, limit):
    """Gradient before the shift: zero where the activation is zero or saturated."""
    for k in range(y.size):
        passes = y[k] > 0 and y[k] < limit
        gradient[k] = gradient[k] * factor if passes else np.float32(0)


@_jit
def _backward(gf, x, w2, w3, y1, y2, f, at2, at3, factors, gw1, gw2, gw3):
    ceiling, limit = np.float32(CEILING), np.float32(CEILING + 1)
    a1, a2 = np.empty_like(y1[0]), np.empty_like(y2[0])
    g1, g2, g3 = np.empty_like(y1[0]), np.empty_like(y2[0]), np.empty_like(f[0])
    g = np.empty(y1.shape[3], np.float32)
    channels = y1.shape[3]
    for n in range(len(x)):
        _rounded(y1[n].ravel(), a1.ravel(), ceiling)
        _rounded(y2[n].ravel(), a2.ravel(), ceiling)
        g3[:] = gf[n]
        _masked(g3.ravel(), f[n].ravel(), factors[2], np.float32(np.inf))
        g2[:] = 0
        _through_pooled(g3, at3[n], a2, w3, g2, gw3, g)
        _masked(g2.ravel(), y2[n].ravel(), factors[1], limit)
        g1[:] = 0
        _through_pooled(g2, at2[n], a1, w2, g1, gw2, g)
        _masked(g1.ravel(), y1[n].ravel(), factors[0], limit)
        for i in range(FIRST):
            for j in range(FIRST):
                for k in range(TAPS):
                    v = x[n, i + k // 3, j + k % 3]
                    for c in range(channels):
                        gw1[k, c] += g1[i, j, c] * v
