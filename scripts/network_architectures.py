"""Adapter of rule network_architectures: accuracies of all networks trained in full precision."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables, tensorfile
from nonideal.pcm import network_analysis, network_training
from nonideal.schemas.network_architectures import NETWORK_ARCHITECTURES
from nonideal.schemas.network_history import NETWORK_HISTORY

histories = [tables.read(path, NETWORK_HISTORY) for path in snakemake.input.histories]
mirrored = [
    network_training.mirrored_accuracy(settings, tensorfile.load(path), snakemake.input.arrays)
    for settings, path in zip(snakemake.params.settings, snakemake.input.networks, strict=True)
]
table = network_analysis.architecture_table(histories, mirrored)
tables.write(table, snakemake.output[0], NETWORK_ARCHITECTURES, provenance=provenance)
