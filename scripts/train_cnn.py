"""Adapter of rule train_cnn: every repetition of one width."""

import shutil

from adapter import start

provenance = start(snakemake)

from nonideal import bits, cnn, tables
from nonideal.files import sha256
from nonideal.provenance import config_hash
from nonideal.schemas import cnn as schemas

settings = snakemake.params.settings
networks, history, accuracy = cnn.train_width(
    settings,
    int(snakemake.wildcards.channels),
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
tables.write(history, snakemake.output.history, schemas.HISTORY, provenance=provenance)
tables.write(accuracy, snakemake.output.accuracy, schemas.ACCURACY, provenance=provenance)
shutil.rmtree(snakemake.params.progress)
