"""Runs that are killed at random moments, and runs on a full disk, end like a run that was left alone.

Minutes long, so `make test` leaves it out: `make test-chaos` runs it and prints the table of faults.
"""

import contextlib
import os
import subprocess
import time

import pytest
import yaml
from faults import FAULTS, clean, contents, interrupted, resume, run, temporary_files
from snakemake_project import FEWER, Project

from nonideal import rng

pytestmark = pytest.mark.chaos

SEED = 20
INJECTED = 20
IN_A_ROW = 4  # faults before a run may end
MOMENTS = (0.1, 0.6)  # of the uninterrupted run's time
# One of every kind of job: data, Monte Carlo shards, training with checkpoints, tables, notebook, firmware.
TARGETS = ("crossbar_summary", "figure_bits", "table_bits", "firmware_tables")
SMALL_DISK = 60_000  # bytes: less than the data set's arrays take


@pytest.fixture(scope="module")
def project(root, tmp_path_factory):
    """Project on fewer settings than the tiny one."""
    project = Project(root, tmp_path_factory.mktemp("chaos"))
    (project.folder / "tiny.yaml").write_text(yaml.safe_dump(FEWER))
    return project


@pytest.fixture(scope="module")
def uninterrupted(project):
    """Seconds and contents of a run that is left alone."""
    start = time.monotonic()
    status, output = run(project, TARGETS)
    assert status == 0, output[-4000:]
    return time.monotonic() - start, contents(project.folder / "results/tiny")


def test_killed_runs_end_like_an_uninterrupted_one(project, uninterrupted, capsys):
    seconds, expected = uninterrupted
    draw = rng.stream(SEED, "chaos")
    faults = list(draw.permutation(list(FAULTS) * (INJECTED // len(FAULTS))))
    rows = []
    while faults:
        clean(project)
        pending = []
        with contextlib.ExitStack() as alive:
            while faults and len(pending) < IN_A_ROW:
                delay = seconds * draw.uniform(*MOMENTS)
                if not alive.enter_context(interrupted(project, TARGETS, faults[-1], delay)):
                    break  # done before it could be interrupted
                pending.append(
                    {"fault": faults.pop(), "after s": round(delay, 1), **_left(project, expected)}
                )
                run(project, TARGETS, ["--unlock"])
            status, output = resume(project, TARGETS)
        found = contents(project.folder / "results/tiny")
        differ = [path for path in expected if found.get(path) != expected[path]]
        for row in pending:
            row |= {"resumed": status == 0, "equal": not differ and found.keys() == expected.keys()}
        rows += pending
        assert status == 0, output[-4000:]
    with capsys.disabled():
        print(f"\n\nuninterrupted: {seconds:.0f} s, {len(expected)} files")
        print(f"\n{_summary(rows)}\n\n{_markdown(rows)}")
    assert len(rows) == INJECTED
    assert all(row["whole"] and row["resumed"] and row["equal"] for row in rows)


def _left(project, expected):
    """What stands on the disk after a fault: every file that has its final name must be the final one."""
    folder = project.folder / "results/tiny"
    found = contents(folder)
    whole = all(expected.get(path) == content for path, content in found.items())
    return {"files then": len(found), "temporary": len(temporary_files(folder)), "whole": whole}


def _markdown(rows):
    lines = [f"| {' | '.join(rows[0])} |", "|---" * len(rows[0]) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row.values()))} |" for row in rows)])


def _summary(rows):
    lines = [
        "| fault | injected | half-written files taken for whole | resumed | ended with identical results |",
        "|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        ours = [row for row in rows if row["fault"] == fault]
        counts = [sum(not row["whole"] for row in ours)]
        counts += [sum(row[key] for row in ours) for key in ("resumed", "equal")]
        lines.append(f"| {fault} | {len(ours)} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def _is_clear(output):
    assert "no room to write this file" in output, output[-4000:]
    assert "free space and give the same command again" in output
    assert "arrays.npz" in output


def test_files_that_may_not_grow(project, uninterrupted):
    clean(project)
    status, output = run(project, TARGETS, limit=SMALL_DISK)
    assert status != 0
    _is_clear(output)
    assert not list((project.folder / "resources").rglob("*.npz"))
    status, output = resume(project, TARGETS)
    assert status == 0, output[-4000:]
    assert contents(project.folder / "results/tiny") == uninterrupted[1]


@pytest.fixture
def small_disk(project):
    """A disk of a few pages under the project's data; needs the right to mount."""
    clean(project)
    folder = project.folder / "resources"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk(project, uninterrupted, small_disk):
    status, output = run(project, TARGETS)
    assert status != 0
    _is_clear(output)
    assert "No space left on device" in output
    assert not list(small_disk.rglob("*.npz"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    status, output = resume(project, TARGETS)
    assert status == 0, output[-4000:]
    assert contents(project.folder / "results/tiny") == uninterrupted[1]
