"""Adapter of rule spiking_precision: every network, and the summary over seeds."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tables
from nonideal.schemas import spiking
from nonideal.spiking import summaries

networks = tables.read(snakemake.input.precision, spiking.PRECISION)
made = {
    "precision": (networks, spiking.PRECISION),
    "summary": (summaries.precision(networks), spiking.PRECISION_SUMMARY),
}
show.write(made, snakemake.output, provenance=provenance)
