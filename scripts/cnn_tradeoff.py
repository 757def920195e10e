"""Adapter of rule cnn_tradeoff: every width in one table each, and all networks beside what was published."""

from adapter import start

provenance = start(snakemake)

from nonideal import cnn_tradeoff, show, tables
from nonideal.schemas import cnn as schemas
from nonideal.schemas import mcu

parts = (("accuracy", schemas.ACCURACY), ("kernels", schemas.KERNELS_TABLE), ("cycles", schemas.CYCLES))
made = {name: (tables.read(snakemake.input[name], schema), schema) for name, schema in parts}
table = cnn_tradeoff.tradeoff(
    made["accuracy"][0],
    made["kernels"][0],
    tables.read(snakemake.input.formats, mcu.FORMATS),
    tables.read(snakemake.input.programs, mcu.KERNELS_TABLE),
    snakemake.input.published,
)
show.write(made | {"tradeoff": (table, schemas.TRADEOFF)}, snakemake.output, provenance=provenance)
