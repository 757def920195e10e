"""Adapter of rule regularised_headline: the main statements on the crossbars' network."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import tables, tensorfile
from nonideal.regularised import headline
from nonideal.schemas import regularised

run = headline.HeadlineRun.start(
    snakemake.params.settings, snakemake.input.arrays, **resume(snakemake, provenance)
)
frame = headline.frame(headline.rows(run, tensorfile.load(snakemake.input.network)))
tables.write(frame, snakemake.output.networks, regularised.HEADLINE_RUNS, provenance=provenance)
tables.write(
    headline.summary(frame), snakemake.output.summary, regularised.HEADLINE_SUMMARY, provenance=provenance
)
finish(snakemake)
