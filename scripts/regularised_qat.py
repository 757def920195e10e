"""Adapter of rule regularised_qat: one method at every width, every repetition."""

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
floats = study.load(snakemake.input.networks[0])
states, rows = {}, []
for bits, repetition, state, row in study.qat(run, floats, snakemake.wildcards.method):
    states[bits, repetition] = state
    rows.append(row)
study.save(states, snakemake.output.networks)
tables.write(pd.DataFrame(rows), snakemake.output.accuracy, regularised.QAT, provenance=provenance)
shutil.rmtree(snakemake.params.progress)
