"""Adapter of rule spiking_verify: one weight format exported and run in C, verified to the last spike."""

from pathlib import Path

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.schemas import spiking
from nonideal.spiking.deploy import run_format
from nonideal.tensorfile import load_networks

verified = run_format(
    snakemake.params.settings,
    snakemake.wildcards.format,
    load_networks(snakemake.input.networks),
    snakemake.input.arrays,
    Path(snakemake.output.verified).parent,
    seed=snakemake.params.seed,
)
tables.write(verified, snakemake.output.verified, spiking.VERIFIED, provenance=provenance)
