"""Adapter of rule quantscale: the scan of the weight scale, and its means over seeds."""

import shutil

from adapter import start

provenance = start(snakemake)

from nonideal import bits, quantscale, tables
from nonideal.schemas import capacity as schemas

settings, scan = snakemake.params.settings, snakemake.params.scan
networks = quantscale.train_scan(
    settings,
    scan,
    snakemake.input.arrays,
    seed=snakemake.params.seed,
    progress=snakemake.params.progress,
    fingerprint=bits.fingerprint(
        provenance, {**settings, "study": scan}, seed=snakemake.params.seed, manifest=snakemake.input.manifest
    ),
)
summary = quantscale.summarise(networks)
tables.write(networks, snakemake.output.networks, schemas.QUANTSCALE, provenance=provenance)
tables.write(summary, snakemake.output.summary, schemas.QUANTSCALE_SUMMARY, provenance=provenance)
shutil.rmtree(snakemake.params.progress)
