"""Adapter of rule train_other: another architecture in full precision, to compare accuracies."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import tables, tensorfile
from nonideal.pcm import network_training
from nonideal.schemas import network_history

state, history = network_training.train_network(
    snakemake.params.settings | {"architecture": snakemake.wildcards.architecture},
    "float",
    snakemake.input.arrays,
    initial=None,
    **resume(snakemake, provenance),
)
tensorfile.save(state, snakemake.output.network)
tables.write(history, snakemake.output.history, network_history.NETWORK_HISTORY, provenance=provenance)
finish(snakemake)
