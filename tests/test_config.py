import copy
import re
from itertools import pairwise

import pytest
import torch
import yaml
from snakemake.utils import update_config

from nonideal.config import ConfigError, validate
from nonideal.conflicts import NOT_CLIPPED, SENSOR_PIXELS, TRAINING_IMAGES
from nonideal.data import load as load_data
from nonideal.events import aedat, saccades
from nonideal.mcu.limits import MAX_INPUTS
from nonideal.pcm.networks import GROUP
from nonideal.quantize.clipping import CLIPPINGS
from nonideal.quantize.formats import FORMATS
from nonideal.schemas.network_history import NETWORKS
from nonideal.sections import CHIP_GROUP, ON_CHIPS, chip_shard, groups_of, kind_of, other_section

# Files on top of config.yaml, the last of which names the run.
SHIPPED = {
    "config": ["config"],
    "reduced": ["reduced"],
    "bitnetmcu": ["bitnetmcu"],
    "paper": ["paper"],
    "paper_vgg13": ["paper", "paper_vgg13"],
    "paper_imagenet": ["paper_imagenet"],
    "paper_imagenet_resnet50": ["paper_imagenet", "paper_imagenet_resnet50"],
}


@pytest.fixture
def schema(root):
    return root / "workflow/schemas/config.schema.json"


def load(root, name):
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    for part in SHIPPED[name]:
        update_config(config, yaml.safe_load((root / f"config/{part}.yaml").read_text()))
    return config


TEACHER = {
    "name": "one", "architecture": "resnet8", "width": 8, "epochs": 9, "batch_size": 50, "learning_rate": 0.1,
    "threads": 2,
}  # fmt: skip
OTHER = {
    "name": "more", "architecture": "resnet20", "epochs": 9, "small_share": 0, "averaging_epochs": 0,
    "taught": False,
}  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_fit(root, schema, name):
    validate(load(root, name), schema)


