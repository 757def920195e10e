"""Adapter of rule spiking_float: every repetition of the float network."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import tables
from nonideal.schemas import spiking
from nonideal.spiking.precision import train_float
from nonideal.tensorfile import save_networks

params = snakemake.params
networks, history, precision = train_float(
    params.settings,
    snakemake.input.arrays,
    **resume(snakemake, provenance),
)
save_networks(networks, snakemake.output.networks)
tables.write(history, snakemake.output.history, spiking.HISTORY, provenance=provenance)
tables.write(precision, snakemake.output.precision, spiking.PRECISION, provenance=provenance)
finish(snakemake)
