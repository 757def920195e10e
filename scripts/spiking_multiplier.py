"""Adapter of rule spiking_multiplier: the float networks trained further with learned multipliers."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import tables
from nonideal.regularised import study
from nonideal.schemas import spiking_cells
from nonideal.spiking import hardening
from nonideal.tensorfile import load_networks

run = hardening.start(
    snakemake.params.settings,
    snakemake.input.arrays,
    **resume(snakemake, provenance),
)
states, rows = hardening.with_multipliers(run, load_networks(snakemake.input.networks))
study.save(states, snakemake.output.networks)
tables.write(rows, snakemake.output.accuracy, spiking_cells.NETWORKS, provenance=provenance)
finish(snakemake)
