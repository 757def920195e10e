"""Adapter of rule train_network: one network for the crossbars."""

import shutil

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.files import sha256
from nonideal.pcm import network_training
from nonideal.provenance import config_hash
from nonideal.schemas import network_history

settings = snakemake.params.settings
initial = snakemake.input.get("initial")
state, history = network_training.train_network(
    settings,
    snakemake.wildcards.network,
    snakemake.input.arrays,
    initial=network_training.read(initial) if initial else None,
    seed=snakemake.params.seed,
    progress=snakemake.params.progress,
    fingerprint=config_hash(
        {
            "code": provenance["code_sha256"],
            "settings": settings,
            "seed": snakemake.params.seed,
            "data": sha256(snakemake.input.manifest),
            "initial": sha256(initial) if initial else None,
        }
    ),
)
network_training.save(state, snakemake.output.network)
tables.write(history, snakemake.output.history, network_history.NETWORK_HISTORY, provenance=provenance)
shutil.rmtree(snakemake.params.progress)
