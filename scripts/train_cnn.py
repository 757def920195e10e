"""Adapter of rule train_cnn: every repetition of one width."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import cnn, tables, tensorfile
from nonideal.schemas import cnn as schemas

settings = snakemake.params.settings
networks, history, accuracy = cnn.train_width(
    settings,
    int(snakemake.wildcards.channels),
    snakemake.input.arrays,
    **resume(snakemake, provenance),
)
tensorfile.save_networks(networks, snakemake.output.networks)
tables.write(history, snakemake.output.history, schemas.HISTORY, provenance=provenance)
tables.write(accuracy, snakemake.output.accuracy, schemas.ACCURACY, provenance=provenance)
finish(snakemake)
