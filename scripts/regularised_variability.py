"""Adapter of rule regularised_variability: one method at every variability."""

from adapter import finish, resume, start

provenance = start(snakemake)

import pandas as pd

from nonideal import tables, tensorfile
from nonideal.regularised import cell_study, job
from nonideal.schemas import regularised

run = job.Run.start(snakemake.params.settings, snakemake.input.arrays, **resume(snakemake, provenance))
states = tensorfile.load(snakemake.input.networks[0])
frame = pd.DataFrame(cell_study.with_variability(run, states, snakemake.wildcards.method))
tables.write(frame, snakemake.output.accuracy, regularised.VARIABILITY_RUNS, provenance=provenance)
finish(snakemake)
