"""Adapter of rule crossbar_eq8: fit Eq. 8 to the equal-fill errors and compare it with every mapping."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.pcm import analysis
from nonideal.schemas import crossbar

trials = tables.read(snakemake.input.trials, crossbar.TRIALS)
fits, ratios = analysis.eq8_tables(trials.query("figure == '4a'"))
tables.write(fits, snakemake.output.fit, crossbar.EQ8_FIT, provenance=provenance)
tables.write(ratios, snakemake.output.ratios, crossbar.EQ8_RATIOS, provenance=provenance)
