"""Adapter of rule network_chips: one shard of chips of one network, every configuration and time."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables, tensorfile
from nonideal.pcm import networks
from nonideal.schemas.networks import NETWORK_CHIPS

frame = networks.run(
    snakemake.params.settings,
    snakemake.wildcards.network,
    tensorfile.load(snakemake.input.network),
    snakemake.input.arrays,
    range(*snakemake.params.chips),
    seed=snakemake.params.seed,
)
tables.write(frame, snakemake.output[0], NETWORK_CHIPS, provenance=provenance)
