"""Chips of a deployed network: what programming left in them, and how they are read.

Read noise enters the effective weights once a read: all images of one call meet the same draw, as in the
published network runs (a read in hardware is that of a batch in this sense, and 1/f noise changes slowly).
The noise of a weight's devices is summed into one normal, which is exact (`programming.Devices.deviation`).
Where ADCs read every slice by itself, that same normal is divided among the slices.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from . import converters, device, folding
from .hardware import Hardware, growth
from .programming import Devices, normals
from .reading import Habits, Snapshot


@dataclass
class Layer:
    """One deployed layer.

    Attributes
    ----------
    module
        The layer of the digital copy.
    integers, step
        Quantised weights: integers * step.
    devices
        Programmed state.
    affine
        Digital scale and shift of the outputs.
    inputs
        What the rows of the crossbars see in the calibration batch, one tensor a call of the layer, or None.
    spans
        Ranges of the ADCs, (slices, chips), or None.
    reference
        Sums of the calibration outputs' magnitudes read at t0, filled in when first needed.
    """

    module: nn.Module
    integers: Tensor
    step: float
    devices: Devices
    affine: folding.Affine
    inputs: list[Tensor] | None
    spans: Tensor | None = None
    reference: Tensor | None = field(default=None)


class DeployedNetwork:
    """A network on `chips` chips; made by `deploy`."""

    def __init__(
        self, model: nn.Module, layers: dict[str, Layer], chips: Sequence[int], seed: int, hardware: Hardware
    ) -> None:
        self.model, self.layers = model, layers
        self.chips, self.seed, self.hardware = list(chips), seed, hardware
        self.habits = Habits()

    def at(self, t: float, read: int = 0) -> Snapshot:
        """Read all devices at time t (s after programming); `read` numbers independent reads.

        Raises
        ------
        ValueError
            If the time lies before t0 = 20 s or beyond `device.LAST_S`, or is no finite number, or the read
            is no whole number from 0.
        """
        read = _number_of_read(read)
        _check_time(t)
        values = {}
        for name, layer in self.layers.items():
            arrays = self._read(name, t, read)
            scale = self._compensation(name, arrays, t, read) * layer.affine.scale
            if self.hardware.converting:
                values |= self._converted(name, arrays, scale)
            else:
                values[f"{name}.weight"] = arrays[0] * scale.view(*scale.shape, *[1] * (arrays.ndim - 3))
        return Snapshot(self.model, values, self.habits)

    def __call__(self, images: Tensor, *, t: float, read: int = 0) -> Tensor:
        """Logits (chips, images, classes) of images (images, channels, height, width) read at time t.

        Axis 0 holds the images, whatever the other axes are, and is read in steps; see `reading.Snapshot`.
        """
        return self.at(t, read)(images)

    def effective_weights(self, name: str, t: float, read: int = 0) -> Tensor:
        """Weights of one layer as they are read at time t, uncompensated, (chips, *weights).

        Raises
        ------
        ValueError
            If no layer on the chips has that name, or as `at`.
        """
        if name not in self.layers:
            raise ValueError(f"no layer {name!r} is on the chips; there are {', '.join(self.layers)}")
        _check_time(t)
        return self._read(name, t, _number_of_read(read)).sum(dim=0)

    def _read(self, name: str, t: float, read: int) -> Tensor:
        """Weights on each array, (arrays, chips, *weights): one array, or with ADCs one a slice."""
        layer = self.layers[name]
        held = layer.devices.read(t, drift=self.hardware.drift)
        weights = held.sum(dim=0)
        factor = growth(t, self.hardware)
        labels = (name, "read", read, "t0" if t == device.T0_S else "later")
        noise = torch.zeros_like(weights)
        if factor:
            z = normals(weights.shape[1:], self.chips, seed=self.seed, labels=labels)
            noise = factor * layer.devices.deviation(held) * z.to(weights)
        if self.hardware.adc_bits is None:
            return (weights + noise)[None] * layer.step
        slices = layer.devices.by_slice(held)
        if factor:
            slices = slices + self._shares(layer, factor * held, noise, labels)
        return slices * layer.step

    def _shares(self, layer: Layer, grown: Tensor, noise: Tensor, labels: tuple) -> Tensor:
        """Read noise of every slice, (slices, chips, *weights), given that of their sum.

        Independent normals n_j of variance v_j with a known sum s: for other such normals e_j,
        n_j = e_j + v_j / sum(v) * (s - sum(e)) has their joint distribution. Reads with ADCs so meet the
        noise of those without.
        """
        variance = layer.devices.by_slice((grown * layer.devices.noise).square_())
        if len(variance) == 1:
            return noise[None]
        z = [
            normals(noise.shape[1:], self.chips, seed=self.seed, labels=(*labels, j))
            for j in range(len(variance))
        ]
        drawn = variance.sqrt() * torch.stack(z).to(noise)
        total = variance.sum(dim=0)
        share = variance / torch.where(total > 0, total, torch.ones_like(total))
        return drawn + share * (noise - drawn.sum(dim=0))

    def _converted(self, name: str, arrays: Tensor, scale: Tensor) -> dict[str, Tensor]:
        """What a converted layer needs of every chip."""
        layer = self.layers[name]
        spans = arrays.new_ones(arrays.shape[:2]) if layer.spans is None else layer.spans
        found = {"weight": arrays.transpose(0, 1), "scale": scale, "span": spans.T}
        return {f"{name}.{key}" if name else key: value for key, value in found.items()}

    def _compensation(self, name: str, arrays: Tensor, t: float, read: int) -> Tensor:
        """Factors on the outputs, (chips, outputs) or (chips, 1)."""
        layer, kind = self.layers[name], self.hardware.compensation
        if kind == "none" or (kind == "fixed" and not self.hardware.drift):
            return arrays.new_ones(len(self.chips), 1)
        if kind == "fixed":
            return layer.devices.fixed_factor(t)[:, None]
        if layer.reference is None:
            # Always of read 0 at t0: factors must not depend on what else was read before.
            first = t == device.T0_S and read == 0
            layer.reference = self._sums(layer, arrays if first else self._read(name, device.T0_S, 0))
        now = self._sums(layer, arrays)
        # Converters may round a small column to nothing, then or now, and nothing is known of its loss.
        unknown = (now == 0) | (layer.reference == 0)
        return torch.where(unknown, torch.ones_like(now), layer.reference / now)

    def _sums(self, layer: Layer, arrays: Tensor) -> Tensor:
        """Sum of the magnitudes of the calibration outputs, (chips, outputs) or (chips, 1)."""
        chips, outputs = arrays.shape[1:3]
        found = sum(self._channel_sums(layer, inputs, arrays) for inputs in layer.inputs).view(chips, outputs)
        return found if self.hardware.compensation == "column" else found.sum(1, keepdim=True)

    def _channel_sums(self, layer: Layer, inputs: Tensor, arrays: Tensor) -> Tensor:
        """Sums of the magnitudes of the outputs for one call's inputs, (chips * outputs,)."""
        outputs = arrays.shape[2]
        total = None
        for j, weights in enumerate(arrays):
            part = converters.products(layer.module, inputs, weights)
            if layer.spans is not None:
                span = converters.along_channels(layer.module, layer.spans[j].repeat_interleave(outputs))
                converters.convert_(part, span, self.hardware.adc_bits)
            total = part if total is None else total.add_(part)
        return converters.channel_sums(layer.module, total.abs_())


def _check_time(t: float) -> None:
    if not isinstance(t, numbers.Real) or not math.isfinite(t):
        raise ValueError(f"t must be a finite number of seconds after programming, got {t!r}")
    if not device.T0_S <= t <= device.LAST_S:
        raise ValueError(
            f"devices are described from t0 = {device.T0_S:g} s to {device.LAST_S:g} s, got t = {t:g} s"
        )


def _number_of_read(read: int) -> int:
    """Streams are named by it: 1 and 1.0 would be two reads with different noise."""
    try:
        number = -1 if isinstance(read, bool) else operator.index(read)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"read must be a whole number from 0 on, the number of the read, got {read!r}")
    return number
