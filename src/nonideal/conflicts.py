"""Keys of a configuration that are right one by one and do not go together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nonideal.data.catalogue import SPECS
from nonideal.sections import CHIP_GROUP, ON_CHIPS, groups_of, kind_of

# Of modules that this one does not load: reading a configuration must not take seconds.
AIRBENCH_PIXELS = 9  # `models.airbench`
TORCHVISION_WIDTH = 64  # `models.large`
VGG_PIXELS = 32  # `models.large`, `models.spiking`
LSQ_BITS = 2  # as `quantize.lsq` takes: one bit has no positive level
LARGE_IMAGES = ("cifar10", "imagenet64")  # data sets of at least as many pixels a side
# Formats that a clipping is not defined for: `quantize.clipping`.
NOT_CLIPPED = {
    "octav": ("nf4", "fp130"),
    "mean": ("4bitsym", "4bit", "8bit", "fp130", "nf4"),
}
FITTED = 3  # networks that `capacity.fit` needs of each format
# Training images of data sets that are the same everywhere; of ImageNet the folders decide. Sources: LeCun et
# al. (MNIST), Cohen et al. 2017 (EMNIST), Krizhevsky 2009 (CIFAR-10); of scikit-learn's digits `data` takes
# four fifths.
TRAINING_IMAGES = {
    "digits": 1437,
    "mnist": 60_000,
    "emnist_balanced": 112_800,
    "emnist_letters": 124_800,
    "cifar10": 50_000,
}
# Pixels a side of event cameras, by `spiking.events.source`: `events.saccades`, `events.datasets`,
# `events.aedat`. Recordings of N-Caltech101 differ in size.
SENSOR_PIXELS = {"synthetic": 34, "nmnist": 34, "cifar10_dvs": 128}


def conflicts(config: Mapping[str, Any]) -> Iterator[str]:
    """A line for each conflict of a configuration that fits its schema."""
    yield from _crossbar_conflicts(config["crossbar"])
    yield from _training_conflicts(config)
    yield from _network_conflicts(config["networks"])
    yield from _other_networks_conflicts(config["networks"])
    yield from _teacher_conflicts(config["networks"])
    yield from _spiking_conflicts(config["spiking"])
    yield from _regularised_conflicts("regularised", config["regularised"])
    yield from _regularised_model_conflicts(config["regularised"])
    yield from _fpga_conflicts(config)


def _crossbar_conflicts(crossbar: Mapping[str, Any]) -> Iterator[str]:
    if crossbar["shards"] > crossbar["trials"]:
        yield (
            f"crossbar.shards = {crossbar['shards']}: at most one for each trial, "
            f"crossbar.trials = {crossbar['trials']}"
        )
    sweep = crossbar["figure_4a"]
    # One slice is the same at every base; the covariance of all of them needs two trials more.
    fitted = sum(len(sweep["bases"]) if n > 1 else 1 for n in sweep["n_slices"])
    if crossbar["trials"] < fitted + 2:
        yield (
            f"crossbar.trials = {crossbar['trials']}: the fit of Eq. 8 to the {fitted} configurations of "
            f"crossbar.figure_4a needs at least {fitted + 2}"
        )
    if fitted < 2:
        yield "crossbar.figure_4a: fitting Eq. 8 needs at least two configurations: add bases or n_slices"


def _training_conflicts(config: Mapping[str, Any]) -> Iterator[str]:
    training = config["training"]
    for study in ("firmware", "flash"):
        wanted = config[study]["formats"]
        if untrained := sorted(set(wanted) - set(training["formats"])):
            yield (
                f"{study}.formats = {wanted}: {', '.join(untrained)} not among "
                f"training.formats = {training['formats']}"
            )
    for sizes, counts in (("training", "training"), ("cnn", "cnn"), ("training", "capacity")):
        copies, size = 1 + config[counts]["augmented_copies"], config[sizes]["batch_size"]
        if size % copies:
            yield (
                f"{sizes}.batch_size = {size}: must be a multiple of {copies}, 1 + {counts}.augmented_copies"
            )
    if training["scale_range"][0] > training["scale_range"][1]:
        yield f"training.scale_range = {training['scale_range']}: the smaller end comes first"
    clippings = [(f"training.clipping.{name}", name, choice) for name, choice in training["clipping"].items()]
    scan, capacity = config["quantscale"], config["capacity"]
    clippings += [("quantscale.references", scan["format"], choice) for choice in scan["references"]]
    for key, name, choice in clippings:
        if name in NOT_CLIPPED.get(choice, ()):
            yield f"{key}: {choice} is not defined for {name}; use mse"
    if (count := len(capacity["widths"]) * capacity["seeds"]) < FITTED:
        yield f"capacity.widths times capacity.seeds = {count}: a line is fitted to {FITTED} networks or more"
    if training["milestones"] != sorted(training["milestones"]):
        yield f"training.milestones = {training['milestones']}: must ascend"


def _network_conflicts(networks: Mapping[str, Any]) -> Iterator[str]:
    recipe, chips = networks["float"], networks["deployment"]
    if chips["shards"] > groups_of(chips["chips"]):
        yield (
            f"networks.deployment.shards = {chips['shards']}: at most one for every {CHIP_GROUP} chips, "
            f"networks.deployment.chips = {chips['chips']}"
        )
    if chips["converter_quantile"] != 1 and chips["dac_bits"] is None and chips["adc_bits"] is None:
        yield (
            f"networks.deployment.converter_quantile = {chips['converter_quantile']}: goes with dac_bits or "
            "adc_bits there; without converters there is no range to set"
        )
    for network in (recipe, *(recipe | other for other in networks["others"])):
        if network["sharpness"] and network["sharpness_share"] < 1 and recipe["augmentation"] == "affine":
            yield (
                f"sharpness_share = {network['sharpness_share']}, in networks.float or networks.others: goes "
                "with networks.float.augmentation = crop_flip or none only"
            )
    if recipe["warmup_epochs"] >= recipe["epochs"]:
        yield (
            f"networks.float.warmup_epochs = {recipe['warmup_epochs']}: must be less than "
            f"networks.float.epochs = {recipe['epochs']}"
        )
    cutout = max(network.get("cutout", recipe["cutout"]) for network in (recipe, *networks["others"]))
    if cutout and recipe["augmentation"] != "crop_flip":
        yield (
            f"cutout = {cutout}, in networks.float or networks.others: goes with "
            f"networks.float.augmentation = crop_flip only, not with {recipe['augmentation']}"
        )


def _other_networks_conflicts(networks: Mapping[str, Any]) -> Iterator[str]:
    recipe, others = networks["float"], networks["others"]
    shares = [recipe["small"]["share"], *(other["small_share"] for other in others)]
    if max(shares) and recipe["small"]["pixels"] >= networks["pixels"]:
        yield (
            f"networks.float.small.pixels = {recipe['small']['pixels']}: must be less than "
            f"networks.pixels = {networks['pixels']}"
        )
    alike = [recipe | {"name": "networks.float", "architecture": networks["architecture"]}, *others]
    names = [network["name"] for network in (*others, *networks["teachers"])]
    if len(set(names)) < len(names):
        yield f"networks.others and networks.teachers: each name once, got {names}"
    for name in sorted({*names} & {*ON_CHIPS}):
        yield f"networks.others and networks.teachers: {name!r} is the name of a network on the chips"
    kinds = [(network["architecture"], kind_of(network), network.get("continued", "")) for network in alike]
    if len(set(kinds)) < len(kinds):
        yield (
            "networks.others: each architecture once from the labels and once taught, and these once more "
            f"continued from the same network, networks.architecture among them, got {kinds}"
        )
    yield from _continued_conflicts(networks["architecture"], others)
    still = [network.get("still_share", recipe["still_share"]) for network in alike]
    if max(still) and recipe["augmentation"] != "crop_flip":
        yield (
            f"networks.float.augmentation = {recipe['augmentation']}: still_share, here or in "
            "networks.others, goes with crop_flip only"
        )
    yield from _warmup_conflicts(recipe, others, "networks.others")


def _continued_conflicts(architecture: str, others: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Conflicts of networks with those that they go on from: float, or one before them in the list."""
    before = {"float": architecture}
    for other in others:
        name, start = other["name"], other.get("continued")
        if start and start not in before:
            yield (
                f"networks.others: {name} cannot continue {start!r}, only a network listed before it: "
                f"{', '.join(before)}"
            )
        elif start and _layers(other["architecture"]) < _layers(before[start]):
            yield (
                f"networks.others: {name} continues {start}, so {other['architecture']} must not be "
                f"shallower than {before[start]}"
            )
        before[name] = other["architecture"]


