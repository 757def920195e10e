"""Adapter of rule network_architectures: accuracies of all networks trained in full precision."""

from adapter import start

provenance = start(snakemake)

from nonideal import tables
from nonideal.pcm import network_analysis
from nonideal.schemas.network_architectures import NETWORK_ARCHITECTURES
from nonideal.schemas.network_history import NETWORK_HISTORY

histories = [tables.read(path, NETWORK_HISTORY) for path in snakemake.input.histories]
mirrored = [float("nan")] * len(histories)
# All have the same augmentation. The imports are not above: with no network to run, the job needs no PyTorch.
if snakemake.params.settings[0]["float"]["augmentation"] == "crop_flip":
    from nonideal import tensorfile
    from nonideal.pcm import network_training

    states = [tensorfile.load(path) for path in snakemake.input.networks]
    mirrored = network_training.mirrored_accuracies(snakemake.params.settings, states, snakemake.input.arrays)
table = network_analysis.architecture_table(histories, mirrored)
tables.write(table, snakemake.output[0], NETWORK_ARCHITECTURES, provenance=provenance)
