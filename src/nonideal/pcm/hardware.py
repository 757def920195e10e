"""Options of a deployment on phase-change memory: errors of the devices, compensation, converters."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

from . import device, slicing

READ_NOISE = ("always", "after_t0", "off")
COMPENSATIONS = ("layer", "column", "fixed", "none")
EXPONENTS = ("folded_normal", "clipped")

CONVERTER_BITS = (2, 24)
"""Fewest and most bits of a converter: two give the codes -1, 0 and 1, and float32 holds no more than 24."""


@dataclass(frozen=True)
class Hardware:
    """What all layers and chips of a deployment share.

    Parameters
    ----------
    ec_targets
        Targets of error correction, see `slicing.program`: "unbounded", "physical" or "same_sign".
    read_noise_norm
        What targets are divided by before the read-noise fit: the largest target of the slice ("slice_max",
        published) or G_MAX ("g_max", device papers).
    read_noise
        "always"; "after_t0" leaves reads at t0 free of noise (published network runs); "off".
    programming_noise, drift
        Switches of the other two sources of error.
    exponents
        Drift exponents |mu + sigma z| ("folded_normal", crossbar), or clip(mu + sigma z, 0.049, 0.1)
        ("clipped", as in the published network runs).
    pairs
        Simulate both devices of each differential pair. The one that is not in use, and both of a zero
        weight, were RESET and hold max(0, sigma(0) z); error correction measures the pair, but for zero
        weights, whose slices all stay as they were RESET. False: such devices conduct nothing, and the pair
        is one device with a sign.
    non_negative
        Clip a programmed device at zero conductance. False: programming noise may carry a small conductance
        below zero, as in the published runs.
    compensation
        Drift compensation: one measured factor a layer ("layer"), one a column, that is an output ("column"),
        one a layer from the mean drift exponents of the targets without a measurement ("fixed"), or "none".
    dac_bits, adc_bits
        Bits of the converters before the rows and behind the columns, see `converters`; None is ideal.
    converter_quantile
        Share of the magnitudes in the calibration batch that lies within a converter's range; 1 is all.

    Raises
    ------
    ValueError
        If a name is unknown or a number out of range, or converters that are not there have a range.
    """

    ec_targets: str = "unbounded"
    read_noise_norm: str = "slice_max"
    read_noise: str = "always"
    programming_noise: bool = True
    drift: bool = True
    exponents: str = "folded_normal"
    pairs: bool = False
    non_negative: bool = False
    compensation: str = "layer"
    dac_bits: int | None = None
    adc_bits: int | None = None
    converter_quantile: float = 1.0

    def __post_init__(self) -> None:
        for key, known in (
            ("ec_targets", slicing.EC_TARGETS),
            ("read_noise_norm", device.READ_NOISE_NORMS),
            ("read_noise", READ_NOISE),
            ("exponents", EXPONENTS),
            ("compensation", COMPENSATIONS),
        ):
            if getattr(self, key) not in known:
                raise ValueError(f"{key} must be one of {', '.join(known)}, got {getattr(self, key)!r}")
        for key in ("programming_noise", "drift", "pairs", "non_negative"):
            if not isinstance(getattr(self, key), bool):
                raise ValueError(f"{key} must be True or False, got {getattr(self, key)!r}")
        low, high = CONVERTER_BITS
        for key in ("dac_bits", "adc_bits"):
            bits = getattr(self, key)
            whole = isinstance(bits, numbers.Integral) and not isinstance(bits, bool)
            if bits is not None and not (whole and low <= bits <= high):
                raise ValueError(f"{key} must be None or an integer from {low} to {high}, got {bits!r}")
            if bits is not None:  # a NumPy integer, as a sweep over an array gives, would not go into JSON
                object.__setattr__(self, key, int(bits))
        if not 0 < self.converter_quantile <= 1:
            raise ValueError(f"converter_quantile must lie in (0, 1], got {self.converter_quantile!r}")
        if self.converter_quantile != 1 and not self.converting:
            raise ValueError(
                f"converter_quantile = {self.converter_quantile!r} goes with dac_bits or adc_bits: "
                "without converters there is no range to set"
            )

    @property
    def converting(self) -> bool:
        """Whether there are converters of finite resolution."""
        return self.dac_bits is not None or self.adc_bits is not None


NOISELESS = Hardware(read_noise="off", programming_noise=False, drift=False, compensation="none")
"""Hardware without any error: the quantised network remains."""


def growth(t: float, hardware: Hardware) -> float:
    """Growth of the read noise at time t (s); zero where there is none."""
    if hardware.read_noise == "off" or (hardware.read_noise == "after_t0" and math.isclose(t, device.T0_S)):
        return 0.0
    return device.read_noise_growth(t)
