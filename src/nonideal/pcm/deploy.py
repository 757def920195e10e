"""Any network on phase-change memory: programmed once, read many times, many chips at once.

`deploy` puts the weights of every nn.Linear and nn.Conv2d of a model on crossbars; everything else, batch
normalisation and biases included, stays digital. The result holds what programming left in every device of
every chip. Reading it at a time t gives effective weights, one set a chip, and with them logits.

Read noise enters the effective weights once a read: all images of one call meet the same draw, as in the
published network runs (a read in hardware is that of a batch in this sense, and 1/f noise changes slowly).
The noise of a weight's devices is summed into one normal, which is exact; see `hardware.Devices.deviation`.

Random numbers are named by seed, chip, layer and slice for the devices, and by seed, chip, layer and the
number of the read for the reads. Configurations and times therefore meet the same devices and the same
read noise, and their differences are sharp. The reference read at t0, which drift compensation compares
with, has noise of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from . import device, folding, slicing
from .hardware import Devices, Hardware, growth, normals, program, quantise_weights

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
        The layer's inputs in the calibration batch, or None.
    reference
        Sums of the calibration outputs' magnitudes read at t0, filled in when first needed.
    """

    module: nn.Module
    integers: Tensor
    step: float
    devices: Devices
    affine: folding.Affine
    inputs: Tensor | None
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
            If the time lies before t0 = 20 s.
        """
        weights = {}
        for name, layer in self.layers.items():
            effective = self._read(name, t, read)
            factor = self._compensation(name, effective, t)
            scale = factor * layer.affine.scale
            weights[f"{name}.weight"] = effective * scale.view(*scale.shape, *[1] * (effective.ndim - 2))
        return Snapshot(self.model, weights)

    def __call__(self, images: Tensor, *, t: float, read: int = 0) -> Tensor:
        """Logits (chips, images, classes) of images (images, channels, height, width) read at time t."""
        return self.at(t, read)(images)

    def effective_weights(self, name: str, t: float, read: int = 0) -> Tensor:
        """Weights of one layer as they are read at time t, uncompensated, (chips, *weights)."""
        return self._read(name, t, read)

    def _read(self, name: str, t: float, read: int) -> Tensor:
        layer = self.layers[name]
        held = layer.devices.read(t, drift=self.hardware.drift)
        weights = held.sum(dim=0)
        factor = growth(t, self.hardware)
        if factor:
            when = "t0" if t == device.T0_S else "later"
            z = normals(weights.shape[1:], self.chips, seed=self.seed, labels=(name, "read", read, when))
            weights = weights + factor * layer.devices.deviation(held) * z.to(weights)
        return weights * layer.step

    def _compensation(self, name: str, weights: Tensor, t: float) -> Tensor:
        """Factors on the outputs, (chips, outputs) or (chips, 1)."""
        layer, kind = self.layers[name], self.hardware.compensation
        if kind == "none":
            return weights.new_ones(len(weights), 1)
        if kind == "fixed":
            return layer.devices.fixed_factor(t)[:, None]
        if layer.reference is None:
            layer.reference = self._sums(
                layer, weights if t == device.T0_S else self._read(name, device.T0_S, 0)
            )
        now = self._sums(layer, weights)
        return torch.where(now > 0, layer.reference / now, torch.ones_like(now))

    def _sums(self, layer: Layer, weights: Tensor) -> Tensor:
        """Sum of the magnitudes of the calibration outputs, (chips, outputs) or (chips, 1)."""
        chips, outputs = weights.shape[:2]
        # The chips share the calibration inputs: their outputs are the channels of one product.
        stacked, module = weights.flatten(0, 1), layer.module
        if isinstance(module, nn.Linear):
            sums = functional.linear(layer.inputs, stacked).abs().flatten(0, -2).sum(0).view(chips, outputs)
        elif module.groups == 1:
            out = functional.conv2d(
                layer.inputs, stacked, None, module.stride, module.padding, module.dilation
            )
            sums = out.abs().sum((0, 2, 3)).view(chips, outputs)
        else:
            each = [
                module._conv_forward(layer.inputs, weight, None).abs().sum((0, 2, 3)) for weight in weights
            ]
            sums = torch.stack(each)
        return sums if self.hardware.compensation == "column" else sums.sum(1, keepdim=True)


class Snapshot:
    """Effective weights of all chips at one time; call it with images for logits.

    Attributes
    ----------
    weights
        By parameter name, (chips, *weights), compensation and batch normalisation included.
    """

    def __init__(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        self.model, self.weights = model, weights

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits (chips, images, classes) of images (images, channels, height, width)."""
        return self._batched(images) if images.is_cuda else self._one_by_one(images)

    def _one_by_one(self, images: Tensor) -> Tensor:
        """Chip by chip in small steps: on a CPU arithmetic is the limit, if the data stay in the cache."""
        if images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        step = max(1, STEP_VALUES // images[0].numel())
        logits = []
        for chip in range(len(next(iter(self.weights.values())))):
            one = {name: _contiguous(weight[chip]) for name, weight in self.weights.items()}
            logits.append(
                torch.cat([functional_call(self.model, one, (part,)) for part in images.split(step)])
            )
        return torch.stack(logits)

    def _batched(self, images: Tensor, batch: int = GPU_BATCH) -> Tensor:
        """All chips in one call: a GPU wants much work at once. Convolutions become grouped ones."""
        run = vmap(lambda weights, part: functional_call(self.model, weights, (part,)), in_dims=(0, None))
        return torch.cat([run(self.weights, part) for part in images.split(batch)], dim=1)


def _contiguous(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else weight


@torch.no_grad()
def deploy(
    model: nn.Module,
    mapping: str,
    base: int | None,
    n_slices: int,
    chips: int | Sequence[int],
    *,
    seed: int,
    calibration: Tensor | None = None,
    hardware: Hardware | None = None,
    clip_sigmas: float | None = None,
) -> DeployedNetwork:
    """Program the weights of a network on several chips.

    Parameters
    ----------
    model
        Any network; it is not changed. Every nn.Linear and nn.Conv2d is deployed, with 9-bit weights whose
        scale, one a layer, makes the largest magnitude 255. Parametrised weights are deployed as they act.
    mapping, base, n_slices
        How weights are split over devices, see `slicing`.
    chips
        Numbers of the chips, or how many.
    seed
        Seed of the run. Chip k is the same whatever other chips are made with it.
    calibration
        Images for the measurement behind compensation "layer" and "column".
    hardware
        Options; by default those of the published crossbar runs.
    clip_sigmas
        Clip weights at this many standard deviations of their layer before quantising; None keeps them.

    Returns
    -------
    DeployedNetwork
        Programmed chips, to be read at any time.

    Raises
    ------
    ValueError
        If nothing can be deployed, mapping, base and slices do not go together, or calibration images are
        missing.

    Examples
    --------
    >>> network = deploy(nn.Linear(8, 3), "max_fill", 1, 4, 2, seed=0, calibration=torch.randn(16, 8))
    >>> network(torch.randn(5, 8), t=3600.0).shape
    torch.Size([2, 5, 3])
    """
    hardware = Hardware() if hardware is None else hardware
    slicing.check(mapping, base, n_slices)
    chips = range(chips) if isinstance(chips, int) else chips
    if not len(chips) or min(chips) < 0:
        raise ValueError(f"chips must be a positive count or numbers from 0 on, got {chips!r}")
    measured = hardware.compensation in ("layer", "column")
    if measured and calibration is None:
        raise ValueError(
            f"compensation {hardware.compensation!r} needs calibration images; "
            "pass calibration=, or compensation='fixed' or 'none'"
        )
    digital = quantised(model, clip_sigmas=clip_sigmas)
    inputs = layer_inputs(digital, calibration) if measured else {}
    steps = {
        name: quantise_weights(layer.weight, clip_sigmas) for name, layer in _plain_layers(model).items()
    }
    affine = folding.fold(digital)
    layers = {}
    for name, module in folding.crossbar_layers(digital).items():
        integers, step = steps[name]
        devices = program(integers, mapping, base, n_slices, chips, seed=seed, layer=name, hardware=hardware)
        layers[name] = Layer(module, integers, step, devices, affine[name], inputs.get(name))
    return DeployedNetwork(digital, layers, chips, seed, hardware)


def _plain_layers(model: nn.Module) -> dict[str, nn.Module]:
    return folding.crossbar_layers(folding.plain(model))


@torch.no_grad()
def quantised(model: nn.Module, *, clip_sigmas: float | None = None) -> nn.Module:
    """Copy of a model with the weights a perfect chip would hold: on the 9-bit grid, without any error."""
    digital = folding.plain(model)
    for layer in folding.crossbar_layers(digital).values():
        integers, step = quantise_weights(layer.weight, clip_sigmas)
        layer.weight.copy_(integers * step)
    return digital


@torch.no_grad()
def layer_inputs(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Inputs of every layer to be deployed when the model sees the images."""
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.__setitem__(name, args[0].clone()))
        for name, layer in folding.crossbar_layers(model).items()
    ]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def logit_error(logits: Tensor, reference: Tensor) -> Tensor:
    """Relative error of the logits of every chip, |logits - reference| / |reference|, (chips,).

    Parameters
    ----------
    logits
        (chips, images, classes).
    reference
        Logits of the quantised network without hardware errors, (images, classes).
    """
    difference = (logits - reference).flatten(1).norm(dim=1)
    norm = reference.norm().item()
    return difference / norm if norm > 0 else torch.full_like(difference, math.nan)
