"""Adapter of rule spiking_events_format: cross-validation of one weight format on recordings."""

import shutil

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.files import sha256
from nonideal.provenance import config_hash
from nonideal.schemas import spiking
from nonideal.spiking.crossvalidation import run_format

params = snakemake.params
depends = {"code": provenance["code_sha256"], "settings": params.settings, "seed": params.seed}
events = run_format(
    params.settings,
    snakemake.wildcards.format,
    snakemake.input.frames,
    threads=params.threads,
    device=params.device,
    seed=params.seed,
    progress=params.progress,
    fingerprint=config_hash(depends | {"data": sha256(snakemake.input.frames)}),
)
tables.write(events, snakemake.output.events, spiking.EVENTS, provenance=provenance)
# The job of a killed run may still be at work here, and remove its checkpoints at the same moment.
shutil.rmtree(params.progress, ignore_errors=True)
