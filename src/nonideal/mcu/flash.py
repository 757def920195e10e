"""Stuck bits in the flash that holds a network's weights: where each bit lies, and what it then holds.

The packed words of all layers (`nonideal.mcu.packing`), little-endian, one layer after the other, are the
image of the weights in flash. A bit of it has two names:

* in flash, (byte, bit): byte of the image, bit 0 the least significant of the byte;
* in a map of cells (`nonideal.cellmaps`), (layer, row, column, bit): output and input of the weight, and bit
  of its stored code, 0 the least significant.

With b-bit codes in rows of `stride` words, the code of output o and input i starts at bit

    32 stride i + b o    (layout ``fast``: a row of outputs for each input),
    32 stride o + b i    (layout ``plain``: a row of inputs for each output)

of its layer: b divides 32, so that no code crosses a word and rows need no other term. Bits that fill up the
last word of a row hold no weight; they can be stuck too, to no effect. What a stored code means differs
between layouts: 4-bit two's complement in one, an offset in the other, sign and magnitude for 4bitsym.

Ternary is left out: some of its patterns of bits are no level, and its plain layout has no bits of its own
for a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nonideal import faults
from nonideal.mcu.export import Export
from nonideal.mcu.integer import IntegerLayer, IntegerNetwork
from nonideal.mcu.packing import CODES, FAST_BITS, LAYOUTS, WORD_BITS, Packed, unpack
from nonideal.quantize.formats import FORMATS, get_format
from nonideal.quantize.learned import nearest_sorted

BYTE_BITS = 8
STREAM = "flash"  # of the random map: one for the whole image


def code_levels(weight_format: str, layout: str) -> tuple[int, ...]:
    """Level of every stored code, in integer units, for codes 0 .. 2^b - 1.

    Raises
    ------
    ValueError
        If the layout or the format is unknown, or a pattern of bits is no level of the format.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r} is not known; layouts are {', '.join(LAYOUTS)}")
    get_format(weight_format)  # says which there are
    codes = CODES.get((layout, weight_format))
    if codes is None or len(codes) != 2 ** FAST_BITS[weight_format]:
        usable = [name for name in FORMATS if len(FORMATS[name].levels) == 2 ** FAST_BITS[name]]
        raise ValueError(
            f"format {weight_format!r}: not every pattern of stored bits is a level; "
            f"stuck bits are described for {', '.join(usable)}"
        )
    return tuple(FORMATS[weight_format].levels[place] for place in np.argsort(codes))


def addresses(
    outputs: int, inputs: int, weight_format: str, layout: str, stride: int, *, start: int = 0
) -> np.ndarray:
    """Place in flash of every bit of a layer's weights.

    Parameters
    ----------
    outputs, inputs
        Shape of the layer.
    weight_format, layout
        How it is packed.
    stride
        Distance of two rows in words, `Packed.stride`.
    start
        First byte of the layer in the image.

    Returns
    -------
    numpy.ndarray
        int64 [outputs, inputs, b], bit of the image: (byte, bit) = divmod(address, 8).
    """
    b = len(code_levels(weight_format, layout)).bit_length() - 1
    o, i, k = np.ogrid[:outputs, :inputs, :b]
    row, place = (o, i) if layout == "plain" else (i, o)
    return BYTE_BITS * start + WORD_BITS * stride * row + b * place + k


def starts(packed: Sequence[Packed]) -> list[int]:
    """First byte of each layer in the image of the weights, and one past the last."""
    return np.cumsum([0, *(layer.words.nbytes for layer in packed)]).tolist()


def draw(size: int, rate: float, *, p_stuck1: float, seed: int) -> faults.FaultMap:
    """Stuck bits of an image of `size` bytes; nested in `rate` and `p_stuck1`, see `nonideal.faults.draw`."""
    return faults.draw((size,), BYTE_BITS, rate, p_stuck1=p_stuck1, seed=seed, layer=STREAM)


