"""Adapter of rule accuracy: one table of every network, and its mean and interval over seeds."""

from adapter import start

provenance = start(snakemake)

from nonideal import stats, tables
from nonideal.schemas import training

networks = tables.read([*snakemake.input.accuracy, *snakemake.input.post_training], training.ACCURACY)
tables.write(networks, snakemake.output.accuracy, training.ACCURACY, provenance=provenance)
keys = list(training.ACCURACY_SUMMARY.unique)
summary = stats.summarise(networks, keys, "test_accuracy").rename(columns={"count": "seeds"})
low, high = stats.interval(summary["mean"], summary["sem"], summary["seeds"], share=True)
summary = summary.assign(low=low, high=high)
tables.write(
    summary.drop(columns=["std", "sem"]),
    snakemake.output.summary,
    training.ACCURACY_SUMMARY,
    provenance=provenance,
)
