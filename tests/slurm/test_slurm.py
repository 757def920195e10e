"""The workflow through a Slurm started for the test: `make test-slurm`."""

import ast
import csv
import subprocess
import sys
import time

import cluster
import pytest
import yaml
from faults import contents, run
from snakemake_project import TINY, Project

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
        process.wait(60)
    output = (project.folder / "slurm.out").read_text()
    assert status == 0, output[-6000:]
    assert "retry" in output.lower() or "restart" in output.lower(), output[-6000:]
    assert lost != cancelled
    assert contents(project.folder / "results/tiny") == local


def shown(job):
    """What Slurm knows of a job, by key."""
    done = subprocess.run(
        ["scontrol", "--oneliner", "show", "job", job], capture_output=True, text=True, check=True
    )
    return dict(part.split("=", 1) for part in done.stdout.split() if "=" in part)


def test_jobs_ask_for_what_their_rules_declare(root, tmp_path, slurm):
    project = Project(root, tmp_path / "project")
    process = start(project, "results/tiny/crossbar/trials/part-0000.parquet")
    try:
        asked = shown(slurm.wait_for_job())
        assert process.wait(900) == 0, (project.folder / "slurm.out").read_text()[-6000:]
    finally:
        process.kill()
        process.wait(60)
    (benchmark,) = (project.folder / "results/tiny/benchmarks/crossbar_trials").glob("*.tsv")
    with benchmark.open(newline="") as file:
        declared = ast.literal_eval(next(csv.DictReader(file, delimiter="\t"))["resources"])
    hours, minutes, _ = map(int, asked["TimeLimit"].split(":"))
    assert hours * 60 + minutes == declared["runtime"]
    assert asked["MinMemoryNode"] in (f"{declared['mem_mb']}M", f"{declared['mem_mb'] / 1024:g}G")
    assert "gpu" not in asked.get("TresPerNode", "")


def test_training_on_a_gpu_asks_for_one(root, tmp_path, slurm):
    project = Project(root, tmp_path / "project")
    settings = TINY | {"training": TINY["training"] | {"device": "cuda"}}
    (project.folder / "tiny.yaml").write_text(yaml.safe_dump(settings))
    assert run(project, ["resources/data/digits/manifest.json"])[0] == 0
    process = start(project, "results/tiny/training/ternary/networks.pt")
    try:
        asked = shown(slurm.wait_for_job())
        assert "gpu:1" in asked["TresPerNode"]
    finally:
        process.terminate()
        for job in slurm.jobs():
            slurm.cancel(job)
        process.wait(120)
