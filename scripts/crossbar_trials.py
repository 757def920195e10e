"""Adapter of rule crossbar_trials: one shard of Monte Carlo trials, every configuration of every figure."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.pcm.crossbar import Options
from nonideal.pcm.sweeps import run, sweeps, ternarisation
from nonideal.schemas import crossbar

settings = snakemake.params.settings
options = Options(
    rows=settings["rows"],
    ec_targets=settings["ec_targets"],
    read_noise_norm=settings["read_noise_norm"],
)
trials = range(*snakemake.params.trials)
frame = run(sweeps(settings), trials, seed=snakemake.params.seed, options=options)
tables.write(frame, snakemake.output.trials, crossbar.TRIALS, provenance=provenance)
error = ternarisation(trials, seed=snakemake.params.seed, options=options)
tables.write(error, snakemake.output.ternarisation, crossbar.TERNARISATION, provenance=provenance)
