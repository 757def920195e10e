"""Adapter of rule flash_faults: stuck bits in flash, every method and rate for one format and kernel."""

from adapter import finish, resume, start

provenance = start(snakemake)

import pandas as pd

from nonideal import tables, tensorfile
from nonideal.mcu import fault_study
from nonideal.schemas import mcu, regularised

job = fault_study.start(
    snakemake.params.settings | {"flash": snakemake.params.flash},
    snakemake.wildcards.format,
    snakemake.wildcards.kernel,
    snakemake.input.arrays,
    **resume(snakemake, provenance),
)
networks = tensorfile.load_networks(snakemake.input.networks)
frame = pd.DataFrame(fault_study.run(job, networks))
tables.write(frame, snakemake.output.accuracy, mcu.FLASH_RUNS, provenance=provenance)
maps = fault_study.stored_map(job, networks)
tables.write(maps, snakemake.output.maps, regularised.CELL_MAP, provenance=provenance)
finish(snakemake)
