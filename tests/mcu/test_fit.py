import itertools

import numpy as np
import pytest

from nonideal import recipe
from nonideal.mcu import fit, limits, packing
from nonideal.mcu.integer import IntegerLayer, IntegerNetwork
from nonideal.pruning import ROUNDING
from nonideal.quantize.formats import FORMATS

SIZES = [(256, 64, 64, 64, 10), (256, 40, 32, 32, 10), (255, 33, 47), (7, 1, 1), (256, 448, 10), (300, 9, 26)]


def network(weight_format, sizes):
    level = FORMATS[weight_format].levels[0]
    matrices = (np.full((after, before), level, np.int16) for before, after in itertools.pairwise(sizes))
    return IntegerNetwork(tuple(IntegerLayer(weight_format, matrix) for matrix in matrices))


def test_images_are_those_of_the_recipe():
    assert fit.IMAGE_PIXELS == recipe.PIXELS**2


@pytest.mark.parametrize("kernel", packing.LAYOUTS)
@pytest.mark.parametrize("weight_format", FORMATS)
def test_sums_are_those_of_the_export(weight_format, kernel):
    for sizes in SIZES:
        made = network(weight_format, sizes)
        assert fit.flash_bytes(weight_format, kernel, sizes) == sum(limits.flash_of_data(made, kernel))
        lists = limits.list_bytes(made, kernel, limits.MIN_ACTIVE)
        assert fit.ram_bytes(weight_format, kernel, sizes) == limits.ram_of_data(made, kernel) + lists


@pytest.mark.parametrize("kernel", packing.LAYOUTS)
@pytest.mark.parametrize("weight_format", ["binary", "4bitsym", "8bit", "nf4"])
def test_what_is_refused_is_what_the_export_refuses(weight_format, kernel):
    refused = 0
    for width in (16, 64, 65, 88, 89, 128, 320, 448, 480, 1025):
        sizes = (256, width, 10)
        said = fit.refusal(weight_format, kernel, sizes)
        made = network(weight_format, sizes)
        if said is None:
            limits.check_engine(made, kernel)
            limits.check_target(made, kernel, "ch32v003")
        else:
            with pytest.raises(ValueError, match=r"take .* bytes of"):
                limits.check_target(made, kernel, "ch32v003")
            refused += 1
            assert f"[{width}]" in said and ("bytes of flash" in said or "bytes of RAM" in said)
    assert 0 < refused < 10


def test_neurons_that_are_left_are_those_of_the_training():
    assert fit.ROUNDING == ROUNDING
    assert [fit.pruned(100, share) for share in (0, 0.29, 0.5)] == [100, 71, 50]
