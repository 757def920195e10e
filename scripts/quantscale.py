"""Adapter of rule quantscale: the scan of the weight scale, and its means over seeds."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import quantscale, recipe, show
from nonideal.schemas import capacity as schemas

wanted = quantscale.variants(snakemake.params.settings, snakemake.params.scan)
trained = recipe.train_variants(wanted, snakemake.input.arrays, **resume(snakemake, provenance))
networks = quantscale.measured(trained)
made = {
    "networks": (networks, schemas.QUANTSCALE),
    "summary": (quantscale.summarise(networks), schemas.QUANTSCALE_SUMMARY),
}
show.write(made, snakemake.output, provenance=provenance)
finish(snakemake)
