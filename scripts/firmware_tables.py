"""Adapter of rule firmware_tables: accuracy and costs of every weight format, one table each."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tables
from nonideal.mcu.formats import format_table
from nonideal.schemas import mcu, training

kernels = tables.read(snakemake.input.kernels, mcu.KERNELS_TABLE)
others = {
    name: tables.read(path, training.ACCURACY)
    for name, path in zip(snakemake.params.others, snakemake.input.others, strict=True)
}
formats = format_table(kernels, tables.read(snakemake.input.accuracy, training.ACCURACY), others)
made = {
    "kernels": (kernels, mcu.KERNELS_TABLE),
    "cycles": (tables.read(snakemake.input.cycles, mcu.CYCLES), mcu.CYCLES),
    "formats": (formats, mcu.FORMATS),
}
show.write(made, snakemake.output, provenance=provenance)
