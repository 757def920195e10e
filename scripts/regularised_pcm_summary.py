"""Adapter of rule regularised_pcm_summary: means and intervals over seeds, and what multipliers gain."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tables
from nonideal.regularised import analysis
from nonideal.schemas import regularised

runs = tables.read(snakemake.input.accuracy, regularised.PCM_RUNS)
floats = tables.read([snakemake.input.floats], regularised.QAT)
frame = analysis.pcm_summary(runs, floats)
show.write({"pcm": (frame, regularised.PCM_SUMMARY)}, snakemake.output, provenance=provenance)
