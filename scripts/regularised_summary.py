"""Adapter of rule regularised_summary: means and intervals over seeds, and the claims."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tables
from nonideal.regularised import analysis, verdicts
from nonideal.schemas import regularised

networks = tables.read(snakemake.input.qat, regularised.QAT)
faults = tables.read(snakemake.input.faults, regularised.FAULT_RUNS)
variability = tables.read(snakemake.input.variability, regularised.VARIABILITY_RUNS)
floats = networks[networks["method"] == "float"]
made = {
    "qat": (analysis.qat_summary(networks), regularised.QAT_SUMMARY),
    "faults": (analysis.fault_summary(faults, floats), regularised.FAULT_SUMMARY),
    "variability": (analysis.variability_summary(variability, floats), regularised.VARIABILITY_SUMMARY),
    "claims": (
        verdicts.claims(networks, faults, variability, snakemake.params.tolerated_loss),
        regularised.CLAIMS,
    ),
}
show.write(made, snakemake.output, provenance=provenance)
