"""Adapter of rule spiking_format: every float network put on one weight format, without and with training."""

import shutil

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.bits import load_networks, save_networks
from nonideal.files import sha256
from nonideal.provenance import config_hash
from nonideal.schemas import spiking
from nonideal.spiking.precision import quantise_format

params = snakemake.params
depends = {"code": provenance["code_sha256"], "settings": params.settings, "seed": params.seed}
files = [sha256(snakemake.input.manifest), sha256(snakemake.input.networks)]
networks, history, precision = quantise_format(
    params.settings,
    snakemake.wildcards.format,
    load_networks(snakemake.input.networks),
    snakemake.input.arrays,
    seed=params.seed,
    progress=params.progress,
    fingerprint=config_hash(depends | {"data": files}),
)
save_networks(networks, snakemake.output.networks)
tables.write(history, snakemake.output.history, spiking.HISTORY, provenance=provenance)
tables.write(precision, snakemake.output.precision, spiking.PRECISION, provenance=provenance)
# The job of a killed run may still be at work here, and remove its checkpoints at the same moment.
shutil.rmtree(params.progress, ignore_errors=True)
