"""Every example runs and makes what it says."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from nonideal.__main__ import COMMANDS

pytestmark = pytest.mark.examples


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    """Folder in which the training of the examples has run."""
    folder = tmp_path_factory.mktemp("examples")
    example = runpy.run_path(str(root / "examples/digits.py"))
    torch.manual_seed(0)
    example["main"](folder)
    return folder


@pytest.fixture
def example(root, trained):
    """Function that runs an example script and returns what it printed."""

    def run(name, *arguments):
        variables = os.environ | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(root / "src"),  # the library of this checkout, installed or not
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = ["bash", str(root / f"examples/{name}.sh"), *map(str, arguments)]
        done = subprocess.run(
            command, env=variables, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_every_command_has_an_example_and_no_other_has(root):
    scripts = {path.stem for path in (root / "examples").glob("*.sh")}
    assert scripts == set(COMMANDS)
    for name in scripts:
        assert f"\nnonideal {name}" in (root / f"examples/{name}.sh").read_text()
        assert os.access(root / f"examples/{name}.sh", os.X_OK)


def test_restore(example):
    printed = example("restore")  # the embedded data are not those of the reference
    assert printed.startswith("to restore 0 jobs") and "other settings" in printed


def test_export(example, trained):
    printed = example("export", trained)
    header, document = trained / "exported/digits.h", trained / "exported/digits.json"
    assert "ni_weights_3" in header.read_text() and f"{header}: " in printed
    golden = np.array(json.loads(document.read_text())["golden"]["accumulators"][-1])
    labels = np.load(trained / "digits.npz")["test_labels"]
    assert (golden.argmax(axis=1) == labels[: len(golden)]).sum() >= 3


def test_harden(example, trained):
    printed = example("harden", trained)
    table = pd.read_csv(trained / "hardened.csv", index_col="stage")
    assert table["accuracy"]["on chip, hardened"] > 0.85
    assert f"{100 * table['accuracy']['given']:.2f} %" in printed
    for name in ("hardened", "written"):
        state = torch.load(trained / f"{name}.pt", weights_only=True)
        assert len(state["3.weight"].unique()) <= 16 < len(state["1.weight"].unique())


def test_deploy(example, trained):
    printed = example("deploy", trained)
    table = pd.read_csv(trained / "deployed.csv")
    assert table["time_s"].tolist() == [20, 3600, 30 * 86400, 365 * 86400]
    assert table["error_mean"].is_monotonic_increasing and (table["chips"] == 10).all()
    assert f"{100 * table['accuracy_mean'][0]:.2f}" in printed


def test_list_and_compare(example):
    assert "figure_4a" in example("list")
    assert "crossbar  Fig. 4a" in example("compare")


def test_verify_and_status(example):
    assert "results/reference" in example("verify")
    assert "results" in example("status")


def test_sbom(example, tmp_path):
    assert example("sbom", tmp_path).startswith("package,version,licence")
    assert json.loads((tmp_path / "sbom.json").read_text())["components"]
