"""The artefact, built once on tiny settings."""

import pytest
from snakemake_project import Project


@pytest.fixture(scope="session")
def tiny(root, tmp_path_factory):
    """Project in which `snakemake all` has run; tests must leave it as they found it."""
    project = Project(root, tmp_path_factory.mktemp("project"))
    project.snakemake()
    return project


@pytest.fixture
def unbuilt(root, tmp_path):
    """Project in which nothing has run."""
    return Project(root, tmp_path / "project")
