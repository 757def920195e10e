"""Adapter of rule page: the run on one page."""

from pathlib import Path

from adapter import start

start(snakemake)

from nonideal import page, tables
from nonideal.schemas.published import COMPARISON

params = snakemake.params
page.write(
    page.Run(params.figures, params.tables, snakemake.config, params.configfile),
    tables.read(snakemake.input.compared, COMPARISON),
    results=Path(snakemake.output[0]).parent,
    report=Path(snakemake.input.template).parent,
    target=snakemake.output[0],
)
