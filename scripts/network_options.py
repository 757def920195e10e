"""Adapter of rule network_options: what the choices cost that the literature leaves open."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tensorfile
from nonideal.pcm.network_options import compare_options
from nonideal.schemas.networks import NETWORK_OPTIONS

frame = compare_options(
    snakemake.params.settings,
    tensorfile.load(snakemake.input.network),
    snakemake.input.arrays,
    seed=snakemake.params.seed,
)
show.write({"options": (frame, NETWORK_OPTIONS)}, snakemake.output, provenance=provenance)