def _warmup_conflicts(
    recipe: Mapping[str, Any], trained: Sequence[Mapping[str, Any]], where: str
) -> Iterator[str]:
    for network in trained:
        if recipe["warmup_epochs"] >= network["epochs"]:
            yield (
                f"networks.float.warmup_epochs = {recipe['warmup_epochs']}: must be less than the epochs of "
                f"{network['name']} in {where}, {network['epochs']}"
            )


def _teacher_conflicts(networks: Mapping[str, Any]) -> Iterator[str]:
    recipe, teachers, where = networks["float"], networks["teachers"], "networks.teachers"
    own = networks["distillation"]["networks"]
    found = [(teacher["architecture"], teacher["width"]) for teacher in teachers]
    if len(set(found)) < len(found):
        yield f"{where}: each architecture and width once, got {found}"
    yield from _own_teacher_conflicts(networks, own)
    if recipe["taught"] or any(other["taught"] for other in networks["others"]):
        if not (teachers or own):
            yield f"{where}: taught networks need a teacher, here or in networks.distillation.networks"
        if recipe["augmentation"] != "crop_flip":
            yield (
                "networks.float.augmentation: taught networks need crop_flip, whose crops the teachers see, "
                f"not {recipe['augmentation']}"
            )
    yield from _warmup_conflicts(recipe, teachers, where)
    for teacher in teachers:
        if teacher["architecture"] == "airbench" and networks["pixels"] < AIRBENCH_PIXELS:
            yield (
                f"{where}: airbench needs networks.pixels of at least {AIRBENCH_PIXELS}, "
                f"not {networks['pixels']}"
            )


