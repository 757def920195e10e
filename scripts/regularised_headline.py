"""Adapter of rule regularised_headline: the main statements on the crossbars' network."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import show, tensorfile
from nonideal.regularised import headline
from nonideal.schemas import regularised

run = headline.HeadlineRun.start(
    snakemake.params.settings, snakemake.input.arrays, **resume(snakemake, provenance)
)
frame = headline.frame(headline.rows(run, tensorfile.load(snakemake.input.network)))
made = {
    "networks": (frame, regularised.HEADLINE_RUNS),
    "summary": (headline.summary(frame), regularised.HEADLINE_SUMMARY),
}
show.write(made, snakemake.output, provenance=provenance)
finish(snakemake)
