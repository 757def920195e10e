"""Adapter of rule firmware_tables: the programs of all formats in one table each of costs and cycles."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.schemas import mcu

for name, schema in (("kernels", mcu.KERNELS_TABLE), ("cycles", mcu.CYCLES)):
    frame = tables.read(snakemake.input[name], schema)
    tables.write(frame, snakemake.output[name], schema, provenance=provenance)
