"""Adapter of rule crossbar_crossover: when does the mapping with the lower error change?"""

from adapter import start

provenance = start(snakemake)

from nonideal import rng, tables
from nonideal.pcm import analysis

trials = tables.read(snakemake.input.trials, "crossbar_trials")
frame = analysis.crossover_table(
    trials.query("figure == '4c'"), rng=rng.stream(snakemake.params.seed, "crossbar", "crossover")
)
tables.write(frame, snakemake.output[0], "crossover", provenance=provenance)
