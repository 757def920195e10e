"""Adapter of rule spiking_recordings: recordings of an event camera as frames, in one file."""

from adapter import start

start(snakemake)

from nonideal.spiking import recordings

# Not a parameter of the rule: where the recordings lie does not decide whether they are read again.
root = snakemake.config["data"]["root"]
frames = recordings.prepare(
    snakemake.params.settings, snakemake.input.get("arrays"), seed=snakemake.params.seed, root=root
)
recordings.save(frames, snakemake.output.frames, snakemake.params.files)
