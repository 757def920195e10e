"""Adapter of rule train_widths: one weight format at widths of its own, in all three ways of training."""

from pathlib import Path

from adapter import finish, resume, start

provenance = start(snakemake)

import pandas as pd

from nonideal import bits, tables, tensorfile
from nonideal.schemas import training

name, settings = snakemake.wildcards.format, snakemake.params.settings
kept = resume(snakemake, provenance)
progress = Path(kept["progress"])
trained = {
    kind: bits.train_format(settings, kind, snakemake.input.arrays, **kept | {"progress": progress / kind})
    for kind in ("float", name)
}
after = bits.quantise_after_training(
    settings | {"formats": [name]}, trained["float"].networks, snakemake.input.arrays
)
tensorfile.save_networks(trained[name].networks, snakemake.output.networks)
accuracy = pd.concat([*(kind.accuracy for kind in trained.values()), after], ignore_index=True)
tables.write(accuracy, snakemake.output.accuracy, training.ACCURACY, provenance=provenance)
finish(snakemake)
