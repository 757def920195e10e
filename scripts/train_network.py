"""Adapter of rules train_network and train_other: one network, for the crossbars or to compare accuracies."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import tables, tensorfile, training
from nonideal.pcm import network_training
from nonideal.schemas import network_history

settings = snakemake.params.settings
initial, lessons = (snakemake.input.get(name) for name in ("initial", "lessons"))
state, history = network_training.train_network(
    settings,
    snakemake.params.network,
    snakemake.input.arrays,
    initial=tensorfile.load(initial) if initial else None,
    lessons=training.Lessons(**tensorfile.load(lessons)) if lessons else None,
    **resume(snakemake, provenance),
)
tensorfile.save(state, snakemake.output.network)
tables.write(history, snakemake.output.history, network_history.NETWORK_HISTORY, provenance=provenance)
finish(snakemake)
