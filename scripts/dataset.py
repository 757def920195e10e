"""Adapter of rule dataset: verify a data set and convert it to one array file with a manifest."""

from pathlib import Path

from adapter import start

start(snakemake)

from nonideal import data

# Not parameters of the rule: where a data set lies does not decide whether it is converted again.
settings = snakemake.config["data"]
data.prepare(
    snakemake.wildcards.dataset,
    Path(snakemake.output.arrays).parent,
    root=settings["root"],
    allow_download=settings["download"],
    progress=True,
)
