"""Adapter of rule verify: check every file of the run; the job fails if one is not as it was written."""

import sys

from adapter import start

start(snakemake)

from nonideal import verify

if verify.show(snakemake.params.run):
    sys.exit(f"{snakemake.params.run} is not as it was written: see the problems above")
