"""The workflow through a Slurm started for the test: `make test-slurm`."""

import subprocess
import sys
import time

import cluster
import pytest
from faults import contents, run
from snakemake_project import Project

pytestmark = pytest.mark.slurm

TARGETS = ("crossbar_summary", "accuracy")  # data, Monte Carlo shards, training with checkpoints, tables
# What this small cluster has not: accounting. With it, neither option is needed.
NO_ACCOUNTING = ("--slurm-status-command", "squeue", "--slurm-no-account")
QUICK = ("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10")


@pytest.fixture(scope="module")
def slurm():
    """A running cluster of one node with two cores."""
    if problem := cluster.missing():
        pytest.skip(problem)
    with cluster.cluster(cores=2) as running:
        yield running


@pytest.fixture(scope="module")
def local(root, tmp_path_factory):
    """Contents of a run without Slurm."""
    project = Project(root, tmp_path_factory.mktemp("local"))
    status, output = run(project, TARGETS)
    assert status == 0, output[-4000:]
    return contents(project.folder / "results/tiny")


def start(project, *targets):
    """Start Snakemake with the profile users have."""
    profile = ("--profile", "workflow/profiles/slurm", "--configfile", "tiny.yaml")
    command = [sys.executable, "-m", "snakemake", *profile, *NO_ACCOUNTING, *QUICK, "--", *targets]
    log = (project.folder / "slurm.out").open("w")
    with log:
        return subprocess.Popen(command, cwd=project.folder, stdout=log, stderr=log)


def test_a_cancelled_job_and_a_lost_node_change_nothing(root, tmp_path, slurm, local):
    project = Project(root, tmp_path / "project")
    process = start(project, *TARGETS)
    try:
        cancelled = slurm.wait_for_job()
        slurm.cancel(cancelled)
        while (lost := slurm.wait_for_job()) == cancelled:
            time.sleep(0.2)
        slurm.kill_node()
        time.sleep(2)
        slurm.start_node()
        status = process.wait(900)
    finally:
        process.kill()
    output = (project.folder / "slurm.out").read_text()
    assert status == 0, output[-6000:]
    assert "retry" in output.lower() or "restart" in output.lower(), output[-6000:]
    assert lost != cancelled
    assert contents(project.folder / "results/tiny") == local


def test_jobs_ask_for_what_their_rules_declare(root, tmp_path, slurm):
    project = Project(root, tmp_path / "project")
    process = start(project, "results/tiny/crossbar/trials/part-0000.parquet")
    try:
        job = slurm.wait_for_job()
        shown = subprocess.run(
            ["scontrol", "show", "job", job], capture_output=True, text=True, check=True
        ).stdout
        assert process.wait(300) == 0, (project.folder / "slurm.out").read_text()[-6000:]
    finally:
        process.kill()
    declared = (project.folder / "slurm.out").read_text()
    for key, wanted in (("mem_mb=", "MinMemoryNode="), ("runtime=", "TimeLimit=")):
        value = int(declared.split(key)[1].split(",")[0].split()[0])
        found = shown.split(wanted)[1].split()[0]
        if key == "runtime=":
            hours, minutes, seconds = map(int, found.split(":"))
            assert (hours * 60 + minutes, seconds) == (value, 0)
        else:
            assert found in (f"{value}M", f"{value / 1024:g}G")
