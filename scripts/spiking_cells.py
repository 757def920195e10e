"""Adapter of rule spiking_cells: stuck and variable cells, means and intervals over seeds, and the claims."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tables
from nonideal.schemas import spiking_cells
from nonideal.spiking import summaries

found = summaries.cells(
    tables.read(snakemake.input.regularised, spiking_cells.NETWORKS),
    tables.read(snakemake.input.faults, spiking_cells.FAULT_RUNS),
    tables.read(snakemake.input.variability, spiking_cells.VARIABILITY_RUNS),
    snakemake.params.tolerated_loss,
)
schemas = {
    "regularised": spiking_cells.NETWORKS_SUMMARY,
    "faults": spiking_cells.FAULT_SUMMARY,
    "variability": spiking_cells.VARIABILITY_SUMMARY,
    "claims": spiking_cells.CLAIMS,
}
made = {name: (frame, schemas[name]) for name, frame in found.items()}
show.write(made, snakemake.output, provenance=provenance)
