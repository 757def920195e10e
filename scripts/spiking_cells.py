"""Adapter of rule spiking_cells: stuck and variable cells, means and intervals over seeds, and the claims."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.schemas import spiking
from nonideal.spiking import hardening

made = hardening.summaries(
    tables.read(snakemake.input.regularised, spiking.REGULARISED_RUNS),
    tables.read(snakemake.input.faults, spiking.FAULT_RUNS),
    tables.read(snakemake.input.variability, spiking.VARIABILITY_RUNS),
    snakemake.params.tolerated_loss,
)
schemas = {
    "regularised": spiking.REGULARISED_SUMMARY,
    "faults": spiking.FAULT_SUMMARY,
    "variability": spiking.VARIABILITY_SUMMARY,
    "claims": spiking.CLAIMS,
}
for name, frame in made.items():
    tables.write(frame, snakemake.output[name], schemas[name], provenance=provenance)
