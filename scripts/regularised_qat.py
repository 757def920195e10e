"""Adapter of rule regularised_qat: one method at every width, every repetition."""

from adapter import finish, resume, start

provenance = start(snakemake)

import pandas as pd

from nonideal import tables, tensorfile
from nonideal.regularised import job, study
from nonideal.schemas import regularised

run = job.Run.start(snakemake.params.settings, snakemake.input.arrays, **resume(snakemake, provenance))
floats = tensorfile.load(snakemake.input.networks[0])
states, rows = {}, []
for bits, repetition, state, row in study.qat(run, floats, snakemake.wildcards.method):
    states[bits, repetition] = state
    rows.append(row)
tensorfile.save(states, snakemake.output.networks)
tables.write(pd.DataFrame(rows), snakemake.output.accuracy, regularised.QAT, provenance=provenance)
finish(snakemake)
