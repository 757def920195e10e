# What every rule shares: the checked configuration, result paths, and library files as inputs.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir).parent
# Jobs must import the library of this checkout, installed or not, whatever else is installed.
sys.path.insert(0, str(ROOT / "src"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
# Programs of the environment (papermill, jupyter) are called by name.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

from nonideal import imports
from nonideal.config import ConfigError, validate

try:
    validate(config, ROOT / "workflow/schemas/config.schema.json")
except ConfigError as error:
    raise WorkflowError(str(error)) from None

RUN = config["run"]


def result(path):
    """Path of a result of this run."""
    return f"results/{RUN}/{path}"


def log_of(name):
    """Path of a rule's log."""
    return f"results/{RUN}/logs/{name}.log"


def timing_of(name):
    """Path of a rule's measured time and memory."""
    return f"results/{RUN}/benchmarks/{name}.tsv"


def adapter(name):
    """Script of a rule, as a path from the rule files' folder."""
    return f"../../scripts/{name}.py"


def code(name, *more):
    """Library files behind an adapter (and other sources): inputs, so that editing one makes the rule due."""
    shared = ROOT / "scripts/adapter.py"
    files = {shared, *imports.behind(shared), *imports.behind(ROOT / f"scripts/{name}.py")}
    for source in more:
        files |= {ROOT / source, *imports.behind(ROOT / source)}
    return sorted(os.path.relpath(path, os.getcwd()) for path in files)
