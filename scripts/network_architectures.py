"""Adapter of rule network_architectures: accuracies of all networks trained in full precision."""

from adapter import start

provenance = start(snakemake)

from nonideal import show, tables
from nonideal.pcm import network_analysis
from nonideal.schemas.network_architectures import NETWORK_ARCHITECTURES
from nonideal.schemas.network_history import NETWORK_HISTORY

histories = {
    name: tables.read(path, NETWORK_HISTORY)
    for name, path in zip(snakemake.params.names, snakemake.input.histories, strict=True)
}
mirrored = [float("nan")] * len(histories)
# All have the same augmentation. The imports are not above: with no network to run, the job needs no PyTorch.
if snakemake.params.settings[0]["float"]["augmentation"] == "crop_flip":
    from nonideal import tensorfile
    from nonideal.pcm import network_training

    states = [tensorfile.load(path) for path in snakemake.input.networks]
    mirrored = network_training.mirrored_accuracies(snakemake.params.settings, states, snakemake.input.arrays)
starts = [settings.get("start", "") for settings in snakemake.params.settings]
table = network_analysis.architecture_table(histories, mirrored, starts)
show.write({"architectures": (table, NETWORK_ARCHITECTURES)}, snakemake.output, provenance=provenance)
