"""Adapter of rule formats: accuracy and costs of every weight format in one table."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.mcu.formats import format_table
from nonideal.schemas import mcu, training

others = {
    name: tables.read(path, training.ACCURACY)
    for name, path in zip(snakemake.params.others, snakemake.input.others, strict=True)
}
table = format_table(
    tables.read(snakemake.input.kernels, mcu.KERNELS_TABLE),
    tables.read(snakemake.input.accuracy, training.ACCURACY),
    others,
)
tables.write(table, snakemake.output[0], mcu.FORMATS, provenance=provenance)
