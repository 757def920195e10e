"""Jobs of the workflow under a configuration, as Snakemake plans them; nothing is run.

A process of its own plans, with the library of the checkout: the one that asks may be installed elsewhere.
"""

from __future__ import annotations

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
    paths = [str(Path("src").absolute()), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "jobs.json"
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, str(found), *map(os.fspath, configfiles)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(f"Snakemake cannot plan this run: {done.stderr.strip()}")
        run, jobs = json.loads(found.read_text(encoding="utf-8"))
    keys = ("code", "inputs", "outputs")
    return run, [Planned(**job | {key: tuple(job[key]) for key in keys}) for job in jobs]


def _plan(configfiles: Sequence[str]) -> tuple[str, list[Planned]]:
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
        layers = dag.toposorted()
        jobs = [_planned(job) for layer in layers for job in sorted(layer, key=lambda job: list(job.output))]
        return workflow.globals["config"]["run"], jobs


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
    name, jobs = _plan(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps([name, [asdict(job) for job in jobs]]), encoding="utf-8")
