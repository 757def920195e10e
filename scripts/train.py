"""Adapter of rule train: every repetition of one weight format."""

import shutil

from adapter import start

provenance = start(snakemake)

from nonideal import bits, tables
from nonideal.files import sha256
from nonideal.provenance import config_hash
from nonideal.schemas import training

settings = snakemake.params.settings
networks, history, accuracy = bits.train_format(
    settings,
    snakemake.wildcards.format,
    snakemake.input.arrays,
    seed=snakemake.params.seed,
    progress=snakemake.params.progress,
    fingerprint=config_hash(
        {
            "code": provenance["code_sha256"],
            "settings": settings,
            "seed": snakemake.params.seed,
            "data": sha256(snakemake.input.manifest),
        }
    ),
)
bits.save_networks(networks, snakemake.output.networks)
tables.write(history, snakemake.output.history, training.HISTORY, provenance=provenance)
tables.write(accuracy, snakemake.output.accuracy, training.ACCURACY, provenance=provenance)
# The job of a killed run may still be at work here, and remove its checkpoints at the same moment.
shutil.rmtree(snakemake.params.progress, ignore_errors=True)
