import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from nonideal.quantize.formats import FORMATS, NF4_QUANTILES, NF4_UNIT, Format, fake_quantise, get_format

LEVELS = {
    "binary": [-1, 1],
    "ternary": [-1, 0, 1],
    "2bitsym": [-3, -1, 1, 3],
    "4bitsym": [-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15],
    "4bit": [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7],
    "8bit": list(range(-128, 128)),
    "fp130": [-128, -64, -32, -16, -8, -4, -2, -1, 1, 2, 4, 8, 16, 32, 64, 128],
    # 127 times the NF4 quantiles, worked out by hand
    "nf4": [-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127],
}
WIDE = Format("wide", tuple(range(-4096, 4097)))  # one of a user's own
every_format = pytest.mark.parametrize("fmt", FORMATS.values(), ids=list(FORMATS))


def brute_force(x: torch.Tensor, fmt: Format) -> torch.Tensor:
    """Code of the nearest level by all distances, in exact arithmetic; ties go to the upper level."""
    levels = list(map(Fraction, fmt.levels))
    return torch.tensor(
        [
            min(range(len(levels)), key=lambda code: (abs(value - levels[code]), -code))
            for value in map(Fraction, x.tolist())
        ]
    )


def critical_points(fmt: Format) -> torch.Tensor:
    """Every level, every midpoint, and their neighbours in float32, and points far outside."""
    levels = np.array(fmt.levels, dtype=np.float32)
    points = np.concatenate([levels, (levels[1:] + levels[:-1]) / 2, [0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30]])
    points = points.astype(np.float32)
    return torch.from_numpy(
        np.concatenate(
            [points, np.nextafter(points, np.float32(-np.inf)), np.nextafter(points, np.float32(np.inf))]
        )
    )


def test_the_registry_has_the_documented_levels_and_no_others():
    assert {name: list(fmt.levels) for name, fmt in FORMATS.items()} == LEVELS


@pytest.mark.parametrize(
    ("name", "bits"), [("binary", 1), ("ternary", math.log2(3)), ("2bitsym", 2), ("fp130", 4), ("8bit", 8)]
)
def test_bits_are_the_information_per_weight(name, bits):
    assert FORMATS[name].bits == bits


def test_nf4_quantiles_are_those_of_the_normal_distribution():
    # QLoRA's construction: quantiles at evenly spaced probabilities, 8 on the positive and 7 on the negative
    # side, from the offset (1 - 1/32 + 1 - 1/30) / 2, divided by the largest, and zero.
    normal = torch.distributions.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)
    offset = (1 - 1 / 32 + 1 - 1 / 30) / 2
    positive = normal.icdf(torch.linspace(offset, 0.5, 9, dtype=torch.float64)[:-1])
    negative = -normal.icdf(torch.linspace(offset, 0.5, 8, dtype=torch.float64)[:-1])
    expected = torch.cat([positive, negative, torch.zeros(1)]).sort().values / positive.max()
    torch.testing.assert_close(torch.tensor(NF4_QUANTILES, dtype=torch.float64), expected, atol=2e-6, rtol=0)
    assert (
        max(abs(NF4_UNIT * q - v) for q, v in zip(NF4_QUANTILES, FORMATS["nf4"].levels, strict=True)) <= 0.5
    )


@every_format
def test_every_code_survives_decode_and_encode(fmt):
    codes = torch.arange(len(fmt.levels))
    for scale in (1.0, 0.25, 0.0123):
        assert torch.equal(fmt.encode(fmt.decode(codes, scale), scale).long(), codes)
    assert fmt.decode(codes).tolist() == list(fmt.levels)


@every_format
def test_nearest_level_at_every_midpoint_and_beside_it(fmt):
    x = critical_points(fmt)
    expected = brute_force(x, fmt)
    assert torch.equal(fmt.encode(x).long(), expected)
    assert torch.equal(fmt.nearest(x), torch.tensor(fmt.levels, dtype=torch.float32)[expected])
    assert torch.equal(fmt.nearest(x.double()).float(), fmt.nearest(x))


