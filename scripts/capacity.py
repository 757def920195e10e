"""Adapter of rule capacity: networks of several widths and formats, and the power law of their losses."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import capacity, recipe, tables
from nonideal.schemas import capacity as schemas

wanted = capacity.variants(snakemake.params.settings, snakemake.params.capacity)
trained = recipe.train_variants(wanted, snakemake.input.arrays, **resume(snakemake, provenance))
networks = capacity.measured(trained)
tables.write(networks, snakemake.output.networks, schemas.CAPACITY, provenance=provenance)
tables.write(capacity.fit(networks), snakemake.output.fit, schemas.CAPACITY_FIT, provenance=provenance)
tables.write(
    capacity.equal_loss(networks), snakemake.output.equal_loss, schemas.EQUAL_LOSS, provenance=provenance
)
finish(snakemake)
