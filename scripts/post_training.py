"""Adapter of rule post_training: the float networks with quantised weights, without further training."""

from adapter import start

provenance = start(snakemake)

from nonideal import bits, tables, tensorfile
from nonideal.schemas import training

networks = tensorfile.load_networks(snakemake.input.networks)
accuracy = bits.quantise_after_training(snakemake.params.settings, networks, snakemake.input.arrays)
tables.write(accuracy, snakemake.output[0], training.ACCURACY, provenance=provenance)
