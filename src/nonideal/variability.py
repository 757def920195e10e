"""Device-to-device variability of bit cells: maps of it, and training that knows them.

Every cell has its own factor on the conductance of its low-resistance state, so that weight i has levels of
its own (Biswas et al. 2025, arXiv:2503.01297, eq. 12):

    W_levels_i = {<var_i * r, S> + c | S in {0, 1}^N}.

r is frozen here, c is learned. With `high` factors, cells in the high-resistance state conduct too, 1/R of
the low state (the paper's second set of multipliers). Its mean is taken off by the offset, and the scale
kept, so that factors of 1 leave the ideal levels:

    w_i = sum_k r_k (S_k low_ik + ((1 - S_k) high_ik - 1) / R) / (1 - 1/R) + c.

The levels of every weight are sorted once; a search then takes N comparisons. That table takes
n 2^N (4 + 1) bytes.

Methods compared: ``regularised`` (this loss) and ``chip_in_loop`` (no penalty), both with a remap every few
epochs, in which the float weights become what the measured chip holds. Both write the nearest level of the
measured cells, so that they differ in the loss alone. The control writes the same codes to a chip the
network was not trained for.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from nonideal import cellmaps, rng
from nonideal.pcm import device
from nonideal.quantize.learned import LearnedQuantiser, code_bits, pass_through

METHODS = ("chip_in_loop", "regularised")
UNTRAINED = ("unaware", "nearest")  # codes of the ideal cells; the nearest that the measured cells hold
DISTRIBUTIONS = ("normal", "lognormal")
ON_OFF_RATIO = 10.0  # low-state over high-state conductance; an assumption, the paper gives none


def draw(
    shape: Sequence[int],
    bits: int,
    sigma: float,
    *,
    seed: int,
    layer: str,
    distribution: str = "normal",
    state: str = "low",
) -> Tensor:
    """Factors of all cells of a layer, with mean 1 before clipping.

    Maps of one seed and layer share their random numbers at every sigma, so that a stronger map is the
    weaker one drawn out.

    Parameters
    ----------
    shape
        Shape of the layer's weight.
    bits
        Bit cells of a weight N.
    sigma
        Standard deviation over mean, at least 0.
    seed, layer, state
        Name the random stream; the states ``low`` and ``high`` are independent.
    distribution
        ``normal``, clipped at 0, or ``lognormal``.

    Returns
    -------
    Tensor
        float32 [*shape, N], not negative.

    Raises
    ------
    ValueError
        If sigma is negative or the distribution unknown.
    """
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma must be at least 0, got {sigma!r}")
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution must be one of {', '.join(DISTRIBUTIONS)}, got {distribution!r}")
    cells = [
        rng.stream(seed, "variability", state, layer, bit).standard_normal(tuple(shape))
        for bit in range(bits)
    ]  # fmt: skip
    z = np.stack(cells, axis=-1)
    if distribution == "normal":
        factors = np.maximum(1 + sigma * z, 0)
    else:
        s = math.sqrt(math.log1p(sigma**2))
        factors = np.exp(s * z - s**2 / 2)
    return torch.from_numpy(factors.astype(np.float32))


def draw_pcm(
    shape: Sequence[int], bits: int, time_s: float, *, seed: int, layer: str, read: bool = True
) -> Tensor:
    """Factors of phase-change memory cells at a time after programming, drift compensated.

    Every bit has a device of its own. A set bit is a device programmed to the largest conductance, whatever
    the bit is worth; a clear bit is a RESET device, which does not conduct. Programming error, drift and
    read noise are those of `nonideal.pcm.device`. One factor a layer, the mean conductance of its set
    devices at t0 over that now, compensates the mean drift. Times of one seed and layer share devices;
    their reads are independent.

    Parameters
    ----------
    shape
        Shape of the layer's weight.
    bits
        Bit cells of a weight N.
    time_s
        Time after programming, seconds, at least `nonideal.pcm.device.T0_S`.
    seed, layer
        Name the random streams.
    read
        Read once, with read noise; False: the average over many reads.

    Returns
    -------
    Tensor
        float32 [*shape, N], not negative.

    Raises
    ------
    ValueError
        If the time lies before t0.
    """
    target = np.ones((*shape, bits))

    def normal(*purpose: object) -> np.ndarray:  # numpydoc ignore=GL08
        cells = [rng.stream(seed, "pcm cells", *purpose, layer, bit) for bit in range(bits)]
        return np.stack([cell.standard_normal(tuple(shape)) for cell in cells], axis=-1)

    programmed = target + device.programming_std(target) * normal("programming")
    mean, spread = device.drift_exponent_mean(target), device.drift_exponent_std(target)
    held = programmed * device.drift_factor(np.abs(mean + spread * normal("drift")), time_s)
    held *= programmed.sum() / held.sum()
    if read:
        noise = device.read_noise_scale(target) * device.read_noise_growth(time_s)
        held *= 1 + noise * normal("read", float(time_s))
    return torch.from_numpy(np.maximum(held, 0).astype(np.float32))


def ideal(shape: Sequence[int], bits: int) -> Tensor:
    """Factors of cells that do not vary, float32 [*shape, N]."""
    return torch.ones((*shape, bits))


def to_frame(maps: Mapping[str, Tensor]) -> pd.DataFrame:
    """Rows of a map file (`nonideal.cellmaps`) from the factors of all layers."""
    frames = []
    for layer, factors in maps.items():
        values = factors.flatten(1, -2).numpy()
        frame = cellmaps.places(layer, np.ones(values.shape, dtype=bool))
        frames.append(frame.assign(factor=values.reshape(-1).astype(float)))
    return pd.concat(frames, ignore_index=True)


def read_map(
    path: str | os.PathLike[str], shapes: Mapping[str, Sequence[int]], bits: int
) -> dict[str, Tensor]:
    """Read measured factors; see `nonideal.cellmaps` for the format and its errors."""
    frame = cellmaps.read(path, "factor", shapes, bits)
    maps = {}
    for layer, shape in shapes.items():
        rows = frame[frame["layer"] == layer]
        factors = np.ones((shape[0], int(np.prod(shape[1:])), bits), dtype=np.float32)
        factors[rows["row"], rows["column"], rows["bit"]] = rows["factor"]
        maps[layer] = torch.from_numpy(factors.reshape(*shape, bits))
    return maps


class VariableQuantiser(LearnedQuantiser):
    """Learned quantiser of a layer whose cells all conduct differently.

    Parameters
    ----------
    quantiser
        Quantiser the layer was trained with; r, frozen from here on, c, width and mode are taken over. In
        training the layer computes with float weights, also where it was trained straight through.
    low
        Factors of the low-resistance state, [*weight shape, N].
    high
        Factors of the high-resistance state; None for cells that do not conduct in it.
    on_off_ratio
        R, above 1; without use if `high` is None.

    Raises
    ------
    ValueError
        If the factors have the wrong shape, are negative or not finite, or R is not above 1.
    """

    low: Tensor
    high: Tensor | None

    def __init__(
        self,
        quantiser: LearnedQuantiser,
        low: Tensor,
        *,
        high: Tensor | None = None,
        on_off_ratio: float = ON_OFF_RATIO,
    ) -> None:
        super().__init__(quantiser.bits, quantiser.mode)
        for factors in (low,) if high is None else (low, high):
            if factors.shape != (*low.shape[:-1], self.bits):
                raise ValueError(f"factors must be [*weight shape, {self.bits}], got {list(factors.shape)}")
            if not bool(((factors >= 0) & torch.isfinite(factors)).all()):
                raise ValueError("factors must be finite and not negative")
        if not on_off_ratio > 1:
            raise ValueError(f"on_off_ratio must be above 1, got {on_off_ratio!r}")
        self.on_off_ratio = on_off_ratio
        self.r.requires_grad_(False)
        with torch.no_grad():
            self.r.copy_(quantiser.r)
            self.c.copy_(quantiser.c)
        self.register_buffer("low", low.clone())
        self.register_buffer("high", None if high is None else high.clone())
        self._sort()
        self.register_load_state_dict_post_hook(_sort_again)

    @torch.no_grad()
    def cells(self, low: Tensor, high: Tensor | None) -> tuple[Tensor, Tensor]:
        """What each set cell adds [n, N], and each weight's constant [n], for given factors."""
        r = self.multipliers().detach()
        low = low.reshape(-1, self.bits)
        if high is None:
            return r * low, torch.zeros(len(low), device=low.device)
        off = high.reshape(-1, self.bits) / self.on_off_ratio
        scale = 1 - 1 / self.on_off_ratio
        return r * (low - off) / scale, (r * (off - 1 / self.on_off_ratio)).sum(1) / scale

    def held(self, codes: Tensor, low: Tensor, high: Tensor | None = None) -> Tensor:
        """Weights that a chip with these factors holds when `codes` are written to it; no gradient."""
        cells, constant = self.cells(low, high)
        chosen = code_bits(self.bits, cells.device, cells.dtype)[codes.reshape(-1).long()]  # [n, N]
        return ((chosen * cells).sum(1) + constant + self.c.detach()).view(codes.shape)

    def _sort(self) -> None:
        """Sort every weight's levels, without c: [n, 2^N] and the codes they belong to."""
        cells, constant = self.cells(self.low, self.high)
        levels = cells @ code_bits(self.bits, cells.device, cells.dtype).T + constant[:, None]
        ascending, order = levels.sort(dim=1, stable=True)
        self.register_buffer("ascending", ascending, persistent=False)
        self.register_buffer("order", order.to(torch.uint8), persistent=False)

    @torch.no_grad()
    def _search(self, weight: Tensor) -> Tensor:
        """Position of each weight's nearest level among its own, int64 [n, 1]; halfway goes up.

        Raises
        ------
        ValueError
            If the factors are of a weight of another shape.
        """
        if weight.shape != self.low.shape[:-1]:
            raise ValueError(
                f"the factors are of a weight of shape {list(self.low.shape[:-1])}, this one has "
                f"{list(weight.shape)}; draw or read a map for this layer"
            )
        values = (weight.reshape(-1, 1) - self.c).contiguous()
        j = torch.searchsorted(self.ascending, values, right=True)
        low, high = (j - 1).clamp_(min=0), j.clamp(max=self.ascending.shape[1] - 1)
        up = self.ascending.gather(1, high) - values <= values - self.ascending.gather(1, low)
        return torch.where(up, high, low)

    @torch.no_grad()
    def encode(self, weight: Tensor) -> Tensor:
        """Code whose cells hold the value nearest to each weight, int32, shape of `weight`."""
        return self.order.gather(1, self._search(weight)).view(weight.shape).to(torch.int32)

    @torch.no_grad()
    def quantise(self, weight: Tensor) -> Tensor:
        """Weights the chip holds; no gradient."""
        return (self.ascending.gather(1, self._search(weight)) + self.c).view(weight.shape)

    def forward(self, weight: Tensor) -> Tensor:
        """Float weights in training, those the chip holds in evaluation."""
        return weight if self.training else pass_through(weight, self.quantise(weight))

    def penalty(self, weight: Tensor) -> Tensor:
        """Sum of squared distances to the nearest level of each weight's cells, eq. (12)."""
        target = self.ascending.gather(1, self._search(weight)).view(weight.shape)
        error = (weight - target - self.c).reshape(-1)
        return error.dot(error)

    @torch.no_grad()
    def remap(self, weight: Tensor) -> None:
        """Replace all weights by what the chip holds, in place."""
        weight.copy_(self.quantise(weight))


def _sort_again(module: nn.Module, _: object) -> None:
    module._sort()
