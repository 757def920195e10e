"""Adapter of rule regularised_variability: one method at every variability."""

import shutil

from adapter import start

provenance = start(snakemake)

import pandas as pd

from nonideal import tables
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
frame = pd.DataFrame(study.with_variability(run, states, snakemake.wildcards.method))
tables.write(frame, snakemake.output.accuracy, regularised.VARIABILITY_RUNS, provenance=provenance)
shutil.rmtree(snakemake.params.progress)
