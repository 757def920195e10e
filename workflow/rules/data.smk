# Data sets: verified and converted once into a compact array file with a manifest, shared by all runs.
from nonideal import data

DATA_ROOT = config["data"]["root"] or os.environ.get("NONIDEAL_DATA")


def dataset(name, file="arrays.npz"):
    """Path of a prepared data set."""
    return f"resources/data/{name}/{file}"


def source_files(wildcards):
    """Local files a data set is read from; none if it is bundled with a library or to be downloaded."""
    try:
        found = data.locate(wildcards.dataset, DATA_ROOT)
    except data.DataError as error:
        raise WorkflowError(str(error)) from None
    return [str(path) for path in found.files] if found else []


rule dataset:
    input:
        sources=source_files,
        code=code("dataset"),
    output:
        arrays=dataset("{dataset}"),
        manifest=dataset("{dataset}", "manifest.json"),
    log:
        "resources/logs/dataset/{dataset}.log",
    benchmark:
        "resources/benchmarks/dataset/{dataset}.tsv"
    wildcard_constraints:
        dataset="|".join(name for name in data.NAMES if name != "imagenet"),
    threads: 2
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        root=DATA_ROOT,
        download=config["data"]["download"],
    message:
        "data: verify and convert {wildcards.dataset}"
    script:
        adapter("dataset")
