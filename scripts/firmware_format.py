"""Adapter of rule firmware_format: one weight format on the microcontroller, verified to the last bit."""

from pathlib import Path

from adapter import start

provenance = start(snakemake)

from nonideal import tables, tensorfile
from nonideal.mcu.study import run_format
from nonideal.schemas import mcu

kernels, cycles = run_format(
    snakemake.params.settings,
    snakemake.wildcards.format,
    tensorfile.load_networks(snakemake.input.networks),
    snakemake.input.arrays,
    Path(snakemake.output.kernels).parent,
    seed=snakemake.params.seed,
)
tables.write(kernels, snakemake.output.kernels, mcu.KERNELS_TABLE, provenance=provenance)
tables.write(cycles, snakemake.output.cycles, mcu.CYCLES, provenance=provenance)
