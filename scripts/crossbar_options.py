"""Adapter of rule crossbar_options: what the choices cost that the publication leaves open."""

from adapter import start

provenance = start(snakemake)

from nonideal import show
from nonideal.pcm.options import compare_options
from nonideal.schemas import crossbar

settings = snakemake.params.settings
frame = compare_options(
    range(snakemake.params.trials),
    rows=snakemake.params.rows,
    n_slices=settings["n_slices"],
    bases=settings["bases"],
    times_s=settings["times_s"],
    seed=snakemake.params.seed,
)
show.write({"options": (frame, crossbar.OPTIONS)}, snakemake.output, provenance=provenance)