def test_shipped_runs_have_names_of_their_own(root):
    assert len({load(root, name)["run"] for name in SHIPPED}) == len(SHIPPED)
    assert {path.stem for path in (root / "config").glob("*.yaml")} == {*SHIPPED}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "crossbar.trails",
            5,
            r"unknown key 'crossbar.trails': did you mean 'trials'\? known keys here are .*rows",
        ),
        ("crossbar.figure_4a.base", [1], r"unknown key 'crossbar.figure_4a.base': did you mean 'bases'"),
        ("sede", 5, r"unknown key 'sede': did you mean 'seed'"),
        ("crossbar.trials", "many", r"crossbar.trials = 'many': expected integer \(Monte Carlo trials"),
        ("crossbar.trials", 1, r"crossbar.trials = 1: minimum 2"),
        ("training.learning_rate", 0, r"training.learning_rate = 0: exclusiveMinimum 0"),
        ("training.formats", ["5bit"], r"training.formats.0 = '5bit': allowed are binary, ternary"),
        (
            "crossbar.ec_targets",
            "bound",
            r"crossbar.ec_targets = 'bound': allowed are unbounded, physical, same_sign",
        ),
        (
            "crossbar.figure_4a.times_s",
            [10, 20],
            r"times_s.0 = 10: minimum 20 \(time after programming, in seconds",
        ),
        ("crossbar.figure_4a.times_s", [40], r"times_s = \[40\]: contains"),
        ("crossbar.figure_4b.times_s", [20, 1e12], r"times_s.1 = 1000000000000.0: maximum 31536000000"),
        ("run", "a/b", r"run = 'a/b': pattern"),
        ("run", "reference", r"run = 'reference' is not allowed \(name of the run"),
        ("crossbar.figure_4a.bases", [2], r"figure_4a.bases = \[2\]: contains .*1 must be among them"),
        ("crossbar.figure_4c.n_slices", [1], r"figure_4c.n_slices = \[1\]: contains .*above 1 must be among"),
        (
            "crossbar.trials",
            8,
            r"crossbar.trials = 8: the fit of Eq. 8 to the 7 configurations .* at least 9",
        ),
        ("crossbar.shards", 301, r"crossbar.shards = 301: at most one for each trial, crossbar.trials = 300"),
        (
            "training.batch_size",
            127,
            r"training.batch_size = 127: must be a multiple of 2, 1 \+ training.aug",
        ),
        ("spiking.formats", ["q3.3"], r"spiking.formats.0 = 'q3.3': allowed are q8.8"),
        ("regularised.pcm.bits", [6], r"regularised.pcm.bits: 6 not among regularised.qat.bits"),
        ("cnn.batch_size", 127, r"cnn.batch_size = 127: must be a multiple of 2, 1 \+ cnn.aug"),
        ("capacity.augmented_copies", 2, r"batch_size = 128: must be a multiple of 3, 1 \+ capacity.aug"),
        ("flash.formats", ["8bit", "4bit"], r"flash.formats = .*: 8bit not among training.formats"),
        ("training.scale_range", [1.1, 0.9], r"scale_range = \[1.1, 0.9\]: the smaller end comes first"),
        ("training.milestones", [0.8, 0.5], r"training.milestones = \[0.8, 0.5\]: must ascend"),
        ("training.learning_rate", float("nan"), r"training.learning_rate = nan: expected a finite number"),
        ("crossbar.trials", 1000.0, r"crossbar.trials = 1000.0: expected integer"),
        ("regularised.qat.bits", [4, 3, 1], r"regularised.methods: lsq needs 2 bits or more, not 1"),
        (
            "regularised.headline",
            {"methods": ["multiplier", "lsq"], "bits": [1]},
            r"regularised.headline.methods: lsq needs 2 bits or more, not 1",
        ),
        ("flash.rates", [0], r"flash.rates = \[0\]: contains .*; one above 0 must be among them"),
        ("regularised.faults.rates", [0], r"regularised.faults.rates = \[0\]: contains .*above 0 must be"),
        ("spiking.regularised.faults.rates", [0], r"spiking.regularised.faults.rates = \[0\]: contains "),
        ("flash.rates", [0], r"flash.rates = \[0\]: contains .*; one above 0 must be among them"),
        ("regularised.faults.rates", [0], r"regularised.faults.rates = \[0\]: contains .*above 0 must be"),
        ("spiking.regularised.faults.rates", [0], r"spiking.regularised.faults.rates = \[0\]: contains "),
        ("flash.rates", [0, float("nan")], r"flash.rates.1 = nan: expected a finite number"),
        (
            "networks.deployment.converter_quantile",
            0.9,
            r"converter_quantile = 0.9: goes with dac_bits or adc",
        ),
        ("networks.deployment.shards", 5, r"shards = 5: at most one for every 5 chips, .*chips = 20"),
        (
            "networks.float",
            {"sharpness": 0.1, "sharpness_share": 0.5},
            r"sharpness_share = 0.5, in networks.float or .*: goes with .* crop_flip or none only",
        ),
        (
            "networks.others",
            [OTHER | {"sharpness": 0.1, "sharpness_share": 0.25}],
            r"sharpness_share = 0.25, in .* networks.others: goes with .* crop_flip or none only",
        ),
        ("networks.float.epochs", 2, r"warmup_epochs = 2: must be less than networks.float.epochs = 2"),
        (
            "networks.float.cutout",
            8,
            r"cutout = 8, in networks.float .*: goes with .* crop_flip only, not with affine",
        ),
        ("networks.others", [OTHER | {"cutout": 4}], r"cutout = 4, in .* networks.others: goes with .* crop"),
        ("networks.others", [OTHER | {"batch_size": 65}], r"networks.others.0.batch_size = 65"),
        (
            "networks.others",
            [OTHER | {"architecture": "resnet8"}],
            r"networks.others: each architecture once from the labels and .*'resnet8', 'labels'",
        ),
        (
            "networks.others",
            [OTHER | {"continued": "float"}, OTHER | {"name": "same", "continued": "float"}],
            r"each architecture once from the labels and once taught, and .*'resnet20', 'continued', 'float'",
        ),
        (
            "networks.others",
            [
                OTHER | {"continued": "float", "taught": True},
                OTHER | {"name": "same", "continued": "float", "taught": True},
            ],
            r"these once more continued from the same network, .*'resnet20', 'taught', 'float'",
        ),
        (
            "networks.others",
            [OTHER | {"continued": "later"}, OTHER | {"name": "later"}],
            r"networks.others: more cannot continue 'later', only a network listed before it: float",
        ),
        ("networks.others", [OTHER | {"name": "float"}], r"'float' is the name of a network on the chips"),
        ("networks.teachers", [TEACHER | {"name": "ternary"}], r"'ternary' is the name of a network on the"),
        (
            "networks.others",
            [OTHER | {"still_share": 0.5}],
            r"networks.float.augmentation = affine: still_share, here or in networks.others, goes with",
        ),
        (
            "networks.others",
            [OTHER | {"sharpness": -1}],
            r"networks.others.0.sharpness = -1",
        ),
        (
            "networks.others",
            [OTHER, OTHER | {"architecture": "resnet32"}],
            r"networks.others and networks.teachers: each name once, got .*more",
        ),
        (
            "networks.others",
            [OTHER | {"epochs": 2}],
            r"warmup_epochs = 2: must be less than the epochs of more in networks.others, 2",
        ),
        (
            "networks.others",
            [OTHER | {"taught": True}],
            r"networks.teachers: taught networks need a teacher, here or in networks.distillation.networks",
        ),
        (
            "networks.float.taught",
            True,
            r"networks.float.augmentation: taught networks need crop_flip, .* not affine",
        ),
        ("networks.others", ["resnet20"], r"networks.others.0 = 'resnet20': expected object"),
        (
            "networks.float.small",
            {"share": 0.5, "pixels": 16},
            r"small.pixels = 16: must be less than networks.pixels = 16",
        ),
        (
            "networks.teachers",
            [TEACHER | {"epochs": 1}],
            r"warmup_epochs = 2: must be less than the epochs of one in networks.teachers, 1",
        ),
        (
            "networks.teachers",
            [TEACHER, TEACHER | {"width": 9}],
            r"networks.others and networks.teachers: each name once, got .*one",
        ),
        (
            "networks.teachers",
            [TEACHER, TEACHER | {"name": "two"}],
            r"teachers: each architecture and width once, got .*resnet8",
        ),
        ("networks.teachers", [TEACHER | {"name": "../up"}], r"teachers.0.name = '../up': pattern"),
        ("networks.teachers", ["resnet8"], r"networks.teachers.0 = 'resnet8': expected object"),
        ("spiking.events.augmented_copies", 2, r"spiking.events.batch_size = 40: must be a multiple of 3"),
        ("spiking.events.recordings", 4, r"at least one for each of spiking.events.folds = 5"),
        (
            "spiking.regularised.seeds",
            6,
            r"spiking.regularised.seeds = 6: at most one for each float network, spiking.seeds = 5",
        ),
        ("spiking.regularised.faults.bits", [4, 3], r"spiking.regularised.faults.bits: 3 not among spiking."),
        (
            "spiking.events",
            {"network": "spiking_vgg11", "size": 31},
            r"spiking.events.size = 31: spiking_vgg11 needs at least 32 pixels",
        ),
        (
            "regularised",
            {"model": "resnet18", "width": 32},
            r"regularised.width = 32: resnet18 has 64 channels",
        ),
        (
            "regularised",
            {"model": "vgg13", "dataset": "mnist"},
            r"regularised.model = vgg13: needs images of 32 pixels, not those of mnist",
        ),
        (
            "regularised.holdout",
            1437,
            r"regularised.holdout = 1437: must be less than the 1437 training images of digits",
        ),
        (
            "regularised.train_images",
            1238,
            r"regularised.train_images = 1238: 1237 training images of digits are not held out; 0 takes",
        ),
        (
            "spiking.events.size",
            35,
            r"spiking.events.size = 35: the sensor of synthetic has 34 pixels a side",
        ),
        (
            "spiking.events",
            {"source": "nmnist", "size": 48},
            r"spiking.events.size = 48: the sensor of nmnist has 34 pixels a side",
        ),
        (
            "spiking.events",
            {"source": "cifar10_dvs", "size": 129},
            r"spiking.events.size = 129: the sensor of cifar10_dvs has 128 pixels a side",
        ),
        (
            "fpga.parallel",
            {"inputs": 65},
            r"fpga.parallel.inputs = 65: at most one for each of the 64 pixels of digits",
        ),
        ("spiking.widths", [MAX_INPUTS + 1], r"spiking.widths.0 = 65536: maximum 65535"),
        ("regularised.methods", ["multiplier"], r"regularised.methods = .*: contains .*fixed"),
        ("regularised.methods", ["fixed"], r"regularised.methods = .*: contains .*multiplier"),
        (
            "capacity",
            {"widths": [8, 16], "seeds": 1},
            r"capacity.widths times capacity.seeds = 2: a line is fitted to 3 networks",
        ),
        (
            "quantscale",
            {"format": "nf4", "references": ["octav"]},
            r"quantscale.references: octav is not defined for nf4; use mse",
        ),
        ("training.clipping", {"4bit": "mean"}, r"training.clipping.4bit: mean is not defined for 4bit"),
        ("seed", -1, r"seed = -1: minimum 0"),
        ("data.root", 3, r"data.root = 3: expected string or null"),
    ],
)
def test_mistakes_are_named(root, schema, path, value, message):
    config = load(root, "config")
    *parents, key = path.split(".")
    section = config
    for parent in parents:
        section = section[parent]
    mapping = isinstance(value, dict) and isinstance(section[key], dict)
    section[key] = section[key] | value if mapping else value
    if path == "flash.formats":
        config["training"]["formats"].remove("8bit")
        config["firmware"]["formats"].remove("8bit")
    with pytest.raises(ConfigError, match=message):
        validate(config, schema)


