"""Adapter of rule network_summary: means, paired differences and crossovers over all chips."""

from adapter import start

provenance = start(snakemake)

from nonideal import rng, show, tables
from nonideal.pcm import network_analysis
from nonideal.schemas import networks

chips = tables.read(snakemake.input.chips, networks.NETWORK_CHIPS)
references = tables.read(snakemake.input.references, networks.NETWORK_REFERENCES)
generator = rng.stream(snakemake.params.seed, "networks", "crossover")
made = {
    "summary": (network_analysis.summary_table(chips, references), networks.NETWORK_SUMMARY),
    "differences": (network_analysis.difference_table(chips, references), networks.NETWORK_DIFFERENCES),
    "crossover": (network_analysis.crossover_table(chips, rng=generator), networks.NETWORK_CROSSOVER),
}
show.write(made, snakemake.output, provenance=provenance)
tables.remove_other_shards(snakemake.input.chips)
