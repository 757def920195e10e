"""A layer's weights on phase-change memory: quantised, programmed once, read at any time.

The statistics are those of `device` and the mappings those of `slicing`, which the crossbar study uses too
(its compiled kernel repeats mappings and programming for speed, and tests hold the two together); this module
adds the axis of chips and keeps what programming leaves behind: a conductance, a drift exponent and a
read-noise scale for every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import rng
from . import device, slicing
from .hardware import Hardware

ALL_EQUAL = 1e-6
"""Weights whose spread is below this share of the largest are all equal, but for rounding."""


def quantise_weights(weights: Tensor, clip_sigmas: float | None = None) -> tuple[Tensor, float]:
    """Put a layer's weights on the 9-bit grid.

    Parameters
    ----------
    weights
        Any shape.
    clip_sigmas
        Magnitudes beyond this many standard deviations of the weights are clipped; None keeps them all, and
        so do weights that are all equal.

    Returns
    -------
    integers, step
        Weights are integers * step, integers in [-255, 255]; the largest magnitude kept becomes 255.

    Raises
    ------
    ValueError
        If there are no weights.
    """
    if not weights.numel():
        raise ValueError(f"weights {list(weights.shape)} of a layer have no values to program")
    weights = weights.detach()
    span = weights.abs().max().item()
    if clip_sigmas is not None and (spread := weights.std(correction=0).item()) > ALL_EQUAL * span:
        span = min(span, clip_sigmas * spread)
    if span == 0:
        return torch.zeros_like(weights), 0.0
    return slicing.quantise(weights, span), span / slicing.MAX_WEIGHT


def normals(shape: Sequence[int], chips: Sequence[int], *, seed: int, labels: tuple) -> Tensor:
    """Standard normals of named streams, one stream a chip: (chips, *shape)."""
    drawn = [
        torch.randn(tuple(shape), generator=rng.torch_stream(seed, "pcm", chip, *labels)) for chip in chips
    ]
    return torch.stack(drawn)


@dataclass(frozen=True)
class Devices:
    """The programmed devices of one layer.

    Attributes
    ----------
    conductance
        Signed conductances at t0, units of G_MAX, (devices, chips, *weights); devices of a weight are its
        slices, least significant first, followed by the unused devices of the pairs, if these are simulated.
    exponent
        Drift exponents, same shape.
    noise
        Read noise at unit growth, fraction of the conductance, same shape.
    significance
        Weight that one unit of conductance stands for, per device of a weight, (devices,).
    mean_exponent
        Mean drift exponents of the targets, and ...
    targets
        ... the targets themselves, for compensation without a measurement.
    """

    conductance: Tensor
    exponent: Tensor
    noise: Tensor
    significance: Tensor
    mean_exponent: Tensor
    targets: Tensor

    def read(self, t: float, *, drift: bool = True) -> Tensor:
        """What each device adds to its weight at time t, without read noise, (devices, chips, *weights)."""
        shape = (-1, *[1] * (self.conductance.ndim - 1))
        held = self.conductance * self.significance.view(shape)
        return held * device.drift_factor(self.exponent, t) if drift and t != device.T0_S else held

    def deviation(self, held: Tensor) -> Tensor:
        """Standard deviation of a weight's read noise at unit growth, from what `read` returned.

        The noise of different devices is independent, so that the noise of their sum is one normal: drawing
        it once a weight is exact, and cheaper than once a device.
        """
        return (held * self.noise).square_().sum(dim=0).sqrt_()

    def by_slice(self, values: Tensor) -> Tensor:
        """Sum over the devices of each slice, (slices, chips, *weights): the two of a pair share a column."""
        return values.unflatten(0, (-1, len(self.targets))).sum(dim=0)

    def fixed_factor(self, t: float) -> Tensor:
        """Compensation expected from the targets and their mean exponents alone, (chips,)."""
        shape = (-1, *[1] * (self.targets.ndim - 1))
        held = self.targets.abs() * self.significance[: len(self.targets)].view(shape)
        axes = [0, *range(2, held.ndim)]
        left = (held * device.drift_factor(self.mean_exponent, t)).sum(axes)
        return torch.where(left > 0, held.sum(axes) / left, torch.ones_like(left))


def program(
    integers: Tensor,
    mapping: str,
    base: int | None,
    n_slices: int,
    chips: Sequence[int],
    *,
    seed: int,
    layer: str,
    hardware: Hardware,
) -> Devices:
    """Program a layer's integer weights on several chips.

    Parameters
    ----------
    integers
        Weights in [-255, 255], floating point, any shape.
    mapping, base, n_slices
        See `slicing`.
    chips
        Numbers of the chips. A device's random numbers are named by seed, chip, layer and slice alone, so
        that every configuration meets the same devices.
    seed, layer
        See `chips`.
    hardware
        Options.

    Returns
    -------
    Devices
        On the device and in the precision of `integers`.
    """
    place = {"device": integers.device, "dtype": integers.dtype}
    drawn = [
        normals((2, *integers.shape), chips, seed=seed, labels=(layer, "device", j)) for j in range(n_slices)
    ]
    z_error, z_exponent = torch.stack(drawn).to(**place).unbind(2)
    reset = None
    if hardware.pairs:
        reset = _Reset(integers, n_slices, chips, seed=seed, layer=layer, noisy=hardware.programming_noise)
    targets, held = slicing.program(
        integers.expand(len(chips), *integers.shape),
        mapping,
        base,
        n_slices,
        z_error if hardware.programming_noise else torch.zeros_like(z_error),
        ec_targets=hardware.ec_targets,
        non_negative=hardware.non_negative,
        beside=None if reset is None else reset.held,
    )
    mean = device.drift_exponent_mean(targets)
    exponent = mean + device.drift_exponent_std(targets) * z_exponent
    noise = _read_noise(targets, hardware)
    powers = slicing.significance(mapping, base, n_slices)
    significance = torch.tensor(powers, **place) * slicing.slice_range(mapping, base, n_slices)
    state = [held, exponent, noise]
    if reset is not None:
        pairs = [reset.pair(j, target) for j, target in enumerate(targets)]
        opposite, second = (torch.stack(part) for part in zip(*pairs, strict=True))
        unused = [opposite, reset.exponents(), device.read_noise_scale(torch.zeros_like(targets))]
        state = [torch.cat(part) for part in zip(state, unused, strict=True)]
        state[0][:n_slices] += second
        significance = significance.repeat(2)
    held, exponent, noise = state
    exponent = exponent.clamp(*device.DRIFT_MEAN_RANGE) if hardware.exponents == "clipped" else exponent.abs()
    return Devices(held, exponent, noise, significance, mean, targets)


def _read_noise(targets: Tensor, hardware: Hardware) -> Tensor:
    """Read-noise scale of every device."""
    if hardware.read_noise_norm == "g_max":
        return device.read_noise_scale(targets)
    axes = tuple(range(2, targets.ndim))
    peak = targets.abs().amax(dim=axes, keepdim=True)
    return device.read_noise_scale(targets / torch.where(peak > 0, peak, torch.ones_like(peak)))


class _Reset:
    """RESET devices of a layer's pairs: the one opposite to that in use, and both where zero is stored.

    Parameters
    ----------
    integers, n_slices, chips, seed, layer
        As in `program`.
    noisy
        False: they hold nothing.
    """

    def __init__(
        self,
        integers: Tensor,
        n_slices: int,
        chips: Sequence[int],
        *,
        seed: int,
        layer: str,
        noisy: bool,
    ) -> None:
        drawn = [
            normals((3, *integers.shape), chips, seed=seed, labels=(layer, "unused", j))
            for j in range(n_slices)
        ]
        self._z = torch.stack(drawn).to(integers).unbind(2)
        # The fit at zero conductance, which `device.programming_std` keeps for targets above it.
        self._sigma = device.PROGRAMMING_STD_US[0] / device.G_MAX_US if noisy else 0.0

    def pair(self, j: int, target: Tensor) -> tuple[Tensor, Tensor]:
        """Signed conductance of the device opposite to the target, and of the other where the target is zero.

        Parameters
        ----------
        j
            Slice.
        target
            Its targets, (chips, *weights).
        """
        z_opposite, _, z_other = (z[j] for z in self._z)
        direction = torch.where(target < 0, -1.0, 1.0).to(target.dtype)
        opposite = -direction * (self._sigma * z_opposite).clamp(min=0)
        other = (self._sigma * z_other).clamp(min=0)
        return opposite, torch.where(target == 0, other, torch.zeros_like(other))

    def held(self, j: int, target: Tensor) -> Tensor:
        """What both add to a slice."""
        opposite, other = self.pair(j, target)
        return opposite + other

    def exponents(self) -> Tensor:
        """Drift exponents of the opposite devices, (slices, chips, *weights)."""
        z = self._z[1]
        nothing = torch.zeros_like(z)
        return device.drift_exponent_mean(nothing) + device.drift_exponent_std(nothing) * z
