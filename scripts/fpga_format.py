"""Adapter of rule fpga_format: the designs of one exported spiking network, simulated and synthesised."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.fpga import study, tools
from nonideal.schemas import fpga
from nonideal.spiking.export import load

rows = study.run_format(
    snakemake.params.settings,
    snakemake.params.dataset,
    load(snakemake.input.exported),
    snakemake.output.files,
    seed=snakemake.params.seed,
)
provenance |= {"tools": tools.versions()}
tables.write(rows, snakemake.output.designs, fpga.DESIGNS, provenance=provenance)
