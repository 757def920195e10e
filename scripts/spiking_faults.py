"""Adapter of rule spiking_faults: every mode and rate at one width and share of stuck-at-1."""

from adapter import finish, resume, start

provenance = start(snakemake)

import pandas as pd

from nonideal import tables, tensorfile
from nonideal.regularised import cell_study
from nonideal.schemas import regularised, spiking_cells
from nonideal.spiking import hardening

run = hardening.SpikingRun.start(
    snakemake.params.settings, snakemake.input.arrays, **resume(snakemake, provenance)
)
states = tensorfile.load(snakemake.input.networks)
bits, p_stuck1 = int(snakemake.wildcards.bits), float(snakemake.wildcards.p_stuck1)
frame = pd.DataFrame(cell_study.with_faults(run, states, bits, p_stuck1))
tables.write(frame, snakemake.output.accuracy, spiking_cells.FAULT_RUNS, provenance=provenance)
maps = cell_study.stored_maps(run, states, bits, p_stuck1)
tables.write(maps, snakemake.output.maps, regularised.CELL_MAP, provenance=provenance)
finish(snakemake)
