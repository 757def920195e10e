"""Chips of a deployed network: what programming left in them, and how they are read.

Read noise enters the effective weights once a read: all images of one call meet the same draw, as in the
published network runs (a read in hardware is that of a batch in this sense, and 1/f noise changes slowly).
The noise of a weight's devices is summed into one normal, which is exact (`programming.Devices.deviation`).
Where ADCs read every slice by itself, that same normal is divided among the slices.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from . import converters, device, folding
from .hardware import Hardware, growth
from .programming import Devices, normals

STEP_VALUES = 32 * 3 * 32 * 32
"""Input values a step on the CPU, 32 images of CIFAR-10: activations then stay in the second-level cache."""

GPU_BATCH = 1000
"""Images a step on a GPU, every chip at once."""


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

    def at(self, t: float, read: int = 0) -> Snapshot:
        """Read all devices at time t (s after programming); `read` numbers independent reads.

        Raises
        ------
        ValueError
            If the time lies before t0 = 20 s, or is no finite number.
        """
        if not isinstance(t, numbers.Real) or not math.isfinite(t):
            raise ValueError(f"t must be a finite number of seconds after programming, got {t!r}")
        if not device.T0_S <= t <= device.LAST_S:
            raise ValueError(
                f"devices are described from t0 = {device.T0_S:g} s to {device.LAST_S:g} s, got t = {t:g} s"
            )
        values = {}
        for name, layer in self.layers.items():
            arrays = self._read(name, t, read)
            scale = self._compensation(name, arrays, t, read) * layer.affine.scale
            if self.hardware.converting:
                values |= self._converted(name, arrays, scale)
            else:
                values[f"{name}.weight"] = arrays[0] * scale.view(*scale.shape, *[1] * (arrays.ndim - 3))
        return Snapshot(self.model, values)

    def __call__(self, images: Tensor, *, t: float, read: int = 0) -> Tensor:
        """Logits (chips, images, classes) of images (images, channels, height, width) read at time t."""
        return self.at(t, read)(images)

    def effective_weights(self, name: str, t: float, read: int = 0) -> Tensor:
        """Weights of one layer as they are read at time t, uncompensated, (chips, *weights)."""
        return self._read(name, t, read).sum(dim=0)

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
        return torch.where(now == 0, torch.ones_like(now), layer.reference / now)

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


class Snapshot:
    """Effective weights of all chips at one time; call it with images for logits.

    Attributes
    ----------
    weights
        By parameter name, (chips, *weights), compensation and batch normalisation included. With converters
        those of each array, (chips, arrays, *weights), compensation and normalisation beside them.
    """

    def __init__(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        self.model, self.weights = model, weights

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits (chips, images, classes) of images (images, channels, height, width).

        Raises
        ------
        ValueError
            If there are no images.
        """
        if not len(images):
            raise ValueError("there are no images to classify")
        return self._batched(images) if images.is_cuda else self._one_by_one(images)

    def _one_by_one(self, images: Tensor) -> Tensor:
        """Chip by chip in small steps: on a CPU arithmetic is the limit, if the data stay in the cache."""
        if images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        step = max(1, STEP_VALUES // images[0].numel())
        logits = []
        for chip in range(len(next(iter(self.weights.values())))):
            one = {name: _contiguous(weight[chip]) for name, weight in self.weights.items()}
            logits.append(torch.cat([_logits(self.model, one, part) for part in images.split(step)]))
        return torch.stack(logits)

    def _batched(self, images: Tensor, batch: int = GPU_BATCH) -> Tensor:
        """All chips in one call: a GPU wants much work at once. Convolutions become grouped ones."""
        run = vmap(lambda weights, part: _logits(self.model, weights, part), in_dims=(0, None))
        return torch.cat([run(self.weights, part) for part in images.split(batch)], dim=1)


def _logits(model: nn.Module, weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Logits with these weights; layers that share a weight each have an array of their own."""
    return functional_call(model, weights, (images,), tie_weights=False)


def _contiguous(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else weight
