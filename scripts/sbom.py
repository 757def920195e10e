"""Adapter of rule sbom: the packages of the environment that made the run, and their licences."""

from adapter import start

start(snakemake)

from nonideal import sbom

sbom.write(snakemake.output.sbom, snakemake.output.licences)
