"""Adapter of rule draw: execute a figure's notebook and render it as a page that opens offline."""

from pathlib import Path

from adapter import start

start(snakemake)

from nonideal import notebooks

tables = {name: str(path) for name, path in snakemake.input.items() if name not in ("notebook", "code")}
notebooks.execute(
    snakemake.input.notebook,
    snakemake.output.notebook,
    parameters={"tables": tables, "stem": str(Path(snakemake.output.svg).with_suffix(""))},
    failed=Path(snakemake.log[0]).with_suffix(".failed.ipynb"),
)
notebooks.to_html(snakemake.output.notebook, snakemake.output.html)
