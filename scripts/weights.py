"""Adapter of rule weights: entropy of the codes over the epochs, and first layers as images."""

from adapter import start

provenance = start(snakemake)

import pandas as pd

from nonideal import tables, tensorfile, weights
from nonideal.schemas import training

usage = tables.read(snakemake.input.usage, training.CODE_USAGE)
entropy, summary = weights.entropies(usage)
tables.write(entropy, snakemake.output.entropy, training.CODE_ENTROPY, provenance=provenance)
tables.write(summary, snakemake.output.summary, training.ENTROPY_SUMMARY, provenance=provenance)
settings = snakemake.params.settings
images = [
    weights.first_layers(settings, name, tensorfile.load_networks(path), snakemake.params.neurons)
    for name, path in zip(settings["formats"], snakemake.input.networks, strict=True)
]
tables.write(
    pd.concat(images, ignore_index=True),
    snakemake.output.first_layer,
    training.FIRST_LAYER,
    provenance=provenance,
)
