"""Adapter of rule show_table: a table as CSV and as a page."""

from adapter import start

start(snakemake)

from nonideal import show, tables
from nonideal.schemas.registry import declared

schema = declared(tables.facts(snakemake.input.table)["table"])
frame = tables.read(snakemake.input.table, schema)
show.to_csv(frame, snakemake.output.csv)
show.to_html(frame, schema, snakemake.output.html, title=snakemake.rule)
