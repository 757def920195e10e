"""Adapter of rule flash_summary: means and intervals over seeds."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tables
from nonideal.mcu import fault_summary
from nonideal.schemas import mcu

frame = fault_summary.summary(tables.read(snakemake.input.accuracy, mcu.FLASH_RUNS))
show.write({"faults": (frame, mcu.FLASH_SUMMARY)}, snakemake.output, provenance=provenance)
