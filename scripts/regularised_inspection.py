"""Adapter of rule regularised_inspection: levels, losses, learned multipliers and bit-serial inference."""

from adapter import start

provenance = start(snakemake)

from pathlib import Path

from nonideal import show, tensorfile
from nonideal.regularised import inspection, job, study
from nonideal.schemas import regularised

settings, seed = snakemake.params.settings, snakemake.params.seed
examples = job.examples(settings, snakemake.input.arrays, seed=seed)
run = job.Run(settings, examples, seed, folder=Path())  # nothing is trained: no checkpoints
states = tensorfile.load(snakemake.input.networks[0])
bits = max(settings["qat"]["bits"])
curves, levels = inspection.curves(study.trained(run, states, bits, 0), bits, seed=seed)
made = {
    "curves": (curves, regularised.CURVES),
    "levels": (levels, regularised.LEVELS),
    "multipliers": (inspection.multipliers(run, states), regularised.MULTIPLIERS),
    "bit_serial": (inspection.bit_serial(run, states), regularised.BIT_SERIAL),
}
show.write(made, snakemake.output, provenance=provenance)
