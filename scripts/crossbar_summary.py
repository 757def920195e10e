"""Adapter of rule crossbar_summary: mean, spread and standard error over trials, Eq. 8, crossovers."""

from adapter import start

provenance = start(snakemake)

from nonideal import rng, show, stats, tables
from nonideal.pcm import analysis
from nonideal.schemas import crossbar

trials = tables.read(snakemake.input.trials, crossbar.TRIALS)
summary = stats.summarise(trials, list(crossbar.SUMMARY.unique), "eta").rename(columns={"count": "trials"})
summary["half_width"] = stats.half_width(summary["sem"], summary["trials"])
errors = tables.read(snakemake.input.ternarisation, crossbar.TERNARISATION)
ternarisation = stats.summarise(errors.assign(weights="ternary"), ["weights"], "eta")
fits, ratios = analysis.eq8_tables(trials.query("figure == '4a'"))
crossover = analysis.crossover_table(
    trials.query("figure == '4c'"), rng=rng.stream(snakemake.params.seed, "crossbar", "crossover")
)
ternary = analysis.ternary_table(trials.query("figure == 'ternary'"))
made = {
    "summary": (summary, crossbar.SUMMARY),
    "ternarisation": (ternarisation.rename(columns={"count": "trials"}), crossbar.TERNARISATION_SUMMARY),
    "ternary": (ternary, crossbar.TERNARY),
    "eq8_fit": (fits, crossbar.EQ8_FIT),
    "eq8_ratios": (ratios, crossbar.EQ8_RATIOS),
    "crossover": (crossover, crossbar.CROSSOVER),
}
show.write(made, snakemake.output, provenance=provenance)
tables.remove_other_shards([*snakemake.input.trials, *snakemake.input.ternarisation])
