# Shared by all rules: the checked configuration, paths of results, code behind them.
import csv
import difflib
import json
import math
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir).parent
# Jobs must import the library of this checkout, installed or not, whatever else is installed.
sys.path.insert(0, str(ROOT / "src"))
paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
# Programs of the environment (papermill's kernel) are found by name.
programs = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
os.environ.update(PYTHONPATH=os.pathsep.join(paths), PATH=os.pathsep.join(programs))

from nonideal import data, imports, scales
from nonideal.config import ConfigError, validate
from nonideal.mcu import fit
from nonideal.sections import ON_CHIPS, chip_shard, kind_of, other_section, teacher_section
from nonideal.spiking import recordings

try:
    validate(config, ROOT / "workflow/schemas/config.schema.json")
except ConfigError as error:
    raise WorkflowError(str(error)) from None

RUN = config["run"]

# What is shown; each study adds its own. Figure -> its tables by parameter name, table for people -> table of
# results.
FIGURES, TABLES = {}, {}

try:
    DATA_ROOT = data.data_root(config["data"]["root"])
except data.DataError as error:
    raise WorkflowError(str(error)) from None
CONVERTIBLE = [name for name in data.NAMES if name != "imagenet"]


def result(path):
    """Path of a result of this run."""
    return f"results/{RUN}/{path}"


def command():
    """Command that makes this run from the files that configure it, for page and paper."""
    given = [os.path.relpath(path) for path in workflow.overwrite_configfiles]
    # Of a file outside the checkout its name alone: where it lies is nobody's business.
    given = [Path(path).name if path.startswith(os.pardir) else path for path in given]
    single = [f"{key}={json.dumps(value)}" for key, value in workflow.config_settings.config.items()]
    options = [*(["--configfile", *given] if given else []), *(["--config", *single] if single else [])]
    return shlex.join(["snakemake", "--cores", "all", *options])


def shown(**tables):
    """Outputs for people, CSV and page, of a job's tables: key of the table among its outputs -> its target."""
    outputs = {}
    for key, table in tables.items():
        outputs[f"{key}_csv"] = result(f"tables/{table}.csv")
        outputs[f"{key}_html"] = report(
            result(f"tables/{table}.html"),
            caption=f"../report/{table}.rst",
            category="Tables",
            labels={"table": table},
        )
    return outputs


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
    """An adapter and the library behind it (and other sources): inputs, so that editing one makes the rule due."""
    shared = ROOT / "scripts/adapter.py"
    files = {shared, *imports.behind(shared)}
    for source in (f"scripts/{name}.py", *more):
        files |= {ROOT / source, *imports.behind(ROOT / source)}
    return sorted(os.path.relpath(path, os.getcwd()) for path in files)


def library():
    """Every file of the library, for what speaks of the code as a whole."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / "src/nonideal").rglob("*.py"))


def engine_sources():
    """Every source of the C engine and its targets."""
    files = (path for path in (ROOT / "firmware").rglob("*") if path.is_file())
    return sorted(os.path.relpath(path, os.getcwd()) for path in files)


def dataset(name, file="arrays.npz"):
    """Path of a prepared data set."""
    return f"resources/data/{name}/{file}"


def files_of(wildcards):
    """Names and sizes of the files a data set is made from: as found, else as recorded when it was made."""
    try:
        found = data.locate(wildcards.dataset, DATA_ROOT)
    except data.DataError as error:
        raise WorkflowError(str(error)) from None
    if found:
        return sorted([path.name, data.extent(path)] for path in found.files)
    return data.recorded_files(dataset(wildcards.dataset, "manifest.json"))
