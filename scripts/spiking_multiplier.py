"""Adapter of rule spiking_multiplier: the float networks trained further with learned multipliers."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import tables, tensorfile
from nonideal.schemas import spiking_cells
from nonideal.spiking import hardening

run = hardening.SpikingRun.start(
    snakemake.params.settings, snakemake.input.arrays, **resume(snakemake, provenance)
)
states, rows = hardening.with_multipliers(run, tensorfile.load_networks(snakemake.input.networks))
tensorfile.save(states, snakemake.output.networks)
tables.write(rows, snakemake.output.accuracy, spiking_cells.NETWORKS, provenance=provenance)
finish(snakemake)
