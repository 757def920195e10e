"""Adapter of rule network_references: networks without hardware, and their learning curves."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tables, tensorfile
from nonideal.pcm import networks
from nonideal.schemas.network_history import NETWORK_HISTORY
from nonideal.schemas.networks import NETWORK_CURVES, NETWORK_REFERENCES

names, paths = snakemake.params.networks, snakemake.input.networks
states = {name: tensorfile.load(path) for name, path in zip(names, paths, strict=True)}
frame = networks.references(
    snakemake.params.settings, states, snakemake.input.arrays, seed=snakemake.params.seed
)
# Without wall times: the same seed gives the same table.
curves = tables.read(snakemake.input.histories, NETWORK_HISTORY).drop(columns="seconds")
made = {"references": (frame, NETWORK_REFERENCES), "history": (curves, NETWORK_CURVES)}
show.write(made, snakemake.output, provenance=provenance)
