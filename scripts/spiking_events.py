"""Adapter of rule spiking_events: one table of every fold, and its summary."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.schemas import spiking
from nonideal.spiking import summaries

events = tables.read(snakemake.input.events, spiking.EVENTS)
tables.write(events, snakemake.output.events, spiking.EVENTS, provenance=provenance)
tables.write(
    summaries.events(events), snakemake.output.summary, spiking.EVENTS_SUMMARY, provenance=provenance
)
