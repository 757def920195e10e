"""Adapter of rule network_architectures: accuracies of all networks trained in full precision."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.pcm import network_analysis
from nonideal.schemas.network_architectures import NETWORK_ARCHITECTURES
from nonideal.schemas.network_history import NETWORK_HISTORY

histories = [
    tables.read(path, NETWORK_HISTORY) for path in snakemake.input if path.endswith("history.parquet")
]
table = network_analysis.architecture_table(histories)
tables.write(table, snakemake.output[0], NETWORK_ARCHITECTURES, provenance=provenance)
