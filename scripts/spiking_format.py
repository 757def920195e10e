"""Adapter of rule spiking_format: every float network put on one weight format, without and with training."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import tables
from nonideal.schemas import spiking
from nonideal.spiking.precision import quantise_format
from nonideal.tensorfile import load_networks, save_networks

params = snakemake.params
networks, history, precision = quantise_format(
    params.settings,
    snakemake.wildcards.format,
    load_networks(snakemake.input.networks),
    snakemake.input.arrays,
    **resume(snakemake, provenance),
)
save_networks(networks, snakemake.output.networks)
tables.write(history, snakemake.output.history, spiking.HISTORY, provenance=provenance)
tables.write(precision, snakemake.output.precision, spiking.PRECISION, provenance=provenance)
finish(snakemake)
