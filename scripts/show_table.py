"""Adapter of rule show_table: a table as CSV and as a page."""

from adapter import start

start(snakemake)

from nonideal import show, tables

name = tables.facts(snakemake.input.table)["table"]
frame = tables.read(snakemake.input.table, name)
show.to_csv(frame, snakemake.output.csv)
show.to_html(frame, name, snakemake.output.html, title=snakemake.wildcards.table)
