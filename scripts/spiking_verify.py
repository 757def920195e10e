"""Adapter of rule spiking_verify: every weight format exported and run in C, verified to the last spike."""

from pathlib import Path

from adapter import start

provenance = start(snakemake)

from nonideal import show
from nonideal.schemas import spiking
from nonideal.spiking.deploy import run_formats
from nonideal.tensorfile import load_networks

formats = snakemake.params.formats
verified = run_formats(
    snakemake.params.settings,
    {name: load_networks(path) for name, path in zip(formats, snakemake.input.networks, strict=True)},
    snakemake.input.arrays,
    Path(snakemake.output.verified).parent,
    seed=snakemake.params.seed,
)
show.write({"verified": (verified, spiking.VERIFIED)}, snakemake.output, provenance=provenance)
