"""Adapter of rule flash_summary: means and intervals over seeds."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.mcu import fault_summary
from nonideal.schemas import mcu

frame = fault_summary.summary(tables.read(snakemake.input.accuracy, mcu.FLASH_RUNS))
tables.write(frame, snakemake.output[0], mcu.FLASH_SUMMARY, provenance=provenance)
