"""Any network on phase-change memory: programmed once, read many times, many chips at once.

`deploy` puts the weights of every nn.Linear and nn.Conv2d of a model on crossbars; everything else, batch
normalisation and biases included, stays digital. The result holds what programming left in every device of
every chip. Reading it at a time t gives effective weights, one set a chip, and with them logits; see
`deployed`. Converters before the rows and behind the columns are ideal unless asked for; see `converters`.

Random numbers are named by seed, chip, layer and slice for the devices, and by seed, chip, layer and the
number of the read for the reads. Configurations and times therefore meet the same devices and the same
read noise, and their differences are sharp. The reference read at t0, which drift compensation compares
with, has noise of its own.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from . import converters, device, folding, slicing
from .deployed import DeployedNetwork, Layer
from .hardware import Hardware, program, quantise_weights


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
    digital: Collection[str] = (),
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
        Seed of the run. Chip k is the same whatever other chips are made with it, but for the rounding of
        sums over calibration images, which are taken for all chips together.
    calibration
        Images for the measurement behind compensation "layer" and "column", and behind converters' ranges.
    hardware
        Options; by default those of the published crossbar runs, with ideal converters. ADCs read every slice
        by itself: n slices cost n times the products.
    clip_sigmas
        Clip weights at this many standard deviations of their layer before quantising; None keeps them.
    digital
        Names of nn.Linear and nn.Conv2d layers that stay digital, in full precision.

    Returns
    -------
    DeployedNetwork
        Programmed chips, to be read at any time.

    Raises
    ------
    ValueError
        If nothing can be deployed, mapping, base and slices do not go together, calibration images are
        missing, empty or not finite, or do not reach a layer, or a weight is not finite.

    Examples
    --------
    >>> network = deploy(nn.Linear(8, 3), "max_fill", 1, 4, 2, seed=0, calibration=torch.randn(16, 8))
    >>> network(torch.randn(5, 8), t=3600.0).shape
    torch.Size([2, 5, 3])
    """
    hardware = Hardware() if hardware is None else hardware
    slicing.check(mapping, base, n_slices)
    chips = _numbers(chips)
    if not len(chips) or min(chips) < 0:
        raise ValueError(f"chips must be a positive count or numbers from 0 on, got {chips!r}")
    measured = _measured(hardware)
    if measured and calibration is None:
        raise ValueError(
            f"{' and '.join(measured)} needs calibration images; pass calibration=, "
            "or compensation='fixed' or 'none' and no converters"
        )
    if measured:
        _check_calibration(calibration)
    if clip_sigmas is not None and not clip_sigmas > 0:
        raise ValueError(f"clip_sigmas must be positive, or None for no clipping, got {clip_sigmas!r}")
    copied = quantised(model, clip_sigmas=clip_sigmas, digital=digital)
    inputs = layer_inputs(copied, calibration, digital=digital) if measured else {}
    steps = {
        name: quantise_weights(layer.weight, clip_sigmas)
        for name, layer in folding.crossbar_layers(folding.plain(model), digital).items()
    }
    if unreached := [name for name in steps if measured and name not in inputs]:
        raise ValueError(
            f"the calibration images do not reach the layers {', '.join(map(repr, unreached))}: remove them "
            "from the network, or deploy it with compensation 'fixed' or 'none' and no converters"
        )
    flat = [name for name, seen in inputs.items() if seen.ndim == 2]
    affine = folding.fold(copied, flat=flat, digital=digital)
    layers, converted = {}, {}
    for name, module in folding.crossbar_layers(copied, digital).items():
        integers, step = steps[name]
        devices = program(integers, mapping, base, n_slices, chips, seed=seed, layer=name, hardware=hardware)
        layers[name] = Layer(module, integers, step, devices, affine[name], inputs.get(name))
        if hardware.converting:
            converted[module] = _add_converters(layers[name], hardware)
    return DeployedNetwork(converters.insert(copied, converted), layers, chips, seed, hardware)


def _numbers(chips: int | Sequence[int]) -> Sequence[int]:
    """Numbers of the chips."""
    try:
        return range(operator.index(chips))
    except TypeError:
        pass
    if not isinstance(chips, Sequence):
        raise ValueError(f"chips must be a positive count or numbers from 0 on, got {chips!r}")
    return chips


def _check_calibration(images: Tensor) -> None:
    if not isinstance(images, Tensor) or not len(images):
        found = f"{tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"calibration must be a tensor of one image or more, got {found}")
    if not bool(torch.isfinite(images).all()):
        raise ValueError("calibration images must be finite; found infinite values or NaN")


def _measured(hardware: Hardware) -> list[str]:
    """What is measured with the calibration batch."""
    compensation = hardware.compensation in ("layer", "column")
    found = [f"compensation {hardware.compensation!r}"] if compensation else []
    return found + (["the range of converters"] if hardware.converting else [])


def _add_converters(layer: Layer, hardware: Hardware) -> converters.ConvertedLayer:
    """Measure the ranges of a layer's converters and put them around it."""
    quantile, dac_span = hardware.converter_quantile, None
    if hardware.dac_bits is not None:
        dac_span = converters.measured_span(layer.inputs.reshape(1, -1), quantile)[0]
        layer.inputs = converters.convert(layer.inputs, dac_span, hardware.dac_bits)
    if hardware.adc_bits is not None:
        slices = layer.devices.by_slice(layer.devices.read(device.T0_S)) * layer.step
        layer.spans = converters.output_spans(layer.module, layer.inputs, slices, quantile)
    return converters.ConvertedLayer(
        layer.module, dac_bits=hardware.dac_bits, dac_span=dac_span, adc_bits=hardware.adc_bits
    )


@torch.no_grad()
def quantised(
    model: nn.Module, *, clip_sigmas: float | None = None, digital: Collection[str] = ()
) -> nn.Module:
    """Copy of a model with the weights a perfect chip would hold: on the 9-bit grid, without any error."""
    copied = folding.plain(model)
    for layer in folding.crossbar_layers(copied, digital).values():
        integers, step = quantise_weights(layer.weight, clip_sigmas)
        layer.weight.copy_(integers * step)
    return copied


@torch.no_grad()
def layer_inputs(model: nn.Module, images: Tensor, *, digital: Collection[str] = ()) -> dict[str, Tensor]:
    """Inputs of every layer to be deployed when the model sees the images."""
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.__setitem__(name, args[0].clone()))
        for name, layer in folding.crossbar_layers(model, digital).items()
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
