"""Shared fixtures."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root():
    """Top folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Folder of the data set ``digits`` as the workflow prepares it; read only."""
    from nonideal import data  # most tests need no data, and PyTorch takes a second

    folder = tmp_path_factory.mktemp("digits")
    data.prepare("digits", folder)
    return folder


@pytest.fixture(autouse=True)
def seeded():
    """Networks that PyTorch initialises from its global generator are the same in every run."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
