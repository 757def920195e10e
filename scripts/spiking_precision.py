"""Adapter of rule spiking_precision: every network, the summary over seeds, and what was verified in C."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.schemas import spiking
from nonideal.spiking import summaries

networks = tables.read(snakemake.input.precision, spiking.PRECISION)
verified = tables.read(snakemake.input.verified, spiking.VERIFIED)
tables.write(networks, snakemake.output.precision, spiking.PRECISION, provenance=provenance)
tables.write(
    summaries.precision(networks), snakemake.output.summary, spiking.PRECISION_SUMMARY, provenance=provenance
)
tables.write(verified, snakemake.output.verified, spiking.VERIFIED, provenance=provenance)
