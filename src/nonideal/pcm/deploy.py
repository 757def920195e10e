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
from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor, nn

from . import converters, device, folding, slicing
from .deployed import DeployedNetwork, Layer
from .hardware import Hardware
from .programming import program, quantise_weights
from .reading import tensor_of

MOST_ASKED = 100.0
"""Largest target of error correction, units of G_MAX; at base 2 with eight slices, the most of the published
configurations, the largest of twelve million Gaussian weights asks for 27."""


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
        Subclasses with a forward of their own are refused unless they stay digital.
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
        Names of nn.Linear and nn.Conv2d layers that stay digital, in full precision, also where they share
        their weight with a deployed layer.

    Returns
    -------
    DeployedNetwork
        Programmed chips, to be read at any time.

    Raises
    ------
    ValueError
        If nothing can be deployed, mapping, base and slices do not go together, calibration images are
        missing, empty or not finite, or do not reach a layer, a weight is not finite, one that lies behind
        converters is used outside its layer as well, a layer has a forward of its own, the network returns
        anything but one tensor, or error correction asks for more than `MOST_ASKED`.

    Examples
    --------
    >>> network = deploy(nn.Linear(8, 3), "max_fill", 1, 4, 2, seed=0, calibration=torch.randn(16, 8))
    >>> network(torch.randn(5, 8), t=3600.0).shape
    torch.Size([2, 5, 3])
    """
    hardware = Hardware() if hardware is None else hardware
    if not isinstance(hardware, Hardware):
        raise ValueError(f"hardware must be a Hardware(...), got {hardware!r}")
    slicing.check(mapping, base, n_slices)
    chips = _numbers(chips)
    if isinstance(model, torch.nn.DataParallel):
        raise ValueError("the network is wrapped in nn.DataParallel: pass model.module")
    if isinstance(digital, str):
        raise ValueError(f"digital must be a list of names of layers, got the string {digital!r}")
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
            "from the network or name them in digital (attention multiplies by its output layer's weight "
            "without calling it), or deploy with compensation 'fixed' or 'none' and no converters"
        )
    if hardware.converting and (shared := folding.used_outside(copied, steps)):
        raise ValueError(
            f"the network uses the weights of {', '.join(map(repr, sorted(shared)))} outside these layers, "
            "where they have no converters: name the layers in digital, or deploy without converters"
        )
    flat = [name for name, seen in inputs.items() if all(values.ndim == 2 for values in seen)]
    affine = folding.fold(copied, flat=flat, digital=digital)
    layers, converted = {}, {}
    for name, module in folding.crossbar_layers(copied, digital).items():
        integers, step = steps[name]
        devices = program(integers, mapping, base, n_slices, chips, seed=seed, layer=name, hardware=hardware)
        if not (asked := devices.targets.abs().max().item()) <= MOST_ASKED:
            raise ValueError(
                f"error correction at base {base} asks a device of layer {name!r} for {asked:.3g} times its "
                "largest conductance, and the device model has no numbers for that: choose ec_targets "
                "'physical' or 'same_sign' (--ec-targets), a smaller base or fewer slices"
            )
        layers[name] = Layer(module, integers, step, devices, affine[name], inputs.get(name))
        if hardware.converting:
            converted[module] = _add_converters(layers[name], hardware)
    network = converters.insert(copied, converted)
    if converted:
        try:
            network(calibration[:1])
        except (AttributeError, RuntimeError, TypeError) as error:
            raise ValueError(
                "the network does more with its layers than to call them, and converters lie around a call "
                f"({error}): name those layers in digital, or deploy without converters"
            ) from error
    return DeployedNetwork(network, layers, chips, seed, hardware)


def _numbers(chips: int | Sequence[int]) -> Sequence[int]:
    """Numbers of the chips."""
    refused = ValueError(f"chips must be a positive count, or different numbers from 0 on, got {chips!r}")
    if isinstance(chips, bool | str):
        raise refused
    try:
        numbers = [operator.index(chip) for chip in chips] if isinstance(chips, Iterable) else range(chips)
    except TypeError:
        raise refused from None
    if not len(numbers) or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise refused
    return numbers


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
        everything = torch.cat([values.flatten() for values in layer.inputs])
        dac_span = converters.measured_span(everything[None], quantile)[0]
        layer.inputs = [converters.convert(values, dac_span, hardware.dac_bits) for values in layer.inputs]
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
    # By identity: a weight that two layers share is quantised once. It becomes a parameter of its own, for
    # what shares it and is not deployed (a digital layer, an embedding) keeps full precision.
    # The weight is kept beside it: a number of identity is given out again once its object is gone.
    made: dict[int, tuple[Tensor, nn.Parameter]] = {}
    for layer in folding.crossbar_layers(copied, digital).values():
        weight = layer.weight
        if id(weight) not in made:
            integers, step = quantise_weights(weight, clip_sigmas)
            on_grid = torch.empty_like(weight).copy_(integers * step)
            made[id(weight)] = weight, nn.Parameter(on_grid, requires_grad=False)
        layer.weight = made[id(weight)][1]
    return copied


@torch.no_grad()
def layer_inputs(
    model: nn.Module, images: Tensor, *, digital: Collection[str] = ()
) -> dict[str, list[Tensor]]:
    """Inputs of every layer to be deployed when the model sees the images, one tensor a call of the layer.

    Raises
    ------
    ValueError
        If the model returns anything but one tensor.
    """
    layers = folding.crossbar_layers(model, digital)
    seen: dict[str, list[Tensor]] = {}

    def note(name: str, args: tuple, kwargs: dict) -> None:  # numpydoc ignore=GL08
        seen.setdefault(name, []).append((args[0] if args else kwargs["input"]).clone())

    hooks = [
        layer.register_forward_pre_hook(
            lambda _, args, kwargs, name=name: note(name, args, kwargs), with_kwargs=True
        )
        for name, layer in layers.items()
    ]
    try:
        tensor_of(model(images))
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