def test_all_mistakes_are_reported_at_once(root, schema):
    config = copy.deepcopy(load(root, "config"))
    config["seed"], config["typo"] = -1, 1
    del config["crossbar"]["rows"]
    with pytest.raises(ConfigError) as error:
        validate(config, schema)
    text = str(error.value)
    assert "missing key 'crossbar.rows'" in text and "unknown key 'typo'" in text and "seed = -1" in text


def test_each_mistake_is_reported_once(root, schema):
    config = load(root, "config")
    del config["flash"]["rates"], config["flash"]["ramp"]
    config["typo"], config[3] = 1, 1  # YAML reads `3: 1` as a number's
    with pytest.raises(ConfigError) as error:
        validate(config, schema)
    named = re.findall(r"(?:missing|unknown) key '[\w.]+'", str(error.value))
    assert named == [
        "unknown key '3'",
        "unknown key 'typo'",
        "missing key 'flash.ramp'",
        "missing key 'flash.rates'",
    ]


def keys(schema, path=()):
    for name, part in schema.get("properties", {}).items():
        yield (*path, name), part
        yield from keys(part, (*path, name))


def test_schema_is_closed_and_documented(root, schema):
    import json

    declared = json.loads(schema.read_text())
    readme = (root / "config/README.md").read_text()
    for path, part in keys(declared):
        assert part.get("description"), path
        if part.get("type") == "object":
            assert part["additionalProperties"] is False, path
        else:
            assert f"`{'.'.join(path)}`" in readme, f"config/README.md does not explain {'.'.join(path)}"


