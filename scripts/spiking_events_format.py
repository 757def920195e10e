"""Adapter of rule spiking_events_format: cross-validation of one weight format on recordings."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import tables
from nonideal.schemas import spiking
from nonideal.spiking.crossvalidation import run_format

params = snakemake.params
events = run_format(
    params.settings,
    snakemake.wildcards.format,
    snakemake.input.frames,
    threads=params.threads,
    device=params.device,
    **resume(snakemake, provenance),
)
tables.write(events, snakemake.output.events, spiking.EVENTS, provenance=provenance)
finish(snakemake)
