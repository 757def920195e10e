"""A tiny study on tiny data."""

import pytest
import torch
from regularised_study import CONFIG, squares

from nonideal.preprocessing import Tensors
from nonideal.regularised import job, study


@pytest.fixture(scope="session")
def examples():
    train, test = squares(64, "train"), squares(32, "test")
    return job.Examples(Tensors(*train, *test, torch.zeros(1, 1, 1)), *test, 4)


@pytest.fixture
def run(examples, tmp_path):
    return job.Run(CONFIG, examples, 11, tmp_path)


@pytest.fixture(scope="session")
def states(examples, tmp_path_factory):
    """Full-precision networks, and the networks trained with multipliers."""
    run = job.Run(CONFIG, examples, 11, tmp_path_factory.mktemp("states"))
    floats = {repetition: state for repetition, state, _ in study.full_precision(run)}
    trained = {
        (bits, repetition): state for bits, repetition, state, _ in study.qat(run, floats, "multiplier")
    }
    return floats, trained
