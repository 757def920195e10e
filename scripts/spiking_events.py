"""Adapter of rule spiking_events: one table of every fold, and its summary."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tables
from nonideal.schemas import spiking
from nonideal.spiking import summaries

events = tables.read(snakemake.input.events, spiking.EVENTS)
made = {"events": (events, spiking.EVENTS), "summary": (summaries.events(events), spiking.EVENTS_SUMMARY)}
show.write(made, snakemake.output, provenance=provenance)
