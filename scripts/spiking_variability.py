"""Adapter of rule spiking_variability: one method at every variability."""

from adapter import finish, resume, start

provenance = start(snakemake)

import pandas as pd

from nonideal import tables, tensorfile
from nonideal.regularised import cell_study
from nonideal.schemas import spiking_cells
from nonideal.spiking import hardening

run = hardening.SpikingRun.start(
    snakemake.params.settings, snakemake.input.arrays, **resume(snakemake, provenance)
)
states = tensorfile.load(snakemake.input.networks)
frame = pd.DataFrame(cell_study.with_variability(run, states, snakemake.wildcards.method))
tables.write(frame, snakemake.output.accuracy, spiking_cells.VARIABILITY_RUNS, provenance=provenance)
finish(snakemake)
