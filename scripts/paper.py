"""Adapter of rule paper: typeset the paper; every number in it is read from the run's tables."""

from pathlib import Path

from adapter import start

start(snakemake)

from nonideal import typesetting

typesetting.compile_paper(
    snakemake.input.source,
    snakemake.output[0],
    results=Path(snakemake.output[0]).parent,
    config=dict(snakemake.params.config) | {"command": snakemake.params.command},
)
