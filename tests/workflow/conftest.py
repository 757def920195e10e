"""The artefact, built once on tiny settings."""

from pathlib import Path

import pytest
from snakemake_project import Project


@pytest.hookimpl(tryfirst=True)  # before the names of the groups are read
def pytest_collection_modifyitems(items):
    """Tests of the workflow share one built artefact: one process runs them, first of all."""

    def of_workflow(item):
        return Path(__file__).parent in item.path.parents

    for item in filter(of_workflow, items):
        item.add_marker(pytest.mark.xdist_group("workflow"))
    items.sort(key=of_workflow, reverse=True)


@pytest.fixture(scope="session")
def tiny(root, tmp_path_factory):
    """Project in which `snakemake all` has run; tests must leave it as they found it."""
    project = Project(root, tmp_path_factory.mktemp("project"))
    project.snakemake()
    return project