def test_a_fit_needs_two_configurations(root, schema):
    config = load(root, "config")
    config["crossbar"]["figure_4a"] |= {"n_slices": [2], "bases": [1]}
    with pytest.raises(ConfigError, match="at least two configurations"):
        validate(config, schema)


def test_images_too_small_for_a_teacher_are_named(root):
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    config["networks"] |= {"pixels": 8, "teachers": [TEACHER | {"architecture": "airbench"}]}
    with pytest.raises(ConfigError, match=r"airbench needs networks\.pixels of at least 9, not 8"):
        validate(config, root / "workflow/schemas/config.schema.json")


def test_settings_of_another_network_are_its_own_or_those_of_the_float_network(root):
    networks = yaml.safe_load((root / "config/config.yaml").read_text())["networks"]
    own = {
        "batch_size": 32, "cutout": 4, "learning_rate": 0.02, "sharpness": 0.1, "sharpness_share": 0.25,
        "still_share": 0.5, "threads": 2,
    }  # fmt: skip
    plain, changed = (other_section(networks, OTHER | keys)["float"] for keys in ({}, own))
    assert {key: changed[key] for key in own} == own
    assert {key: plain[key] for key in own} == {key: networks["float"][key] for key in own}
    assert other_section(networks, OTHER | {"continued": "more"})["start"] == "more"
    assert "start" not in other_section(networks, OTHER)
    assert kind_of(OTHER) == "labels" and kind_of(OTHER | {"continued": "float"}) == "continued"
    assert kind_of(OTHER | {"taught": True}) == "taught"


