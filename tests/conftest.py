"""Shared fixtures."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root():
    """Top folder of the project."""
    return ROOT