def _own_teacher_conflicts(networks: Mapping[str, Any], own: Sequence[str]) -> Iterator[str]:
    """Conflicts of networks that teach others: none of them may depend on what teachers say."""
    taught = {"float"} if networks["float"]["taught"] else set()
    for other in networks["others"]:  # one goes on from a network listed before it
        if other["taught"] or other.get("continued") in taught:
            taught.add(other["name"])
    known = ["float", *(other["name"] for other in networks["others"])]
    for name in own:
        if name not in known:
            yield f"networks.distillation.networks: {name!r} is none of {', '.join(known)}"
        if name in taught:
            yield (
                f"networks.distillation.networks: {name} is taught, or goes on from a network that is; "
                "no network teaches itself"
            )


def _layers(architecture: str) -> int:
    return int(architecture.removeprefix("resnet"))


def _spiking_conflicts(spiking: Mapping[str, Any]) -> Iterator[str]:
    events, regularised = spiking["events"], spiking["regularised"]
    if events["network"] == "spiking_vgg11" and events["size"] < VGG_PIXELS:
        yield f"spiking.events.size = {events['size']}: spiking_vgg11 needs at least {VGG_PIXELS} pixels"
    if events["size"] > SENSOR_PIXELS.get(events["source"], events["size"]):
        yield (
            f"spiking.events.size = {events['size']}: the sensor of {events['source']} has "
            f"{SENSOR_PIXELS[events['source']]} pixels a side, and larger frames would have empty stripes"
        )
    copies = 1 + events["augmented_copies"]
    if events["batch_size"] % copies:
        yield (
            f"spiking.events.batch_size = {events['batch_size']}: must be a multiple of {copies}, "
            "1 + spiking.events.augmented_copies"
        )
    if 0 < events["recordings"] < events["folds"]:
        yield (
            f"spiking.events.recordings = {events['recordings']}: at least one for each of "
            f"spiking.events.folds = {events['folds']}"
        )
    if regularised["seeds"] > spiking["seeds"]:
        yield (
            f"spiking.regularised.seeds = {regularised['seeds']}: at most one for each float network, "
            f"spiking.seeds = {spiking['seeds']}"
        )
    yield from _regularised_conflicts("spiking.regularised", regularised)


def _regularised_conflicts(where: str, regularised: Mapping[str, Any]) -> Iterator[str]:
    trained = regularised["qat"]["bits"]
    sections = {where: (regularised.get("methods", ()), trained)}
    if headline := regularised.get("headline"):
        sections[f"{where}.headline"] = (headline["methods"], headline["bits"])
    for section, (methods, bits) in sections.items():
        if "lsq" in methods and min(bits, default=LSQ_BITS) < LSQ_BITS:
            yield f"{section}.methods: lsq needs {LSQ_BITS} bits or more, not {min(bits)}"
    for study in ("faults", "variability", "pcm"):
        if study in regularised and (missing := sorted(set(regularised[study]["bits"]) - set(trained))):
            yield (
                f"{where}.{study}.bits: {', '.join(map(str, missing))} not among {where}.qat.bits = {trained}"
            )


def _regularised_model_conflicts(regularised: Mapping[str, Any]) -> Iterator[str]:
    model, width = regularised["model"], regularised["width"]
    if total := TRAINING_IMAGES.get(regularised["dataset"]):
        left = total - regularised["holdout"]
        if left < 1:
            yield (
                f"regularised.holdout = {regularised['holdout']}: must be less than the {total} training "
                f"images of {regularised['dataset']}"
            )
        elif left < regularised["train_images"]:
            yield (
                f"regularised.train_images = {regularised['train_images']}: {left} training images of "
                f"{regularised['dataset']} are not held out; 0 takes all of them"
            )
    if model in ("resnet18", "resnet50") and width != TORCHVISION_WIDTH:
        yield f"regularised.width = {width}: {model} has {TORCHVISION_WIDTH} channels in its first stage"
    if model == "vgg13" and regularised["dataset"] not in LARGE_IMAGES:
        yield (
            f"regularised.model = vgg13: needs images of {VGG_PIXELS} pixels, "
            f"not those of {regularised['dataset']}"
        )


def _fpga_conflicts(config: Mapping[str, Any]) -> Iterator[str]:
    exported = config["spiking"]["formats"]
    if missing := [name for name in config["fpga"]["formats"] if name not in exported]:
        yield f"fpga.formats: {', '.join(missing)} not among spiking.formats = {exported}"
    part, dataset, width = (
        config["fpga"]["parallel"],
        config["spiking"]["dataset"],
        config["spiking"]["widths"][0],
    )
    pixels = math.prod(SPECS[dataset].image_shape)  # dense networks see an image as it is
    if part["inputs"] > pixels:
        yield (
            f"fpga.parallel.inputs = {part['inputs']}: at most one for each of the {pixels} pixels of "
            f"{dataset}"
        )
    if part["neurons"] > width:
        yield (
            f"fpga.parallel.neurons = {part['neurons']}: at most one for each of the {width} of the first "
            "layer, spiking.widths"
        )
