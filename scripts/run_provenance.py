"""Adapter of rule provenance: what stands behind the run, with the content hash of every table shown."""

import json

from adapter import start

provenance = start(snakemake)

from nonideal import files, tables
from nonideal.pcm import device
from nonideal.provenance import code_hash

provenance["code_sha256"] = code_hash()  # of the library, without the adapters
provenance["config"] = snakemake.config
# The paper prints the device model's constants from here.
provenance["constants"] = {name: value for name, value in vars(device).items() if name.isupper()}
provenance["tables"] = {path: tables.entry(path) for path in snakemake.input.tables}
files.write_text(snakemake.output[0], json.dumps(provenance, indent=2, sort_keys=True) + "\n")
