"""Adapter of rule crossbar_summary: mean, spread and standard error over trials."""

from pathlib import Path

from adapter import start

provenance = start(snakemake)

from nonideal import stats, tables
from nonideal.schemas import crossbar

trials = tables.read(snakemake.input.trials, crossbar.TRIALS)
keys = list(crossbar.SUMMARY.unique)
summary = stats.summarise(trials, keys, "eta").rename(columns={"count": "trials"})
summary["half_width"] = stats.half_width(summary["sem"], summary["trials"])
tables.write(summary, snakemake.output.summary, crossbar.SUMMARY, provenance=provenance)

errors = tables.read(snakemake.input.ternarisation, crossbar.TERNARISATION)
ternarisation = stats.summarise(errors.assign(weights="ternary"), ["weights"], "eta")
tables.write(
    ternarisation.rename(columns={"count": "trials"}),
    snakemake.output.ternarisation,
    crossbar.TERNARISATION_SUMMARY,
    provenance=provenance,
)

# Shards left by a run with another number of shards would be counted twice by whoever reads the folder.
for shards in (snakemake.input.trials, snakemake.input.ternarisation):
    for path in set(Path(shards[0]).parent.glob("part-*.parquet")) - set(map(Path, shards)):
        print(f"removing {path}: a shard of an earlier division of the trials")
        path.unlink()
