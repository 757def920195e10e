"""Adapter of rule quantscale: the scan of the weight scale, and its means over seeds."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import quantscale, tables
from nonideal.schemas import capacity as schemas

settings, scan = snakemake.params.settings, snakemake.params.scan
networks = quantscale.train_scan(
    settings,
    scan,
    snakemake.input.arrays,
    **resume(snakemake, provenance),
)
summary = quantscale.summarise(networks)
tables.write(networks, snakemake.output.networks, schemas.QUANTSCALE, provenance=provenance)
tables.write(summary, snakemake.output.summary, schemas.QUANTSCALE_SUMMARY, provenance=provenance)
finish(snakemake)