def test_what_a_configuration_knows_of_the_networks():
    assert ON_CHIPS == NETWORKS
    assert CHIP_GROUP == GROUP
    for chips, shards in ((25, 5), (23, 2), (23, 5), (2, 1)):
        ends = [chip_shard(chips, shards, k) for k in range(shards)]
        assert ends[0][0] == 0 and ends[-1][1] == chips
        assert all(stop == first for (_, stop), (first, _) in pairwise(ends))
        assert all(first < stop and first % GROUP == 0 for first, stop in ends)
    assert [groups_of(chips) for chips in (1, 5, 6, 10, 11)] == [1, 1, 2, 2, 3]


def test_what_trains_asks_for_the_accelerator_of_its_section(root):
    """Jobs with checkpoints train; some run trained networks where they were trained."""
    trained = ("teacher_lessons", "network_chips", "network_options")
    count = 0
    studies = (
        "training firmware flash capacity cnn spiking spiking_cells networks regularised faults variability"
    )
    for name in studies.split():
        text = (root / f"workflow/rules/{name}.smk").read_text(encoding="utf-8")
        for rule in text.split("\n\nrule ")[1:]:
            asks = "progress=result(" in rule or rule.split(":")[0] in trained
            assert asks == ("**accelerator(" in rule), rule.split(":")[0]
            count += "**accelerator(" in rule
    assert count > 20


def test_clippings_that_a_configuration_refuses_are_those_that_fail():
    weights = torch.linspace(-1, 1, 64).reshape(1, 64)
    for clipping, refused in NOT_CLIPPED.items():
        for name, fmt in FORMATS.items():
            if name in refused:
                with pytest.raises(ValueError, match=f"clipping '{clipping}'"):
                    CLIPPINGS[clipping](weights, fmt)
            else:
                assert CLIPPINGS[clipping](weights, fmt) > 0


def test_no_more_neurons_are_drawn_as_a_circuit_than_the_layer_has(root, schema):
    config = load(root, "config")
    config["spiking"]["widths"], config["fpga"]["parallel"]["neurons"] = [3], 4
    with pytest.raises(
        ConfigError, match=r"fpga.parallel.neurons = 4: at most .* of the 3 of the first layer"
    ):
        validate(config, schema)


def test_what_a_configuration_knows_of_data_is_so(digits):
    assert len(load_data(digits).train_labels) == TRAINING_IMAGES["digits"]
    assert SENSOR_PIXELS["synthetic"] == saccades.SIZE and SENSOR_PIXELS["cifar10_dvs"] == aedat.SIZE


def test_a_network_continued_by_a_shallower_one_is_named(root):
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    config["networks"] |= {"architecture": "resnet32", "others": [OTHER | {"continued": "float"}]}
    with pytest.raises(ConfigError, match="more continues float, so resnet20 must not be shallow"):
        validate(config, root / "workflow/schemas/config.schema.json")


def test_a_network_that_teaches_itself_is_named(root):
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    config["networks"]["float"] |= {"taught": True, "augmentation": "crop_flip"}
    config["networks"]["distillation"]["networks"] = ["float"]
    with pytest.raises(ConfigError, match=r"networks: float is taught, .*; no network teaches itself"):
        validate(config, root / "workflow/schemas/config.schema.json")


def test_a_network_that_goes_on_from_one_that_it_teaches_is_named(root):
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    taught = OTHER | {"name": "pupil", "taught": True}
    config["networks"]["float"]["augmentation"] = "crop_flip"
    config["networks"] |= {"others": [taught, OTHER | {"continued": "pupil"}]}
    config["networks"]["distillation"]["networks"] = ["more", "absent"]
    with pytest.raises(ConfigError, match="networks: more is taught, or goes on from") as caught:
        validate(config, root / "workflow/schemas/config.schema.json")
    assert "networks.distillation.networks: 'absent' is none of float, pupil, more" in str(caught.value)
    config["networks"]["distillation"]["networks"] = ["float"]
    validate(config, root / "workflow/schemas/config.schema.json")
