"""Jobs of the workflow under a configuration, as Snakemake plans them or notes them down; nothing is run.

A process of its own plans, with the library of the checkout: the one that asks may be installed elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    ExecutionSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

SNAKEFILE = Path("workflow/Snakefile")


@dataclass(frozen=True)
class Planned:
    """One job.

    Attributes
    ----------
    rule
        Name of its rule.
    params
        Its parameters and wildcards, as `nonideal.provenance.collect` records them.
    code
        Source files that it depends on.
    inputs
        Its other inputs.
    outputs
        Files that it makes.
    """

    rule: str
    params: dict[str, Any]
    code: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def planned(configfiles: Sequence[str | os.PathLike[str]] = ()) -> tuple[str, list[Planned]]:
    """Name of the run and all its jobs, done or not, each after those that it needs.

    Parameters
    ----------
    configfiles
        Configurations on top of the default one.

    Raises
    ------
    ValueError
        If there is no workflow in the working directory, or Snakemake cannot plan it: a configuration with
        a mistake, data that are not there.
    """
    if not SNAKEFILE.is_file():
        raise ValueError(f"{SNAKEFILE}: not here; run this in the top folder of a checkout")
    for path in configfiles:
        if not Path(path).is_file():
            raise ValueError(f"{path}: no such configuration")
    run, jobs = _ask(configfiles, [])
    keys = ("code", "inputs", "outputs")
    return run, [Planned(**job | {key: tuple(job[key]) for key in keys}) for job in jobs]


def record(configfiles: Sequence[str | os.PathLike[str]], outputs: Sequence[str]) -> None:
    """Note down that jobs are done, as Snakemake does after running one: with their settings and inputs.

    Parameters
    ----------
    configfiles
        As for `planned`.
    outputs
        One output of each of these jobs.

    Raises
    ------
    ValueError
        As `planned`.
    """
    _ask(configfiles, outputs)


def _ask(configfiles: Sequence[str | os.PathLike[str]], outputs: Sequence[str]) -> list[Any]:
    """Name of the run and its jobs, from a process that notes down those that have one of the outputs."""
    paths = [str(Path("src").absolute()), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "jobs.json"
        asked.write_text(json.dumps(list(outputs)), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, str(asked), *map(os.fspath, configfiles)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(f"Snakemake cannot plan this run: {done.stderr.strip()}")
        return json.loads(asked.read_text(encoding="utf-8"))


def _plan(configfiles: Sequence[str], finished: set[str]) -> tuple[str, list[Planned]]:
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        try:
            api_of_workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=[Path(path) for path in configfiles]),
                snakefile=SNAKEFILE,
            )
            # Only printing what is planned is public; printing leaves the parameters out.
            workflow = api_of_workflow._workflow
            workflow.dag_settings = api_of_workflow.dag(DAGSettings()).dag_settings
            workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
            workflow._build_dag()
        except WorkflowError as error:
            sys.exit(str(error))
        dag = workflow.dag
        if finished:
            workflow.execution_settings = ExecutionSettings()
            asyncio.run(_record(workflow, finished))
        layers = dag.toposorted()
        jobs = [_planned(job) for layer in layers for job in sorted(layer, key=lambda job: list(job.output))]
        return workflow.globals["config"]["run"], jobs


async def _record(workflow: Any, finished: set[str]) -> None:
    for job in workflow.dag.jobs:
        if finished & set(map(str, job.output)):
            await workflow.persistence.finished(job)


def _planned(job: Any) -> Planned:
    code = job.input.get("code", [])
    code = {code} if isinstance(code, str) else {*map(str, code)}
    params = dict(job.params.items()) | {"wildcards": dict(job.wildcards.items())}
    return Planned(
        job.rule.name,
        json.loads(json.dumps(params, default=str)),
        tuple(sorted(code)),
        tuple(sorted({str(path) for path in job.input} - code)),
        tuple(str(path) for path in job.output),
    )


if __name__ == "__main__":
    name, jobs = _plan(sys.argv[2:], set(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    Path(sys.argv[1]).write_text(json.dumps([name, [asdict(job) for job in jobs]]), encoding="utf-8")
