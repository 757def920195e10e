"""Adapter of rules train and train_float: every repetition of one weight format, or of full precision."""

from adapter import finish, resume, start

provenance = start(snakemake)

from nonideal import bits, tables, tensorfile
from nonideal.schemas import training

settings = snakemake.params.settings
trained = bits.train_format(
    settings,
    snakemake.wildcards.get("format", "float"),
    snakemake.input.arrays,
    **resume(snakemake, provenance),
)
tensorfile.save_networks(trained.networks, snakemake.output.networks)
tables.write(trained.history, snakemake.output.history, training.HISTORY, provenance=provenance)
tables.write(trained.accuracy, snakemake.output.accuracy, training.ACCURACY, provenance=provenance)
if snakemake.output.get("usage"):
    tables.write(trained.usage, snakemake.output.usage, training.CODE_USAGE, provenance=provenance)
finish(snakemake)
