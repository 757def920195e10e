# Shared by all rules: the checked configuration, result paths, input functions.
import csv
import os
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
from nonideal.config import (
    ON_CHIPS,
    ConfigError,
    chip_shard,
    kind_of,
    other_section,
    teacher_section,
    validate,
)
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


def accelerator(section):
    """Resource that asks a cluster for a GPU, where a section of the configuration names one."""
    return {"gres": "gpu:1"} if section.get("device") == "cuda" else {}


def event_files(wildcards):
    """Names and sizes of the files of an event camera's recordings; an error now if they will be missed."""
    made = Path(result("spiking/events/frames.npz")).exists()
    try:
        return recordings.source_files(config["spiking"]["events"]["source"], DATA_ROOT, required=not made)
    except data.DataError as error:
        raise WorkflowError(str(error)) from None


def images(name):
    """Inputs of a job that uses a data set: its manifest, and the arrays whatever their time stamp."""
    return {"manifest": dataset(name, "manifest.json"), "arrays": ancient(dataset(name))}


def trials_of(wildcards):
    """First and one past the last trial of a shard; shards differ by one trial at most."""
    trials = config["crossbar"]["trials"]
    return [trials * (int(wildcards.shard) + step) // SHARDS for step in (0, 1)]


def shards(folder):
    """Paths of every shard of a table."""
    return [result(f"crossbar/{folder}/part-{shard:04d}.parquet") for shard in range(SHARDS)]


def tables_of(figure):
    """Tables a figure's notebook reads, by the name of its parameter."""
    return {name: result(path) for name, path in FIGURES[figure].items()}


def published_tables():
    """Tables that the list of published values is compared with, those of this run's tracks only."""
    with open(ROOT / "config/published.csv", newline="", encoding="utf-8") as file:
        return sorted({row["table"] for row in csv.DictReader(file) if row["table"]})


def networks_before(wildcards):
    """What a training starts from: the network that it goes on from, or teachers' lessons."""
    start = "float" if wildcards.get("network", "float") != "float" else None
    if other := wildcards.get("other"):
        start = OTHERS[other].get("continued")
    if start:
        folder = start if start == "float" else f"others/{start}"
        return {"initial": result(f"networks/{folder}/network.pt")}
    taught = recipe_of(wildcards)["float"]["taught"]
    return {"lessons": rules.teacher_lessons.output[0]} if taught else {}


def chips_of(wildcards):
    """First and one past the last chip of a shard."""
    return chip_shard(CHIPS["chips"], CHIPS["shards"], int(wildcards.shard))


def trained_for(wildcards):
    """Networks of a format at the widths of its program."""
    folder = "firmware/training" if wildcards.format in OTHER_WIDTHS else "training"
    return result(f"{folder}/{wildcards.format}/networks.pt")


def recipe_of(wildcards):
    """Settings that the training of one network depends on: of those for chips, of another, or of a teacher."""
    if teacher := wildcards.get("teacher"):
        return TEACHERS[teacher]
    noise = ["noise"] if wildcards.get("network", "float") != "float" else []
    used = {key: NETWORKS[key] for key in [*DESCRIBED_BY, "float", *noise]}
    if other := wildcards.get("other"):
        used = other_section(used, OTHERS[other])
    return used | ({"distillation": NETWORKS["distillation"]} if used["float"]["taught"] else {})


def threads_of(recipe):
    """Threads of the training in full precision with these settings."""
    return recipe["float"]["threads"] or NETWORKS["threads"]


def in_full_precision(file):
    """A file of the folder of each network trained in full precision."""
    folders = [
        "float",
        *(f"others/{other}" for other in OTHERS),
        *(f"teachers/{teacher}" for teacher in TEACHERS),
    ]
    return [result(f"networks/{folder}/{file}") for folder in folders]


def chip_settings(without=("chips", "shards")):
    """Settings that the simulation of one chip depends on."""
    deployment = {key: value for key, value in CHIPS.items() if key not in without}
    return {key: NETWORKS[key] for key in DESCRIBED_BY} | {"deployment": deployment}


def settings_for(wildcards):
    """Training settings of a format's program."""
    return NETWORK_SETTINGS | {"widths": WIDTHS.get(wildcards.format, TRAINING["widths"])}