@every_format
def test_not_a_number_stays_none(fmt):
    """A training that diverges is found by its loss, whatever the format."""
    for dtype in (torch.float32, torch.bfloat16):
        found = fmt.nearest(torch.tensor([math.nan, 1.0, -math.inf, math.inf], dtype=dtype))
        assert found[0].isnan() and found[2:].tolist() == [fmt.levels[0], fmt.levels[-1]]


@every_format
def test_nearest_level_on_a_dense_sweep(fmt):
    x = torch.linspace(-1.3 * fmt.largest, 1.3 * fmt.largest, 1_511)
    assert torch.equal(fmt.encode(x).long(), brute_force(x, fmt))


@every_format
def test_straight_through_quantises_forward_and_passes_the_gradient_unchanged(fmt):
    weight = (torch.linspace(-2, 2, 60).view(6, 10) * fmt.largest * 0.01).requires_grad_()
    scale = torch.linspace(0.005, 0.02, 6).view(6, 1)
    quantised = fake_quantise(weight, scale, fmt)
    expected = fmt.decode(fmt.encode(weight.detach(), scale).long(), scale)
    torch.testing.assert_close(quantised.detach(), expected, rtol=1e-6, atol=0)
    factor = torch.arange(60.0).view(6, 10) - 20
    (quantised * factor).sum().backward()
    assert torch.equal(weight.grad, factor)


def test_a_table_first_used_in_inference_mode_serves_training():
    fmt = Format("first used in inference mode", (-5, 0, 1))
    with torch.inference_mode():
        fmt.nearest(torch.zeros(2))
    weight = torch.ones(2, requires_grad=True)
    fake_quantise(weight, torch.tensor(1.0), fmt).square().sum().backward()
    assert weight.grad.tolist() == [2.0, 2.0]


def test_unknown_format_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'3bit' is not known; formats are binary, ternary"):
        get_format("3bit")


def test_bad_levels_weights_scales_and_codes_are_refused():
    with pytest.raises(ValueError, match="strictly ascending"):
        Format("bad", (1, 1))
    fmt = FORMATS["4bit"]
    with pytest.raises(ValueError, match="did the training diverge"):
        fmt.encode(torch.tensor([0.0, math.nan]))
    with pytest.raises(ValueError, match="scale must be positive"):
        fmt.encode(torch.ones(3), 0.0)
    with pytest.raises(ValueError, match=r"codes 0 \.\. 15, found 3 \.\. 16"):
        fmt.decode(torch.tensor([3, 16]))
    with pytest.raises(ValueError, match="codes must be integers"):
        fmt.decode(torch.tensor([0.5]))


@every_format
@pytest.mark.parametrize("laid_out", ["transposed", "channels_last"])
def test_the_layout_in_memory_does_not_matter(fmt, laid_out):
    x = torch.linspace(-20, 20, 2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    other = x.mT if laid_out == "transposed" else x.contiguous(memory_format=torch.channels_last)
    expected = fmt.nearest(x.mT.contiguous() if laid_out == "transposed" else x)
    assert not other.is_contiguous() and torch.equal(fmt.nearest(other), expected)


@pytest.mark.parametrize("fmt", [*FORMATS.values(), WIDE], ids=lambda fmt: fmt.name)
def test_every_value_of_bfloat16_goes_where_its_float32_goes(fmt):
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    expected = fmt.nearest(x.float())
    assert torch.equal(fmt.nearest(x).float().nan_to_num(777), expected.nan_to_num(777))


def test_codes_of_levels_that_half_precision_does_not_tell_apart():
    kept = torch.tensor([2048, 2050, 2052, -2052], dtype=torch.float16)  # 2049 and 2051 are not
    assert torch.equal(WIDE.decode(WIDE.encode(kept)), kept.float())
