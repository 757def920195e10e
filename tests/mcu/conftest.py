"""Shared fixtures."""

import pytest

from nonideal.mcu.build import host_library
from nonideal.mcu.host import HostEngine


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """The C engine on this computer."""
    return HostEngine(host_library(tmp_path_factory.mktemp("engine")))
