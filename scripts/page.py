"""Adapter of rule page: the run on one page."""

import json
from pathlib import Path

from adapter import start

start(snakemake)

from nonideal import page, tables
from nonideal.schemas.published import COMPARISON

params = snakemake.params
made = json.loads(Path(snakemake.input.provenance).read_text(encoding="utf-8"))["tables"]
page.write(
    page.Run(params.figures, params.tables, snakemake.config, made, params.command),
    tables.read(snakemake.input.compared, COMPARISON),
    results=Path(snakemake.output[0]).parent,
    report=Path(snakemake.input.template).parent,
    target=snakemake.output[0],
)
