"""Adapter of rule firmware_cnn: one width on the microcontroller, verified to the last bit."""

from pathlib import Path

from adapter import start

provenance = start(snakemake)

from nonideal import cnn, tables, tensorfile
from nonideal.schemas import cnn as schemas

kernels, cycles = cnn.run_width(
    snakemake.params.settings,
    int(snakemake.wildcards.channels),
    tensorfile.load_networks(snakemake.input.networks),
    snakemake.input.arrays,
    Path(snakemake.output.kernels).parent,
    seed=snakemake.params.seed,
)
tables.write(kernels, snakemake.output.kernels, schemas.KERNELS_TABLE, provenance=provenance)
tables.write(cycles, snakemake.output.cycles, schemas.CYCLES, provenance=provenance)
