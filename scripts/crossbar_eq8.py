"""Adapter of rule crossbar_eq8: fit Eq. 8 to the equal-fill errors and compare it with every mapping."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.pcm import analysis

trials = tables.read(snakemake.input.trials, "crossbar_trials")
fits, ratios = analysis.eq8_tables(trials.query("figure == '4a'"))
tables.write(fits, snakemake.output.fit, "eq8_fit", provenance=provenance)
tables.write(ratios, snakemake.output.ratios, "eq8_ratios", provenance=provenance)
