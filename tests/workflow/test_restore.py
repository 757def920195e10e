import shutil
import subprocess
import sys

import pytest
import yaml
from snakemake_project import TINY

from nonideal.reference import KEPT


@pytest.fixture
def fresh(tiny, unbuilt):
    """Project in which only data are prepared, with what a reference keeps of the artefact's run."""
    for pattern in KEPT:
        for path in tiny.result("").glob(pattern):
            target = unbuilt.folder / "reference" / path.relative_to(tiny.result(""))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    shutil.copytree(tiny.folder / "resources", unbuilt.folder / "resources")
    return unbuilt


def restore(project, *options):
    command = [
        sys.executable,
        "-m",
        "nonideal",
        "restore",
        "reference",
        "--configfile",
        "tiny.yaml",
        *options,
    ]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_unchanged_run_is_drawn_and_written_anew_not_trained(fresh, tiny):
    said = restore(fresh)
    assert "other code" not in said and "other settings" not in said and "other inputs" not in said
    due = fresh.due()
    assert {
        "figure_5a",
        "figure_faults",
        "paper",
        "manifest",
        "crossbar_trials",
    } <= due  # trials are not kept
    studies = {
        "train_network",
        "network_chips",
        "network_options",
        "capacity",
        "quantscale",
        "regularised_qat",
    }
    assert not due & (studies | {"regularised_faults", "regularised_headline", "train", "train_cnn"})
    kept = "networks/summary.parquet"
    assert fresh.result(kept).read_bytes() == tiny.result(kept).read_bytes()


def test_what_another_configuration_changes_is_left_out(fresh):
    changed = TINY | {
        "regularised": TINY["regularised"] | {"faults": TINY["regularised"]["faults"] | {"epochs": 2}}
    }
    (fresh.folder / "tiny.yaml").write_text(yaml.safe_dump(changed))
    said = restore(fresh, "--verbose")
    assert "regularised_faults/3/0.5 (settings)" in said and "other settings" in said
    assert fresh.result("networks/summary.parquet").exists()
    assert not fresh.result("regularised/faults.parquet").exists()


def test_after_restoring_another_setting_makes_jobs_due(fresh):
    """What was restored is noted down as what a job made: without that only ages of files would count."""
    restore(fresh)
    assert "capacity" not in fresh.due() and "train_network" not in fresh.due()
    (fresh.folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"seed": 999}))
    assert {"capacity", "train_network", "regularised_float"} <= fresh.due()


def test_a_run_of_another_name_is_restored(fresh):
    (fresh.folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"run": "mine"}))
    said = restore(fresh)
    assert "other settings" not in said and "other inputs" not in said
    assert (fresh.folder / "results/mine/networks/summary.parquet").exists()