def cells(export: Export, flash: faults.FaultMap) -> list[faults.FaultMap]:
    """Map of each layer's weights [outputs, inputs], bit k of a mask for bit k of the stored code.

    Parameters
    ----------
    export
        Network whose weights the flash holds.
    flash
        Stuck bits of its image, masks [bytes].

    Raises
    ------
    ValueError
        If the map has another size than the image.
    """
    first = _check(export, flash)
    maps = []
    for layer, packed, start in zip(export.network.layers, export.packed, first, strict=False):
        where = addresses(
            layer.outputs, layer.inputs, layer.weight_format, export.kernel, packed.stride, start=start
        )
        weights = 1 << np.arange(where.shape[-1])
        masks = []
        for mask in (flash.stuck0.numpy(), flash.stuck1.numpy()):
            bits = np.unpackbits(mask, bitorder="little")[where]
            masks.append(torch.from_numpy((bits * weights).sum(axis=-1).astype(np.uint8)))
        maps.append(faults.FaultMap(*masks))
    return maps


def damage(export: Export, flash: faults.FaultMap) -> tuple[list[Packed], IntegerNetwork]:
    """What the flash holds after an export was written to it.

    Parameters
    ----------
    export
        Network as it is written.
    flash
        Stuck bits of its image, masks [bytes].

    Returns
    -------
    packed : list of Packed
        Words as they lie in flash, filling bits included.
    network : IntegerNetwork
        Network they stand for.

    Raises
    ------
    ValueError
        If the map has another size than the image.
    """
    first = _check(export, flash)
    image = np.concatenate([packed.words.astype("<u4").view(np.uint8) for packed in export.packed])
    held = flash.apply(torch.from_numpy(image)).numpy()
    words, layers = [], []
    for layer, packed, start, end in zip(
        export.network.layers, export.packed, first, first[1:], strict=False
    ):
        words.append(replace(packed, words=held[start:end].copy().view("<u4").astype(np.uint32)))
        levels = unpack(words[-1], layer.weight_format, export.kernel, layer.outputs, layer.inputs)
        layers.append(IntegerLayer(layer.weight_format, levels, layer.scale))
    return words, IntegerNetwork(tuple(layers), export.network.convolutions)


def _check(export: Export, flash: faults.FaultMap) -> list[int]:
    first = starts(export.packed)
    if flash.stuck0.shape != (first[-1],):
        raise ValueError(
            f"the map is of {list(flash.stuck0.shape)} bytes, the image of the weights has {first[-1]}"
        )
    return first


class FaultyFormat(faults.StuckCells):
    """Weight format of a layer some of whose stored bits are stuck; scale and codes do not learn.

    Parameters
    ----------
    weight_format, layout
        What the bits of a stored code mean.
    scale
        Weight units per integer unit.
    fault
        Map of the layer, masks [outputs, inputs].
    mode
        One of `nonideal.faults.MODES`.

    Raises
    ------
    ValueError
        If format, layout or mode is unknown, or the map does not fit.
    """

    values: Tensor
    scale: Tensor

    def __init__(
        self,
        weight_format: str,
        layout: str,
        scale: float | Tensor,
        fault: faults.FaultMap,
        mode: str,
    ) -> None:
        super().__init__()
        levels = code_levels(weight_format, layout)
        self.weight_format, self.layout, self.bits = weight_format, layout, len(levels).bit_length() - 1
        self.register_buffer("values", torch.tensor(levels, dtype=torch.float32))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32).clone())
        self.mark(fault, mode)

    def levels(self) -> Tensor:
        """Level of every stored code [2^b], in units of the weights."""
        return self.values * self.scale

    @torch.no_grad()
    def encode(self, weight: Tensor) -> Tensor:
        """Stored code of the nearest level, int32; halfway goes up."""
        ascending, order = self.values.sort()
        return order.to(torch.int32)[nearest_sorted(weight / self.scale, ascending).long()]

    @torch.no_grad()
    def integers(self, codes: Tensor) -> Tensor:
        """Levels of codes in integer units, int16, shape of `codes`."""
        return self.values[codes.long()].to(torch.int16)

    def extra_repr(self) -> str:
        """Settings, as printed and as compared when a checkpoint is loaded."""
        return ", ".join((self.weight_format, self.layout, f"fault_mode={self.fault_mode}"))
