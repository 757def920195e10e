"""Adapter of rule regularised_pcm: every method and time for one kind of levels."""

from adapter import finish, resume, start

provenance = start(snakemake)

import pandas as pd

from nonideal import tables, tensorfile
from nonideal.regularised import job, pcm_cells
from nonideal.schemas import regularised

run = job.Run.start(snakemake.params.settings, snakemake.input.arrays, **resume(snakemake, provenance))
states = tensorfile.load(snakemake.input.networks[0])
frame = pd.DataFrame(pcm_cells.with_pcm(run, states, snakemake.wildcards.levels))
tables.write(frame, snakemake.output.accuracy, regularised.PCM_RUNS, provenance=provenance)
finish(snakemake)
