"""True fixed point: binary numbers with the point at a fixed place, and no scale chosen from the weights.

Qm.n has m + n bits in two's complement, m of them (the sign included) before the point: values from
-2^(m - 1) to 2^(m - 1) - 2^-n in steps of 2^-n. A value halfway between two goes to the even one, as IEEE 754
rounds and unlike the other formats here; values beyond the ends saturate. The levels of Q4.4 and Q2.2 with a
scale chosen from the weights are the formats ``8bit`` and ``4bit``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nonideal.quantize.formats import Format, at_least_single, fake_quantise, finite


@dataclass(frozen=True)
class FixedPoint(Format):
    """A fixed-point format; its level k stands for k times `unit`.

    Parameters
    ----------
    name, levels
        As `Format`; levels are the raw integers.
    fraction_bits
        n, bits after the point.
    """

    fraction_bits: int

    def __repr__(self) -> str:
        """Name, without the levels, of which there may be thousands."""
        return f"FixedPoint({self.name!r})"

    @property
    def unit(self) -> float:
        """Value of the last bit, 2^-n."""
        return 2.0**-self.fraction_bits

    def nearest(self, x: Tensor) -> Tensor:
        """Round raw values to the nearest raw integer, halves to even, and saturate; as `Format.nearest`."""
        return x.round().clamp_(self.levels[0], self.levels[-1])


def q_format(integer_bits: int, fraction_bits: int) -> FixedPoint:
    """Fixed-point format Qm.n.

    Parameters
    ----------
    integer_bits
        m, bits before the point, the sign included; at least 1.
    fraction_bits
        n, bits after the point; m + n is at most 16.

    Raises
    ------
    ValueError
        If the number of bits is out of range.
    """
    if integer_bits < 1 or fraction_bits < 0 or not 2 <= integer_bits + fraction_bits <= 16:
        raise ValueError(
            f"Qm.n needs m >= 1, n >= 0 and 2 to 16 bits in all, got Q{integer_bits}.{fraction_bits}"
        )
    half = 2 ** (integer_bits + fraction_bits - 1)
    name = f"q{integer_bits}.{fraction_bits}"
    return FixedPoint(name, tuple(range(-half, half)), fraction_bits)


FIXED_POINT: dict[str, FixedPoint] = {
    fmt.name: fmt for fmt in (q_format(8, 8), q_format(4, 4), q_format(2, 2))
}


class FixedPointQuantiser(nn.Module):
    """Fixed point in front of a weight, for `nonideal.quantize.attach`.

    Parameters
    ----------
    weight_format
        Name in `FIXED_POINT`, or a format that `q_format` made.

    Attributes
    ----------
    scale
        Weight units per raw unit: the constant 2^-n, a buffer.

    Raises
    ------
    ValueError
        If the format is unknown.
    """

    scale: Tensor

    def __init__(self, weight_format: str | FixedPoint) -> None:
        super().__init__()
        if isinstance(weight_format, FixedPoint):
            self.format = weight_format
        elif isinstance(weight_format, str) and weight_format in FIXED_POINT:
            self.format = FIXED_POINT[weight_format]
        else:
            known = ", ".join(FIXED_POINT)
            raise ValueError(
                f"fixed-point format {weight_format!r} is not known; formats are {known}, or what "
                "q_format(integer_bits, fraction_bits) gives"
            )
        self.register_buffer("scale", torch.tensor(self.format.unit))

    def forward(self, weight: Tensor) -> Tensor:
        """Weight on the grid; the gradient passes straight through."""
        return fake_quantise(weight, self.scale, self.format)

    def integers(self, weight: Tensor) -> Tensor:
        """Raw integers of a float weight, int32, shape of `weight`; a ValueError if not finite."""
        # In half precision the largest integer of 16 bits is rounded beyond itself.
        return self.format.nearest(at_least_single(finite(weight)) / self.scale).to(torch.int32)

    def extra_repr(self) -> str:
        """Name of the format."""
        return self.format.name
