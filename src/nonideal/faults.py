"""Stuck bit cells: maps of them, what they do to codes, and training that knows them.

A cell is stuck at 0 or at 1; what a faulty weight holds is

    effective = (code & ~stuck0) | stuck1.

Four mitigations (Biswas et al. 2025, arXiv:2503.01297, sections 3.6 and 5.2), all with a quantisation
penalty, so that the weakest is no straw man, and a fifth of our own to compare them with:

==================  =========================================  ===============
mode                what is written                            penalty
==================  =========================================  ===============
``basic``           the nearest level; the faults then act     eq. (7)
``passive``         the nearest level the cells can hold       eq. (7)
``active``          as ``basic``                               eq. (11)
``active+passive``  as ``passive``                             eq. (11)
``trained``         as ``passive``                             none
==================  =========================================  ===============

The four train float weights, which the penalty draws to levels. A remap replaces those that have a faulty
cell, every few epochs, and the optimiser's momentum is kept. ``trained`` computes with what the array holds
in training too, and its gradient passes straight through to the float weights, which nothing rewrites.
Evaluation always computes with what the array holds. Eq. (11) excludes levels out of reach by a large
constant; here they are left out of the search, which is its limit, and at least one level can always be
held. The search does not look at 2^N distances: it takes the neighbours in the sorted levels and looks up,
for the weight's pattern of stuck cells, the next attainable level to either side.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from nonideal import cellmaps, rng
from nonideal.quantize.learned import WIDTHS, LearnedQuantiser, pass_through
from nonideal.quantize.losses import squared_error

BY_PENALTY = ("basic", "passive", "active", "active+passive")
STRAIGHT_THROUGH = "trained"
MODES = (*BY_PENALTY, STRAIGHT_THROUGH)
AWARE = ("passive", "active+passive", STRAIGHT_THROUGH)  # what is written is a level the cells can hold


@dataclass(frozen=True, eq=False)
class FaultMap:
    """Stuck cells of one layer.

    Parameters
    ----------
    stuck0, stuck1
        Masks of the cells stuck at 0 and at 1, uint8, shape of the weight; bit k is cell k.

    Raises
    ------
    ValueError
        If shapes differ, or a cell is stuck at both.
    """

    stuck0: Tensor
    stuck1: Tensor

    def __post_init__(self) -> None:
        if self.stuck0.shape != self.stuck1.shape or {self.stuck0.dtype, self.stuck1.dtype} != {torch.uint8}:
            raise ValueError("stuck0 and stuck1 must be uint8 of one shape")
        if bool((self.stuck0 & self.stuck1).any()):
            raise ValueError("a cell is stuck at 0 and at 1 at once")

    def apply(self, codes: Tensor) -> Tensor:
        """Codes the cells hold when `codes` are written to them; integers, shape of the weight."""
        return (codes & ~self.stuck0.to(codes.dtype)) | self.stuck1.to(codes.dtype)


def draw(
    shape: Sequence[int], bits: int, rate: float, *, p_stuck1: float = 0.0, seed: int, layer: str
) -> FaultMap:
    """Map of independent faults.

    Maps of one seed and layer are nested: a cell that is faulty at one rate is faulty at every higher one,
    a cell stuck at 1 stays so at every higher `p_stuck1`, and the cells of a narrower weight are the low
    cells of a wider one.

    Parameters
    ----------
    shape
        Shape of the layer's weight.
    bits
        Bit cells of a weight.
    rate
        Probability that a cell is stuck, 0 .. 1.
    p_stuck1
        Probability that a stuck cell is stuck at 1, 0 .. 1.
    seed, layer
        Name the random stream.

    Raises
    ------
    ValueError
        If a probability lies outside 0 .. 1, or a mask has no room for the cells of a weight.
    """
    if bits not in WIDTHS:
        raise ValueError(f"bits must be a whole number of {WIDTHS[0]} .. {WIDTHS[-1]}, got {bits!r}")
    for name, value in (("rate", rate), ("p_stuck1", p_stuck1)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is a probability of 0 .. 1, got {value!r}")
    masks = np.zeros((2, *shape), dtype=np.uint8)
    for bit in range(bits):
        chance = rng.stream(seed, "faults", layer, bit).random((2, *shape), dtype=np.float32)
        faulty, at_one = chance[0] < rate, chance[1] < p_stuck1
        masks[0] |= (faulty & ~at_one).astype(np.uint8) << bit
        masks[1] |= (faulty & at_one).astype(np.uint8) << bit
    return FaultMap(torch.from_numpy(masks[0]), torch.from_numpy(masks[1]))


def to_frame(maps: Mapping[str, FaultMap]) -> pd.DataFrame:
    """Rows of a map file (`nonideal.cellmaps`) from the maps of all layers."""
    frames = []
    for layer, fault in maps.items():
        masks = [m.flatten(1).numpy()[..., None] >> np.arange(8) & 1 for m in (fault.stuck0, fault.stuck1)]
        frame = cellmaps.places(layer, (masks[0] | masks[1]).astype(bool))
        frames.append(frame.assign(stuck=masks[1][frame["row"], frame["column"], frame["bit"]]))
    return pd.concat(frames, ignore_index=True).astype({"stuck": "int64"})


def from_frame(frame: pd.DataFrame, shapes: Mapping[str, Sequence[int]]) -> dict[str, FaultMap]:
    """Maps of all layers from checked rows."""
    maps = {}
    for layer, shape in shapes.items():
        rows = frame[frame["layer"] == layer]
        masks = np.zeros((2, shape[0], int(np.prod(shape[1:]))), dtype=np.uint8)
        place = (rows["stuck"].to_numpy(), rows["row"].to_numpy(), rows["column"].to_numpy())
        np.bitwise_or.at(masks, place, (1 << rows["bit"].to_numpy()).astype(np.uint8))
        maps[layer] = FaultMap(*(torch.from_numpy(mask.reshape(tuple(shape))) for mask in masks))
    return maps


def read_map(
    path: str | os.PathLike[str], shapes: Mapping[str, Sequence[int]], bits: int
) -> dict[str, FaultMap]:
    """Read a measured map of stuck cells; see `nonideal.cellmaps` for the format and its errors."""
    return from_frame(cellmaps.read(path, "stuck", shapes, bits), shapes)


class StuckCells(nn.Module):
    """What quantisers of layers with stuck cells share; a subclass has `bits`, `levels` and `encode`.

    Attributes
    ----------
    bits
        Bit cells of a weight.
    stuck0, stuck1
        Map of the layer, see `FaultMap`.
    fault_mode
        One of `MODES`.
    """

    bits: int
    stuck0: Tensor
    stuck1: Tensor
    places: Tensor
    pattern: Tensor

    def levels(self) -> Tensor:
        """Level of every code [2^N], in units of the weights."""
        raise NotImplementedError

    def encode(self, weight: Tensor) -> Tensor:
        """Code of the nearest level, int32, shape of `weight`; faults are not looked at."""
        raise NotImplementedError

    def mark(self, fault: FaultMap, mode: str) -> None:
        """Set map and mode; raises ValueError as `FaultyQuantiser`."""
        if mode not in MODES:
            raise ValueError(f"fault mode must be one of {', '.join(MODES)}, got {mode!r}")
        if bool(((fault.stuck0 | fault.stuck1) >> self.bits).any()):
            raise ValueError(f"the map marks bit cells beyond the {self.bits} of a weight")
        self.fault_mode = mode
        self.register_buffer("stuck0", fault.stuck0.clone())
        self.register_buffer("stuck1", fault.stuck1.clone())
        self._index()
        self.register_load_state_dict_post_hook(_index_again)

    def _index(self) -> None:
        """Where the faulty weights are, and which pattern of stuck cells each has."""
        key = self.stuck0.flatten().long() | self.stuck1.flatten().long() << 8
        where = key.nonzero().squeeze(1)
        patterns, pattern = key[where].unique(return_inverse=True)
        for name, value in (("places", where), ("pattern", pattern), ("patterns", patterns)):
            self.register_buffer(name, value, persistent=False)
        self._order: Tensor | None = None

    @property
    def fault(self) -> FaultMap:
        """Map of the layer."""
        return FaultMap(self.stuck0, self.stuck1)

    def _tables(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """Next attainable sorted position below and above, [patterns, 2^N + 1], for every pattern.

        Entry j is for a value with j levels at or below it. Where one side has none, the other stands in.
        """
        known = self._order  # no buffer: a network that moved to another device left it behind
        if known is None or known.device != order.device or not torch.equal(order, known):
            count = len(order)
            stuck0, stuck1 = self.patterns[:, None] & 255, self.patterns[:, None] >> 8
            held = ((order & stuck0) == 0) & ((order & stuck1) == stuck1)  # [patterns, 2^N], sorted order
            place = torch.arange(count, device=order.device)
            below = torch.where(held, place, -1).cummax(dim=1).values
            above = torch.where(held, place, count).flip(1).cummin(dim=1).values.flip(1)
            edge = below.new_full((len(below), 1), -1)
            below, above = torch.cat((edge, below), 1), torch.cat((above, edge + 1 + count), 1)
            self._below = torch.where(below < 0, above, below)
            self._above = torch.where(above == count, below, above)
            self._order = order.clone()
        return self._below, self._above

    def _check(self, weight: Tensor) -> None:
        if weight.shape != self.stuck0.shape:
            raise ValueError(
                f"the map is of a weight of shape {list(self.stuck0.shape)}, this one has "
                f"{list(weight.shape)}; draw or read a map for this layer"
            )

    @torch.no_grad()
    def encode_attainable(self, weight: Tensor) -> Tensor:
        """Code of the nearest level that the weight's cells can hold, int32; halfway goes up.

        Raises
        ------
        ValueError
            If the map is of a weight of another shape.
        """
        self._check(weight)
        codes = self.encode(weight).reshape(-1)
        if len(self.places):
            ascending, order = self.levels().sort(stable=True)
            below, above = self._tables(order)
            values = weight.reshape(-1)[self.places]
            j = torch.bucketize(values, ascending, right=True)
            low, high = below[self.pattern, j], above[self.pattern, j]
            up = ascending[high] - values <= values - ascending[low]
            codes[self.places] = order[torch.where(up, high, low)].to(codes.dtype)
        return codes.view(weight.shape)

    def written(self, weight: Tensor) -> Tensor:
        """Codes the array holds after the weights were written to it as the mode does, int32.

        Raises
        ------
        ValueError
            If the map is of a weight of another shape.
        """
        self._check(weight)
        if self.fault_mode in AWARE:
            return self.encode_attainable(weight)
        return self.fault.apply(self.encode(weight))

    def quantise(self, weight: Tensor) -> Tensor:
        """Weights the array holds; no gradient."""
        return self.levels().detach()[self.written(weight)]

    def forward(self, weight: Tensor) -> Tensor:
        """Those the array holds, but float weights in training by a penalty."""
        if self.training and self.fault_mode != STRAIGHT_THROUGH:
            return weight
        return pass_through(weight, self.quantise(weight))

    def penalty(self, weight: Tensor) -> Tensor:
        """Eq. (11) in the active modes, eq. (7) in the others, before alpha and lambda; 0 for ``trained``."""
        if self.fault_mode == STRAIGHT_THROUGH:
            return weight.new_zeros(())
        active = "active" in self.fault_mode
        codes = self.encode_attainable(weight) if active else self.encode(weight)
        return squared_error(weight, self.levels(), codes)

    @torch.no_grad()
    def remap(self, weight: Tensor) -> None:
        """Replace the weights that have a faulty cell by what the array holds, in place; not ``trained``."""
        if self.fault_mode == STRAIGHT_THROUGH:
            return
        held = self.quantise(weight)
        weight.copy_(torch.where((self.stuck0 | self.stuck1) > 0, held, weight))


class FaultyQuantiser(StuckCells, LearnedQuantiser):
    """Learned quantiser of a layer whose cells are partly stuck.

    Parameters
    ----------
    quantiser
        Quantiser the layer was trained with; its r, c, width and mode are taken over. What the layer
        computes with in training follows from the fault mode alone.
    fault
        Map of the layer.
    mode
        One of `MODES`.

    Raises
    ------
    ValueError
        If the mode is unknown, or the map marks a cell the weight does not have.
    """

    levels = LearnedQuantiser.levels
    encode = LearnedQuantiser.encode

    def __init__(self, quantiser: LearnedQuantiser, fault: FaultMap, mode: str) -> None:
        LearnedQuantiser.__init__(self, quantiser.bits, quantiser.mode)
        with torch.no_grad():
            self.r.copy_(quantiser.r)
            self.c.copy_(quantiser.c)
        self.mark(fault, mode)

    def extra_repr(self) -> str:
        """Settings, as printed and as compared when a checkpoint is loaded."""
        return f"{super().extra_repr()}, fault_mode={self.fault_mode}"


def _index_again(module: nn.Module, _: object) -> None:
    module._index()
