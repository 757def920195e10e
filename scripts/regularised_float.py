"""Adapter of rule regularised_float: full-precision networks of every repetition."""

from adapter import finish, resume, start

provenance = start(snakemake)

import pandas as pd

from nonideal import tables, tensorfile
from nonideal.regularised import job, study
from nonideal.schemas import regularised

run = job.Run.start(snakemake.params.settings, snakemake.input.arrays, **resume(snakemake, provenance))
states, rows = {}, []
for repetition, state, row in study.full_precision(run):
    states[repetition] = state
    rows.append(row)
tensorfile.save(states, snakemake.output.networks)
tables.write(pd.DataFrame(rows), snakemake.output.accuracy, regularised.QAT, provenance=provenance)
finish(snakemake)
