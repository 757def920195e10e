"""Adapter of rule compare_published_values: every published value beside ours."""

from adapter import start

provenance = start(snakemake)

from nonideal import compare, show, tables
from nonideal.published import read_published
from nonideal.schemas.crossbar import TRIALS
from nonideal.schemas.published import COMPARISON
from nonideal.schemas.registry import declared

ours = {
    name: tables.read(path, declared(tables.facts(path)["table"]))
    for name, path in zip(snakemake.params.tables, snakemake.input.tables, strict=True)
}
published = read_published(snakemake.input.published)
trials = {"crossbar/summary.parquet": tables.read(snakemake.input.trials, TRIALS)}
frame = compare.compare(published, ours, snakemake.params.scale, trials)
show.write({"compared": (frame, COMPARISON)}, snakemake.output, provenance=provenance)
