"""Adapter of rule dataset: verify a data set and convert it to one array file with a manifest."""

from pathlib import Path

from adapter import start

start(snakemake)

from nonideal import data

data.prepare(
    snakemake.wildcards.dataset,
    Path(snakemake.output.arrays).parent,
    root=snakemake.params.root,
    allow_download=snakemake.params.download,
    progress=True,
)
