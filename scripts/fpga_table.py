"""Adapter of rule fpga_table: the designs of all formats in one table."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tables
from nonideal.schemas import fpga

rows = tables.read(snakemake.input.designs, fpga.DESIGNS)
show.write({"designs": (rows, fpga.DESIGNS)}, snakemake.output, provenance=provenance)
