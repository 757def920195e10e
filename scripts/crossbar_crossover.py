"""Adapter of rule crossbar_crossover: when the mapping with the lower error changes."""

from adapter import start

provenance = start(snakemake)

from nonideal import rng, tables
from nonideal.pcm import analysis
from nonideal.schemas import crossbar

trials = tables.read(snakemake.input.trials, crossbar.TRIALS)
frame = analysis.crossover_table(
    trials.query("figure == '4c'"), rng=rng.stream(snakemake.params.seed, "crossbar", "crossover")
)
tables.write(frame, snakemake.output[0], crossbar.CROSSOVER, provenance=provenance)
