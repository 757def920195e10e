"""Adapter of rule teacher_lessons: what the teachers say of crops of the training images."""

from adapter import start

start(snakemake)

from nonideal import tensorfile
from nonideal.pcm import network_training

lessons = network_training.teach(
    snakemake.params.settings,
    [tensorfile.load(path) for path in snakemake.input.networks],
    snakemake.input.arrays,
    views=snakemake.params.views,
    seed=snakemake.params.seed,
)
tensorfile.save(lessons._asdict(), snakemake.output[0])
