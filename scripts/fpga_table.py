"""Adapter of rule fpga_table: the designs of all formats in one table."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.schemas import fpga

rows = tables.read(snakemake.input.designs, fpga.DESIGNS)
tables.write(rows, snakemake.output[0], fpga.DESIGNS, provenance=provenance)
