"""Adapter of rule regularised_variability: one method at every variability."""

from adapter import finish, resume, start

provenance = start(snakemake)

import pandas as pd

from nonideal import tables
from nonideal.regularised import study
from nonideal.schemas import regularised

run = study.start(
    snakemake.params.settings,
    snakemake.input.arrays,
    **resume(snakemake, provenance),
)
states = study.load(snakemake.input.networks[0])
frame = pd.DataFrame(study.with_variability(run, states, snakemake.wildcards.method))
tables.write(frame, snakemake.output.accuracy, regularised.VARIABILITY_RUNS, provenance=provenance)
finish(snakemake)
