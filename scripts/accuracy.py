"""Adapter of rule accuracy: one table of every network, and its mean and interval over seeds."""

from adapter import start

provenance = start(snakemake)

from nonideal import stats, tables

networks = tables.read([*snakemake.input.accuracy, *snakemake.input.post_training], "accuracy")
tables.write(networks, snakemake.output.accuracy, "accuracy", provenance=provenance)
keys = list(tables.schema("accuracy_summary").unique)
summary = stats.summarise(networks, keys, "test_accuracy").rename(columns={"count": "seeds"})
half = stats.half_width(summary["sem"], summary["seeds"])
summary = summary.assign(low=summary["mean"] - half, high=summary["mean"] + half)
tables.write(summary.drop(columns=["std", "sem"]), snakemake.output.summary, "accuracy_summary", provenance=provenance)
