"""Adapter of rule spiking_float: every repetition of the float network."""

import shutil

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.bits import save_networks
from nonideal.files import sha256
from nonideal.provenance import config_hash
from nonideal.schemas import spiking
from nonideal.spiking.precision import train_float

params = snakemake.params
depends = {"code": provenance["code_sha256"], "settings": params.settings, "seed": params.seed}
networks, history, precision = train_float(
    params.settings,
    snakemake.input.arrays,
    seed=params.seed,
    progress=params.progress,
    fingerprint=config_hash(depends | {"data": sha256(snakemake.input.manifest)}),
)
save_networks(networks, snakemake.output.networks)
tables.write(history, snakemake.output.history, spiking.HISTORY, provenance=provenance)
tables.write(precision, snakemake.output.precision, spiking.PRECISION, provenance=provenance)
# The job of a killed run may still be at work here, and remove its checkpoints at the same moment.
shutil.rmtree(params.progress, ignore_errors=True)
