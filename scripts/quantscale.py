"""Adapter of rule quantscale: the scan of the weight scale, and its means over seeds."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import quantscale, recipe, tables
from nonideal.schemas import capacity as schemas

wanted = quantscale.variants(snakemake.params.settings, snakemake.params.scan)
trained = recipe.train_variants(wanted, snakemake.input.arrays, **resume(snakemake, provenance))
networks = quantscale.measured(trained)
summary = quantscale.summarise(networks)
tables.write(networks, snakemake.output.networks, schemas.QUANTSCALE, provenance=provenance)
tables.write(summary, snakemake.output.summary, schemas.QUANTSCALE_SUMMARY, provenance=provenance)
finish(snakemake)
