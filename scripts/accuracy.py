"""Adapter of rule accuracy: one table of every network, and its mean and interval over seeds."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, stats, tables
from nonideal.schemas import training

networks = tables.read([*snakemake.input.accuracy, *snakemake.input.post_training], training.ACCURACY)
keys = list(training.ACCURACY_SUMMARY.unique)
summary = stats.summarise(networks, keys, "test_accuracy").rename(columns={"count": "seeds"})
low, high = stats.interval(summary["mean"], summary["sem"], summary["seeds"], share=True)
summary = summary.assign(low=low, high=high).drop(columns=["std", "sem"])
made = {"accuracy": (networks, training.ACCURACY), "summary": (summary, training.ACCURACY_SUMMARY)}
show.write(made, snakemake.output, provenance=provenance)
