"""Adapter of rule capacity: networks of several widths and formats, and the power law of their losses."""

import shutil

from adapter import start

provenance = start(snakemake)

from nonideal import bits, capacity, tables
from nonideal.schemas import capacity as schemas

settings, study = snakemake.params.settings, snakemake.params.capacity
networks = capacity.train_networks(
    settings,
    study,
    snakemake.input.arrays,
    seed=snakemake.params.seed,
    progress=snakemake.params.progress,
    fingerprint=bits.fingerprint(
        provenance,
        {**settings, "study": study},
        seed=snakemake.params.seed,
        manifest=snakemake.input.manifest,
    ),
)
tables.write(networks, snakemake.output.networks, schemas.CAPACITY, provenance=provenance)
tables.write(capacity.fit(networks), snakemake.output.fit, schemas.CAPACITY_FIT, provenance=provenance)
tables.write(
    capacity.equal_loss(networks), snakemake.output.equal_loss, schemas.EQUAL_LOSS, provenance=provenance
)
shutil.rmtree(snakemake.params.progress)
