"""Adapter of rule cnn_tradeoff: every width in one table each, and all networks beside what was published."""

from adapter import start

provenance = start(snakemake)

from nonideal import cnn_tradeoff, tables
from nonideal.schemas import cnn as schemas
from nonideal.schemas import mcu

parts = (("accuracy", schemas.ACCURACY), ("kernels", schemas.KERNELS_TABLE), ("cycles", schemas.CYCLES))
frames = {name: tables.read(snakemake.input[name], schema) for name, schema in parts}
for name, schema in parts:
    tables.write(frames[name], snakemake.output[name], schema, provenance=provenance)
table = cnn_tradeoff.tradeoff(
    frames["accuracy"],
    frames["kernels"],
    tables.read(snakemake.input.formats, mcu.FORMATS),
    tables.read(snakemake.input.programs, mcu.KERNELS_TABLE),
    snakemake.input.published,
)
tables.write(table, snakemake.output.tradeoff, schemas.TRADEOFF, provenance=provenance)
