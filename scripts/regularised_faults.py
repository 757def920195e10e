"""Adapter of rule regularised_faults: every mode and rate at one width and share of stuck-at-1."""

import shutil

from adapter import start

provenance = start(snakemake)

import pandas as pd

from nonideal import cellmaps, tables
from nonideal.files import sha256
from nonideal.provenance import config_hash
from nonideal.regularised import study
from nonideal.schemas import regularised

run = study.start(
    snakemake.params.settings,
    snakemake.input.arrays,
    seed=snakemake.params.seed,
    progress=snakemake.params.progress,
    fingerprint=config_hash(
        {
            "code": provenance["code_sha256"],
            "settings": snakemake.params.settings,
            "seed": snakemake.params.seed,
            "data": sha256(snakemake.input.manifest),
            "start": [sha256(path) for path in snakemake.input.get("networks", [])],
        }
    ),
)
states = study.load(snakemake.input.networks[0])
bits, p_stuck1 = int(snakemake.wildcards.bits), float(snakemake.wildcards.p_stuck1)
frame = pd.DataFrame(study.with_faults(run, states, bits, p_stuck1))
tables.write(frame, snakemake.output.accuracy, regularised.FAULT_RUNS, provenance=provenance)
cellmaps.write(study.stored_maps(run, states, bits, p_stuck1), snakemake.output.maps)
shutil.rmtree(snakemake.params.progress)
