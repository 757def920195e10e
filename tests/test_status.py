import os
import subprocess
import sys
import time

import pytest

from nonideal import status
from nonideal.__main__ import main


def write(path, text, age):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    when = time.time() - age
    os.utime(path, (when, when))


@pytest.fixture
def run(tmp_path):
    """Folder of a run with a job in every state."""
    logs, benchmarks = tmp_path / "results/r/logs", tmp_path / "results/r/benchmarks"
    header = "s\th:m:s\n"
    write(logs / "paper.log", "compiled\n", 60)
    write(benchmarks / "paper.tsv", f"{header}2.5\t0:00:02\n", 60)
    bars = "repetition 1 of 2\n 10%|#  | 3/30 [00:02<00:20, 1.3epoch/s]\n"
    bars += " 43%|## | 13/30 [00:12<00:16, 1.0epoch/s]\n"
    write(logs / "train/ternary.log", bars, 5)
    error = "Traceback (most recent call last):\n  File x\nMismatchError: 3 of 9 images differ\n"
    write(logs / "firmware.log", f"building\n{error}", 300)
    write(benchmarks / "again.tsv", f"{header}9\t0:00:09\n", 90)
    write(logs / "again.log", "started again\n", 30)  # after its earlier benchmark
    return tmp_path / "results/r"


@pytest.mark.parametrize(("active", "unfinished"), [(True, "running"), (False, "interrupted")])
def test_states(run, active, unfinished):
    found = {job.name: job for job in status.jobs(run, active=active)}
    states = {name: job.state for name, job in found.items()}
    assert states == {"paper": "done", "train/ternary": unfinished, "firmware": "failed", "again": unfinished}
    assert found["paper"].seconds == 2.5
    assert found["train/ternary"].text == "43% 13/30 [00:12<00:16, 1.0epoch/s]"  # the newest, with time left
    assert found["firmware"].text.endswith("MismatchError: 3 of 9 images differ")
    assert 290 < found["firmware"].seconds < 400


def test_report_names_failures_first_and_the_lock(run, tmp_path):
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").write_text("")
    write(tmp_path / ".snakemake/log/1.snakemake.log", "results/r/x\n3 of 7 steps (43%) done\n", 5)
    lines = list(status.report(run, tmp_path))
    assert "1 done, 0 running, 2 interrupted, 1 failed; last command: 3 of 7 steps" in lines[0]
    assert "--unlock" in lines[1]
    assert lines[2].startswith("failed") and "firmware" in lines[2]
    assert any("MismatchError" in line for line in lines)
    assert lines[-1] == "longest so far: paper 2 s"


def test_a_snakemake_at_work_here_is_seen(tmp_path):
    code = "import sys; sys.stdin.read()"
    assert not status.active(tmp_path)
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE) as other:
        assert not status.active(tmp_path)
        other.communicate()
    script = tmp_path / "snakemake"
    script.write_text(code)
    with subprocess.Popen([sys.executable, script], cwd=tmp_path, stdin=subprocess.PIPE) as process:
        try:
            assert status.active(tmp_path)
            assert not status.active(tmp_path.parent)
        finally:
            process.communicate()


def test_a_snakemake_at_work_on_another_run_is_not_at_work_on_this(run, tmp_path):
    """Two commands in one checkout: the dead job of the one does not run because the other does."""
    code = "import sys; log = open(sys.argv[1]); print('up', flush=True); sys.stdin.read()"
    script = tmp_path / "snakemake"
    script.write_text(code)
    log = tmp_path / ".snakemake/log/1.snakemake.log"
    write(log, "output: results/other/x\n1 of 9 steps (11%) done\n", 60)
    write(log.with_name("2.snakemake.log"), "output: results/r/x\n3 of 7 steps (43%) done\n", 5)
    (tmp_path / ".snakemake/locks").mkdir()
    (tmp_path / ".snakemake/locks/0.output.lock").write_text("")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, script, log], cwd=tmp_path, **pipes) as process:
        try:
            process.stdout.readline()
            assert status.active(tmp_path) and status.active(tmp_path, "other")
            assert not status.active(tmp_path, "r")
            lines = list(status.report(run, tmp_path))
            assert "1 done, 0 running, 2 interrupted, 1 failed; last command: 3 of 7 steps" in lines[0]
            assert not any("--unlock" in line for line in lines)  # the lock is the other's
            log.write_text("output: results/r/x\n")
            assert "2 running" in next(status.report(run, tmp_path))
        finally:
            process.communicate()


def test_command(run, capsys, monkeypatch):
    assert main(["status", str(run)]) == 1
    assert "firmware" in capsys.readouterr().out
    monkeypatch.chdir(run.parents[1])
    assert main(["status"]) == 1
    assert "results/r: 1 done" in capsys.readouterr().out
    assert main(["status", "results/none"]) == 1
    assert "no logs" in capsys.readouterr().out


def test_a_run_kept_without_its_logs_is_no_failure(tmp_path, capsys):
    (tmp_path / "provenance.json").write_text("{}")
    assert main(["status", str(tmp_path)]) == 0
    assert "a whole run, kept without its logs; nonideal verify" in capsys.readouterr().out
