"""Adapter of rule manifest: size and SHA-256 of every file of the run."""

from pathlib import Path

from adapter import start

start(snakemake)

from nonideal import manifest

written = manifest.write(Path(snakemake.output[0]).parent)
print(f"{len(written['files'])} files")
