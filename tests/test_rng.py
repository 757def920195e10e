import numpy as np
import pytest
import torch

from nonideal import rng


def test_same_name_same_numbers_other_name_other_numbers():
    a, b = rng.stream(7, "a", 1).random(4), rng.stream(7, "a", 1).random(4)
    assert np.array_equal(a, b)
    for other in [
        (8, "a", 1),
        (7, "a", 2),
        (7, "a"),
        (7, "a", "1"),
        (7, "a", 1.0),
        (7, "a", True),
        (7, "a1"),
    ]:
        assert not np.array_equal(a, rng.stream(*other).random(4)), other


def test_labels_do_not_run_together():
    assert rng.digest(1, "ab", "c") != rng.digest(1, "a", "bc")
    assert rng.digest(1, "a", "b") != rng.digest(1, "ab")
    assert rng.digest(11, "a") != rng.digest(1, "1a")


def test_streams_are_pinned():
    # A change here changes every table of every earlier run: it must be meant.
    assert rng.stream(20220, "pin").integers(0, 2**32, 3).tolist() == [3780890337, 1310267207, 1734209283]


def test_torch_stream_repeats():
    a = torch.rand(3, generator=rng.torch_stream(3, "x"))
    assert torch.equal(a, torch.rand(3, generator=rng.torch_stream(3, "x")))
    assert not torch.equal(a, torch.rand(3, generator=rng.torch_stream(3, "y")))


def test_neighbouring_streams_are_uncorrelated():
    draws = np.stack([rng.stream(0, "trial", k).standard_normal(4000) for k in range(20)])
    correlation = np.corrcoef(draws) - np.eye(20)
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize("seed", [1.0, "1", None, True])
def test_seed_must_be_an_integer(seed):
    with pytest.raises(TypeError, match="seed must be an integer"):
        rng.stream(seed, "a")


def test_bad_names():
    with pytest.raises(ValueError, match="negative"):
        rng.stream(-1)
    with pytest.raises(TypeError, match="label"):
        rng.stream(1, ["a"])
