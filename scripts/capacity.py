"""Adapter of rule capacity: networks of several widths and formats, and the power law of their losses."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import capacity, recipe, show
from nonideal.schemas import capacity as schemas

wanted = capacity.variants(snakemake.params.settings, snakemake.params.capacity)
trained = recipe.train_variants(wanted, snakemake.input.arrays, **resume(snakemake, provenance))
networks = capacity.measured(trained)
made = {
    "networks": (networks, schemas.CAPACITY),
    "fit": (capacity.fit(networks), schemas.CAPACITY_FIT),
    "equal_loss": (capacity.equal_loss(networks), schemas.EQUAL_LOSS),
}
show.write(made, snakemake.output, provenance=provenance)
finish(snakemake)
